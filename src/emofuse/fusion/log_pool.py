"""Fusion by a logarithmic opinion pool: a product of the systems' probabilities, each raised to an exponent.

It is what independent evidence calls for, and a system that says nothing, or finds all classes alike, changes nothing:
nothing needs to be renormalised where one is missing. The exponents also say how far a system's probabilities are to be
believed, so what comes out is calibrated for data like those that it was fitted on. It is a stacked regression without
its confusions: a system speaks for a class by that class alone.

Source: Genest and Zidek 1986, Combining Probability Distributions; Hinton 2002, Products of Experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from emofuse.fusion.contract import Measure
from emofuse.fusion.stacking import log_ratios
from emofuse.fusion.system_scores import SystemScores, bind


@dataclass(frozen=True, eq=False)
class LogPoolFusion:
    """A fitted pool: softmax(sum over systems of exponents * centred log ratios).

    exponents: float64 [systems, classes], not negative.

    Raises:
        ShapeError: the exponents have another shape or type, or one is negative or not finite.

    >>> from emofuse.core.time import Timeline
    >>> def say(system, *row):
    ...     return Scores(np.array([row]), Timeline.steps(1, end=1), LabelSet(("a", "b")), np.array([True]), system)
    >>> pooled = LogPoolFusion("log-pool", ("face", "voice"), LabelSet(("a", "b")), np.array([[1.0, 1.0], [2.0, 2.0]]))
    >>> pooled([say("face", 2, 1), say("voice", 2, 1)]).values.round(3)  # 2 * 2**2 to 1
    array([[0.889, 0.111]], dtype=float32)
    """

    method: str
    systems: tuple[str, ...]
    label_set: LabelSet
    exponents: NDArray[np.float64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "systems", tuple(self.systems))
        shape, given = (len(self.systems), len(self.label_set)), self.exponents
        if given.shape != shape or given.dtype != np.float64 or not (np.isfinite(given) & (given >= 0)).all():
            raise ShapeError(
                f"exponents of {self.method}: {given.dtype} {list(given.shape)}, not float64 {list(shape)} that are "
                "finite and not negative; fit the fusion again."
            )
        exponents = given.copy()
        exponents.flags.writeable = False
        object.__setattr__(self, "exponents", exponents)

    def __call__(self, scores: Sequence[Scores]) -> Scores:
        """Fused probabilities of one clip; see `emofuse.fusion.contract.FittedFusion`."""
        stack = bind(scores, self.systems, self.label_set)
        return Scores(self.values(stack), scores[0].timeline, self.label_set, stack.covered, self.method)

    def values(self, stack: SystemScores) -> Floats:
        """Fused probabilities float32 [frames, classes]; zeros where no system is valid."""
        pooled = softmax(np.einsum("fsc,sc->fc", _ratios(stack), self.exponents), axis=1)
        return np.where(stack.covered[:, None], pooled, 0).astype(np.float32)

    def weakened(self, system: str, factor: float) -> LogPoolFusion:
        """The same, but what one system says counts for `factor` of what it did."""
        scale = np.array([[factor if s == system else 1.0] for s in self.systems])
        return LogPoolFusion(self.method, self.systems, self.label_set, self.exponents * scale)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The exponents, under this name."""
        return {"exponents": self.exponents}


@dataclass(frozen=True)
class LogPool:
    """How to fit a pool: the least cross-entropy of what comes out, whatever is measured afterwards.

    strength: of the pull that draws a system's exponents to their mean over the classes, beside the mean loss of a
    frame; balance: frames weigh 1 / (share of their class) ** balance, 0 as they come, 1 all classes alike.

    Raises:
        SettingsError: strength is below 0, or balance not in 0 to 1.
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
        """The exponents, which take no chance; errors as in `emofuse.fusion.contract.FusionMethod`."""
        kept = scores.judged(truth)
        truth = np.asarray(truth)[kept]
        occurs = np.bincount(truth, minlength=len(scores.label_set))
        present = np.flatnonzero(occurs)
        ratios = _ratios(scores)[kept][..., present].astype(np.float64)
        weights = (occurs[truth] / len(truth)) ** -self.balance
        weights /= weights.sum()
        wanted = truth[:, None] == present
        shape = ratios.shape[1:]

        def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            exponents = flat.reshape(shape)
            logs = log_softmax(np.einsum("fsc,sc->fc", ratios, exponents), axis=1)
            apart = exponents - exponents.mean(axis=1, keepdims=True)
            value = -float(weights @ (logs * wanted).sum(axis=1)) + self.strength * float((apart**2).sum())
            slope = np.einsum("fsc,fc->sc", ratios, weights[:, None] * (np.exp(logs) - wanted))
            return value, (slope + 2 * self.strength * apart).ravel()

        start = np.full(ratios[0].size, 1 / len(scores.systems))
        best = minimize(loss, start, jac=True, bounds=[(0, None)] * len(start), method="L-BFGS-B")
        found = best.x.reshape(shape)
        # Nothing is known of a class that never occurs: not that it is rare, and not who is right about it.
        exponents = np.repeat(found.mean(axis=1, keepdims=True), len(occurs), axis=1)
        exponents[:, present] = found
        return LogPoolFusion(self.name, scores.systems, scores.label_set, exponents)

    def restore(
        self, arrays: Mapping[str, NDArray[Any]], systems: tuple[str, ...], label_set: LabelSet
    ) -> LogPoolFusion:
        """As in `emofuse.fusion.contract.FusionMethod`."""
        if "exponents" not in arrays:
            raise ShapeError(f"{self.name}: no array 'exponents' among {', '.join(arrays) or 'none'}.")
        return LogPoolFusion(self.name, systems, label_set, arrays["exponents"])


def _ratios(stack: SystemScores) -> Floats:
    """Centred log ratios float32 [frames, systems, classes], zeros where a system is not valid."""
    return log_ratios(stack).reshape(len(stack), len(stack.systems), len(stack.label_set))
