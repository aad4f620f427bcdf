"""How to train, as data. What changes the weights is in `FitSettings`; where and how fast, in `Machine`.

The digest of the `FitSettings`, of the net and of the data decides whether a checkpoint may go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from emofuse.core.registry import nearest
from emofuse.errors import SettingsError

T = TypeVar("T")


@dataclass(frozen=True)
class Balance:
    """How much the classes count in the training loss; the validation loss is never weighted.

    rule: a name of `emofuse.core.class_weights.RULES`: `equal`, `log`, `inverse` or `balanced`.
    mu: of the rule `log`.
    weights: one for each class; if given, the rule is not asked.
    """

    rule: str = "equal"
    mu: float = 1.0
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class FitSettings:
    """What the weights depend on. Names are looked up in `OPTIMISERS`, `SCHEDULES`, `class_weights.RULES`, `KEEP`.

    batch: examples that one process sees at once; a step of the optimiser takes `accumulate` of them.
    After `epochs` at full augmentation come `polish_epochs` that start again at `polish_lr` with changes of
    only `polish_strength` of their size: the net ends on examples as they are.
    keep: the epoch whose weights stay: of least `loss`, or of the largest of a measure, on the validation part.
    patience: stop after so many epochs without a better one.
    average_decay: of the running average of the weights, which is what is validated and kept; None for no average.
    mean_from: from this epoch on, counted from 0, the plain mean of the weights after all steps since is what is
        validated and kept, its batch norms measured anew; None for no such mean. It wants no `average_decay`.
        Source: Izmailov et al. 2018 (SWA), and Cha et al. 2021 (SWAD), who average every step.
    frozen: layers whose names begin so are not trained, and their batch norms keep their statistics.
    lr_factors: by beginning of a layer's name, what its learning rate is multiplied by; the longest one counts.
    mixup: alpha of the Beta distribution that pairs of examples are mixed with; 0 for none.
    """

    epochs: int = 30
    batch: int = 128
    accumulate: int = 1
    optimiser: str = "sgd"
    lr: float = 0.1
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    polish_epochs: int = 0
    polish_lr: float = 0.02
    polish_strength: float = 0.4
    balance: Balance = Balance()
    label_smoothing: float = 0.0
    mixup: float = 0.0
    keep: str = "accuracy"
    patience: int | None = None
    average_decay: float | None = 0.998
    mean_from: int | None = None
    frozen: tuple[str, ...] = ()
    lr_factors: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least("epochs", self.epochs, 0)
        _at_least("polish_epochs", self.polish_epochs, 0)
        _at_least("batch", self.batch, 1)
        _at_least("accumulate", self.accumulate, 1)
        _at_least("patience", 1 if self.patience is None else self.patience, 1)
        for name in ("lr", "polish_lr", "weight_decay", "warmup_epochs", "polish_strength", "mixup"):
            _at_least(name, getattr(self, name), 0)
        if not 0 <= self.label_smoothing < 1:
            raise SettingsError(f"fit: label_smoothing is {self.label_smoothing}; give at least 0 and less than 1.")
        if self.average_decay is not None and not 0 <= self.average_decay < 1:
            raise SettingsError(
                f"fit: average_decay is {self.average_decay}; give at least 0 and less than 1, or none."
            )
        if self.mean_from is not None:
            _at_least("mean_from", self.mean_from, 0)
            if self.average_decay is not None:
                raise SettingsError("fit: mean_from and average_decay average in two ways; set average_decay to none.")
        if self.mixup and self.batch % 2:
            raise SettingsError(f"fit: mixup takes examples in pairs, but batch is {self.batch}; give an even one.")
        if self.patience is not None and self.polish_epochs:
            raise SettingsError(
                "fit: patience would skip the polish epochs; set polish_epochs to 0 or patience to none."
            )


class Precision(StrEnum):
    """Numbers in the net's forward pass; `auto` takes bfloat16 where the machine computes in it natively."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True)
class Machine:
    """Where to train. A checkpoint may go on on another machine; only on the same one are the weights bit-equal.

    device: `auto`, `cpu`, `cuda` or `mps`.
    checkpoint_minutes: besides after every epoch, a checkpoint is written when so much time has passed.
    ahead: batches that are read in the background while the net computes.
    """

    device: str = "auto"
    precision: Precision = Precision.FLOAT32
    checkpoint_minutes: float = 10.0
    ahead: int = 2


def chosen(registry: Mapping[str, T], name: str, what: str) -> T:
    """The entry of a registry.

    Raises:
        SettingsError: there is none of that name.

    >>> chosen({"sgd": 1}, "sgd", "optimiser")
    1
    """
    if name not in registry:
        known = ", ".join(registry)
        raise SettingsError(f"fit: there is no {what} {name!r}{nearest(name, registry)}; there are: {known}.")
    return registry[name]


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise SettingsError(f"fit: {name} is {value}; give at least {least}.")
