"""Settings of training as data: `FitSettings` determine the weights, `Machine` where and how fast they are computed.

The digest of the `FitSettings`, of the network and of the data decides whether a checkpoint may be resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from emofuse.core.settings import MAX_SEED
from emofuse.errors import SettingsError


@dataclass(frozen=True)
class Balance:
    """Weights of the classes in the training loss; the validation loss is never weighted.

    rule: a name of `emofuse.core.class_weights.RULES`: `equal`, `log`, `inverse` or `balanced`.
    mu: parameter of the rule `log`.
    weights: one for each class; replaces the rule.
    """

    rule: str = "equal"
    mu: float = 1.0
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class FitSettings:
    """Settings that determine the weights. Names are those of `OPTIMISERS`, `SCHEDULES`, `class_weights.RULES`, `KEEP`.

    batch: examples per process in one forward pass; a step of the optimiser takes `accumulate` of them.
    After `epochs` with full augmentation come `polish_epochs` that start again at `polish_lr`, with augmentation
    reduced to `polish_strength`, so that the network ends on nearly unchanged examples.
    keep: criterion for the epoch whose weights are kept: least `loss` or greatest metric on the validation split.
    patience: number of epochs without improvement after which training stops.
    ema_decay: decay of the exponential moving average of the weights, which is validated and kept; None for none.
    swa_start_epoch: first epoch, counted from 0, of the plain mean of the weights after every step, which is validated
        and kept with batch norms measured anew; None for none. It excludes `ema_decay`.
        Source: Izmailov et al. 2018 (SWA), and Cha et al. 2021 (SWAD), who average every step.
    frozen: prefixes of names of layers that are not trained and whose batch norms keep their statistics.
    lr_factors: factors of the learning rate by prefix of the layer's name; the longest matching prefix applies.
    mixup: alpha of the Beta distribution for mixing pairs of examples; 0 for none.
    identity_weight: weight of the loss of identities, for examples that have them.
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
    identity_weight: float = 1.0
    keep: str = "accuracy"
    patience: int | None = None
    ema_decay: float | None = 0.998
    swa_start_epoch: int | None = None
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
        if not 0 <= self.seed <= MAX_SEED:
            raise SettingsError(f"fit: seed is {self.seed}; give 0 to {MAX_SEED}.")
        if not 0 <= self.label_smoothing < 1:
            raise SettingsError(f"fit: label_smoothing is {self.label_smoothing}; give at least 0 and less than 1.")
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise SettingsError(f"fit: ema_decay is {self.ema_decay}; give at least 0 and less than 1, or none.")
        if self.swa_start_epoch is not None:
            _at_least("swa_start_epoch", self.swa_start_epoch, 0)
            if self.ema_decay is not None:
                raise SettingsError("fit: swa_start_epoch and ema_decay exclude each other; set ema_decay to none.")
        if self.mixup and self.batch % 2:
            raise SettingsError(f"fit: mixup takes examples in pairs, but batch is {self.batch}; give an even one.")
        if self.patience is not None and self.polish_epochs:
            raise SettingsError(
                "fit: patience would skip the polish epochs; set polish_epochs to 0 or patience to none."
            )


@dataclass(frozen=True)
class SpeechAugment:
    """Random changes of speech that keep its emotion; those at 0 are off.

    rate_hz: sample rate of the waveforms.
    speed: maximum relative change of speed and pitch.
    colour_db: deviation of each of the six cosines that make a smooth random frequency response (a microphone).
    narrow: fraction of examples that lose what is above 3.4 to 8 kHz and below 20 to 300 Hz (telephones, lossy files).
    echo: fraction of examples in a room, whose echo decays by 60 dB within 0.1 to 0.8 s, 0 to 20 dB below the voice.
    noise: fraction of examples with noise, white to brown, at 5 to 35 dB SNR.
    babble: fraction of examples with babble noise at 0 to 25 dB SNR: six voices, made of other stretches of the
        example itself, half of them reversed.
    fill: fraction of examples whose speech is repeated from a random position until it fills the window, with pauses
        of up to 0.25 s, so that the duration of speech and the silence around it carry no information.

    Raises:
        SettingsError: a number is below 0, or a fraction above 1.
    """

    rate_hz: int = 16_000
    speed: float = 0.0
    colour_db: float = 0.0
    narrow: float = 0.0
    echo: float = 0.0
    noise: float = 0.0
    babble: float = 0.0
    fill: float = 0.0

    def __post_init__(self) -> None:
        limits = {"speed": 1, "colour_db": 60, "narrow": 1, "echo": 1, "noise": 1, "babble": 1, "fill": 1}
        for name, limit in limits.items():
            if not 0 <= getattr(self, name) <= limit:
                raise SettingsError(f"speech augment: {name} is {getattr(self, name)}; give 0 to {limit}.")


@dataclass(frozen=True)
class WaveAugment:
    """Random changes of waveforms in training; those at 0 are off.

    gain_db: maximum change of the level in decibels.
    noise: maximum root mean square of white noise, relative to that of the example.
    shift_samples: maximum shift in either direction, filled with silence.
    speech: further changes, for speech; None for none.
    """

    gain_db: float = 0.0
    noise: float = 0.0
    shift_samples: int = 0
    speech: SpeechAugment | None = None


@dataclass(frozen=True)
class Machine:
    """Where to train. Any machine can resume a checkpoint, but weights are bit-equal only on the same machine.

    device: `auto`, `cpu`, `cuda` or `mps`.
    checkpoint_minutes: minutes between checkpoints, besides the one after every epoch.
    prefetch: number of batches that are read in the background.
    """

    device: str = "auto"
    checkpoint_minutes: float = 10.0
    prefetch: int = 2


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise SettingsError(f"fit: {name} is {value}; give at least {least}.")
