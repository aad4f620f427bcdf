"""Logarithmic opinion pool: a product of the systems' probabilities, each raised to an exponent.

This is the rule for independent evidence: a system that is not valid, or finds all classes equally likely, changes
nothing, so nothing needs to be renormalised where one is missing. The exponents also correct the confidence of each
system, so the fused probabilities are calibrated for data like those of the fit. Compared with stacked regression, a
system contributes to a class only by its score for that class.

Source: Genest and Zidek 1986, Combining Probability Distributions; Hinton 2002, Products of Experts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints
from emofuse.core.types import Floats, Scores
from emofuse.errors import SettingsError, ShapeError
from emofuse.fusion.registry import METHODS, Arrays, Measure
from emofuse.fusion.system_scores import SystemScores, read_only

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LogPoolFusion:
    """A fitted pool: softmax(sum over systems of exponents * centred log ratios).

    exponents: float64 [systems, classes], not negative.

    Raises:
        ShapeError: the exponents have another shape or type, or are negative or not finite.

    >>> from emofuse.core.time import Timeline
    >>> def one_frame(system, *row):
    ...     return Scores(np.array([row]), Timeline.steps(1, end=1), LabelSet(("a", "b")), np.array([True]), system)
    >>> pool = LogPoolFusion("log-pool", ("face", "voice"), LabelSet(("a", "b")), np.array([[1.0, 1.0], [2.0, 2.0]]))
    >>> pool([one_frame("face", 2, 1), one_frame("voice", 2, 1)]).values.round(3)  # 2 * 2**2 to 1
    array([[0.889, 0.111]], dtype=float32)
    """

    method: str
    systems: tuple[str, ...]
    label_set: LabelSet
    exponents: Doubles

    def __post_init__(self) -> None:
        object.__setattr__(self, "systems", tuple(self.systems))
        shape, given = (len(self.systems), len(self.label_set)), self.exponents
        if given.shape != shape or given.dtype != np.float64 or not (np.isfinite(given) & (given >= 0)).all():
            raise ShapeError(
                f"exponents of {self.method}: {given.dtype} {list(given.shape)}, expected finite float64 "
                f"{list(shape)} from 0 up; fit the fusion again."
            )
        object.__setattr__(self, "exponents", read_only(given))

    @property
    def class_weights(self) -> Doubles:
        """The exponents; they do not sum to one."""
        return self.exponents

    def __call__(self, scores: Sequence[Scores]) -> Scores:
        """Fused probabilities of one clip; see `emofuse.fusion.FittedFusion`."""
        aligned = SystemScores.of_clip(scores, self.systems, self.label_set)
        return Scores(self.values(aligned), scores[0].timeline, self.label_set, aligned.covered, self.method)

    def values(self, scores: SystemScores) -> Floats:
        """Fused probabilities float32 [frames, classes]; zeros where no system is valid."""
        fused = softmax(np.einsum("fsc,sc->fc", scores.log_ratios(), self.exponents), axis=1)
        return np.where(scores.covered[:, None], fused, 0).astype(np.float32)

    def weakened(self, systems: Collection[str], factor: float) -> LogPoolFusion:
        """The same fusion with the exponents of some systems multiplied by `factor`."""
        scale = np.array([[factor if s in systems else 1.0] for s in self.systems])
        return LogPoolFusion(self.method, self.systems, self.label_set, self.exponents * scale)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As in `emofuse.fusion.FittedFusion`."""
        return {"exponents": self.exponents}


@dataclass(frozen=True)
class LogPool:
    """Fits the exponents of least cross-entropy, independent of the measure.

    strength: penalty on the variance of a system's exponents over the classes, relative to the mean loss of a frame.
    balance: frames are weighted by 1 / (frequency of their class) ** balance; 0 weights all frames, 1 all classes
    equally.

    Raises:
        SettingsError: strength is below 0, or balance is not in 0 to 1.
    """

    name: str = "log-pool"
    strength: float = 0.1
    balance: float = 0.5

    def __post_init__(self) -> None:
        if not self.strength >= 0 or not 0 <= self.balance <= 1:
            raise SettingsError(
                f"{self.name}: strength {self.strength}, balance {self.balance}; give at least 0, and 0 to 1."
            )

    def fit(self, scores: SystemScores, truth: Ints, measure: Measure, rng: np.random.Generator) -> LogPoolFusion:
        """The exponents, which do not depend on `rng`; errors as in `emofuse.fusion.FusionMethod`."""
        kept = scores.fitting_frames(truth)
        truth = np.asarray(truth)[kept]
        counts = np.bincount(truth, minlength=len(scores.label_set))
        present = np.flatnonzero(counts)
        ratios = scores.log_ratios()[kept][..., present].astype(np.float64)
        weights = (counts[truth] / len(truth)) ** -self.balance
        weights /= weights.sum()
        targets = truth[:, None] == present
        shape = ratios.shape[1:]

        def loss(flat: Doubles) -> tuple[float, Doubles]:
            exponents = flat.reshape(shape)
            logs = log_softmax(np.einsum("fsc,sc->fc", ratios, exponents), axis=1)
            deviation = exponents - exponents.mean(axis=1, keepdims=True)
            value = -float(weights @ (logs * targets).sum(axis=1)) + self.strength * float((deviation**2).sum())
            slope = np.einsum("fsc,fc->sc", ratios, weights[:, None] * (np.exp(logs) - targets))
            return value, (slope + 2 * self.strength * deviation).ravel()

        start = np.full(ratios[0].size, 1 / len(scores.systems))
        best = minimize(loss, start, jac=True, bounds=[(0, None)] * len(start), method="L-BFGS-B")
        found = best.x.reshape(shape)
        # For a class that never occurs nothing can be fitted; it gets the mean of the others.
        exponents = np.repeat(found.mean(axis=1, keepdims=True), len(counts), axis=1)
        exponents[:, present] = found
        return LogPoolFusion(self.name, scores.systems, scores.label_set, exponents)

    def restore(self, arrays: Arrays, systems: tuple[str, ...], label_set: LabelSet) -> LogPoolFusion:
        """As in `emofuse.fusion.FusionMethod`."""
        return LogPoolFusion(self.name, systems, label_set, arrays["exponents"])


METHODS.add("log-pool", LogPool())
