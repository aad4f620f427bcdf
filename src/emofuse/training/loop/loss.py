"""The loss: cross-entropy with soft targets and weights of classes, examples and steps.

The loss of a step is the sum over its rows of weight times cross-entropy, divided by the sum of the weights. A row is
an example, or a time step of one in sequence-to-sequence training; a row of zeros is unlabelled and has no weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from emofuse.core.class_weights import RULES, Doubles
from emofuse.core.registry import find
from emofuse.errors import SettingsError
from emofuse.systems.training_settings import Balance, FitSettings
from emofuse.training.loop.examples import Examples, labels

IMPOSSIBLE = -1e4  # finite, so that its product with a target of 0 is 0


def balance_weights(counts: NDArray[Any], balance: Balance) -> Doubles | None:
    """Class weights by a `Balance`, or None if all classes weigh the same.

    Args:
        counts: number of rows of each class in the training split (sums of the targets).
    Raises:
        SettingsError: an unknown rule, or weights that do not fit the classes.
    """
    if not balance.weights:
        weights = find(balance.rule, RULES, "fit: class weight rule")(counts, balance.mu)
        return None if balance.rule == "equal" else weights
    weights = np.asarray(balance.weights, np.float64)
    if len(weights) != len(counts) or not (weights > 0).all():
        raise SettingsError(
            f"fit: balance.weights are {len(weights)} for {len(counts)} classes; give one above 0 for each class."
        )
    return weights


@dataclass(frozen=True)
class Targets:
    """Targets of some rows: values [n, ..., classes], times the weights [n, ...] of the rows.

    possible: bool [n, classes], the classes that a row can have; None for all. The loss of a row leaves out the others.
    """

    values: Tensor
    weights: Tensor
    possible: Tensor | None = None

    def __getitem__(self, rows: Any) -> Targets:
        return Targets(self.values[rows], self.weights[rows], None if self.possible is None else self.possible[rows])

    def of_mixed(self, weight: Tensor) -> tuple[Targets, Targets]:
        """Two targets for inputs that are `mixed` with the same weights: the row's own, and those of its neighbour.

        Their losses are added. Mixed targets would have the same loss only if both rows could have the same classes.
        """
        return self._scaled(weight), self[neighbours(len(weight))]._scaled(1 - weight)

    def _scaled(self, weight: Tensor) -> Targets:
        own = weight.view(-1, *[1] * (self.weights.ndim - 1))
        return Targets(self.values * own.unsqueeze(-1), self.weights * own, self.possible)

    def loss(self, logits: Tensor, total: float) -> Tensor:
        """Cross-entropy of logits [n, ..., classes], divided by `total`."""
        return cross_entropy(possible_logits(logits, self.possible), self.values.to(logits.device), total)

    def total(self) -> float:
        """Sum of the weights; without weights, the number of labelled rows."""
        return float(self.weights.sum(dtype=torch.float64))


def targets_of(examples: Examples, settings: FitSettings, *, polish: bool = False) -> Targets:
    """Smoothed and weighted targets of all training examples; class weights come from the main targets."""
    main = tensor(examples.targets)
    counts = main.reshape(-1, examples.classes).sum(dim=0, dtype=torch.float64).numpy()
    balance = balance_weights(counts, settings.balance)
    values = main
    if polish and examples.polish_targets is not None:
        values = tensor(examples.polish_targets)
    weights = values.any(dim=-1).float()
    possible = None if examples.possible is None else torch.from_numpy(examples.possible)
    if settings.label_smoothing:
        even: float | Tensor = settings.label_smoothing / examples.classes
        if possible is not None:
            even = _over_steps(settings.label_smoothing * possible / possible.sum(dim=1, keepdim=True), values)
        values = (values * (1 - settings.label_smoothing) + even) * weights.unsqueeze(-1)
    if balance is not None:
        values = values * torch.from_numpy(balance).float()
        weights = values.sum(dim=-1)
    if examples.weights is not None:
        own = tensor(examples.weights).view(-1, *[1] * (weights.ndim - 1))
        values, weights = values * own.unsqueeze(-1), weights * own
    return Targets(values, weights, possible)


def possible_logits(logits: Tensor, possible: Tensor | None) -> Tensor:
    """Logits [n, ..., classes] of which those of classes that a row cannot have are so low that they do not count."""
    if possible is None:
        return logits
    return logits.masked_fill(~_over_steps(possible.to(logits.device), logits), IMPOSSIBLE)


def _over_steps(rows: Tensor, like: Tensor) -> Tensor:
    """Rows [n, classes] in the shape of values [n, ..., classes]."""
    return rows.view(len(rows), *[1] * (like.ndim - 2), rows.shape[-1]).expand_as(like)


def tensor(values: NDArray[np.float32]) -> Tensor:
    """An array as a tensor, also if it is read-only or memory-mapped."""
    return torch.from_numpy(np.require(values, np.float32, ["C", "W"]))


def cross_entropy(logits: Tensor, values: Tensor, total: float) -> Tensor:
    """Cross-entropy of logits [n, ..., classes] against (weighted) targets of that shape, divided by `total`.

    >>> cross_entropy(torch.zeros(2, 4), torch.eye(2, 4), 2.0).item() == torch.tensor(4.0).log().item()
    True
    """
    # In this order of operations, the result without weights is bit-equal to torch's own cross_entropy.
    return -(logits.log_softmax(dim=-1) * values).sum() / total


def identity_loss(found: Tensor, wanted: Tensor, total: float) -> Tensor:
    """Sum of 1 - cosine between identities [n, d] and those wanted, divided by `total`; rows of zeros do not count.

    >>> identity_loss(torch.eye(3), torch.tensor([[2.0, 0, 0], [1, 0, 0], [0, 0, 0]]), 2.0).item()
    0.5
    """
    cosine = functional.cosine_similarity(found, wanted.to(found.device), dim=1)
    counts = wanted.any(dim=1).to(found.device)
    return ((1 - cosine) * counts).sum() / total


def mixed(values: Tensor, weight: Tensor) -> Tensor:
    """Each row mixed with its neighbour, 0 with 1, 2 with 3 and so on; an odd last row is unchanged.

    The rows of a step are in random order, so a neighbour is a random example, and neighbours are in the same batch for
    any division of the step among processes.

    Args:
        weight: float [n], weight of the row itself; its neighbour has 1 - weight.
    Source: Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization; pairs of neighbours as in PANN.

    >>> mixed(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 1.0, 0.5])).tolist()
    [1.5, 2.0, 3.0]
    """
    own = weight.to(values.device).view(-1, *[1] * (values.ndim - 1))
    return own * values + (1 - own) * values[neighbours(len(values)).to(values.device)]


def neighbours(n: int) -> Tensor:
    """The neighbour of each of n rows; an odd last row is its own.

    >>> neighbours(3).tolist()
    [1, 0, 2]
    """
    other = torch.arange(n) ^ 1
    return torch.where(other < n, other, other - 1)


def mixup_weights(n: int, alpha: float, generator: torch.Generator) -> Tensor:
    """Random weights from Beta(alpha, alpha), float32 [n]."""
    seed = int(torch.randint(2**62, (1,), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, n).astype(np.float32))


def check_classes(train: Examples, validation: Examples) -> None:
    """Refuse examples that cannot be trained on or validated.

    Raises:
        SettingsError: the validation split is empty or has other classes, or training has a single class or no label.
    """
    if len(validation) == 0:
        raise SettingsError("fit: the validation split is empty; give some examples, to select the best epoch.")
    if validation.targets.shape[1:] != train.targets.shape[1:]:
        raise SettingsError(
            f"fit: targets of training have the shape {train.targets.shape[1:]}, those of validation "
            f"{validation.targets.shape[1:]} for each example; give both the same shape."
        )
    for name, examples in (("training", train), ("validation", validation)):
        if not examples.targets.any():
            raise SettingsError(f"fit: no example of the {name} split is labelled; give labelled examples.")
    found = np.setdiff1d(labels(train.targets), [-1])
    if len(found) == 1:
        raise SettingsError(
            f"fit: all training examples are of class {found[0]}; give examples of at least two classes."
        )
