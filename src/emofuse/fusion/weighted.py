"""Weighted sums of scores, with the weights of absent systems given to those that are valid.

Sums run over the systems in their order, in float32 and one after the other without contraction, so that the search
(`candidates.py`) and the fitted fusion return the same bits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints
from emofuse.core.types import Bools, Floats, Scores
from emofuse.errors import ShapeError
from emofuse.fusion.registry import METHODS, Arrays, Measure
from emofuse.fusion.system_scores import SystemScores, read_only

NEGLIGIBLE = 1e-6  # below this sum, the weights of the valid systems are not used


def renormalised(tables: Floats, valid: Bools) -> Floats:
    """Weights where only some systems are valid: zero for the others, and a sum of one for each class.

    Where the weights of the valid systems sum to less than `NEGLIGIBLE` for a class, they are equal there. With all
    systems valid the tables are returned unchanged.

    Args:
        tables: float32 [..., systems, classes].
        valid: bool [systems], at least one of them true.

    >>> renormalised(np.array([[0.5, 0.0], [0.25, 0.0], [0.25, 1.0]], np.float32), np.array([True, True, False]))
    array([[0.6666667 , 0.5       ],
           [0.33333334, 0.5       ],
           [0.        , 0.        ]], dtype=float32)
    """
    if valid.all():
        return tables
    kept = np.where(valid[:, None], tables, 0).astype(np.float64)
    total = np.zeros_like(kept[..., :1, :])
    for m in np.flatnonzero(valid):  # in this order for every shape, so that one table and a thousand agree
        total += kept[..., m : m + 1, :]
    equal = (valid / valid.sum())[:, None]
    enough = total >= NEGLIGIBLE
    return np.where(enough, kept / np.where(enough, total, 1), equal).astype(np.float32)


def weighted_sum(scores: SystemScores, class_weights: Floats) -> Floats:
    """Sum over the systems by weights [systems, classes], float32 [frames, classes]; zeros where no system is valid."""
    fused = np.zeros(scores.values.shape[1:], np.float32)
    validity, pattern = scores.patterns()
    for p, valid in enumerate(validity):
        if valid.any():
            frames, weights = pattern == p, renormalised(class_weights, valid)
            total = np.zeros_like(fused[frames])
            for m in np.flatnonzero(valid):
                total += weights[m] * scores.values[m, frames]
            fused[frames] = total
    return fused


@dataclass(frozen=True, eq=False)
class WeightedFusion:
    """A fitted weighted sum.

    class_weights: float32 [systems, classes], not negative; the weights of each class sum to one.

    Raises:
        ShapeError: the weights have another shape or type, are negative or not finite, or do not sum to one.

    >>> from emofuse.core.time import Timeline
    >>> def one_frame(system, *row):
    ...     return Scores(np.array([row]), Timeline.steps(1, end=1), LabelSet(("a", "b")), np.array([True]), system)
    >>> weights = np.array([[0.75] * 2, [0.25] * 2], np.float32)
    >>> fusion = WeightedFusion("swf", ("face", "voice"), LabelSet(("a", "b")), weights)
    >>> fusion([one_frame("voice", 1, 0), one_frame("face", 0, 1)]).values
    array([[0.25, 0.75]], dtype=float32)
    """

    method: str
    systems: tuple[str, ...]
    label_set: LabelSet
    class_weights: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "systems", tuple(self.systems))
        weights, shape = self.class_weights, (len(self.systems), len(self.label_set))
        if weights.shape != shape or weights.dtype != np.float32:
            raise ShapeError(
                f"weights of {self.method}: {weights.dtype} {list(weights.shape)}, not float32 {list(shape)}, "
                "one row for each system and one column for each label."
            )
        if not np.all(weights >= 0) or not np.allclose(weights.sum(axis=0, dtype=np.float64), 1, atol=1e-4):
            raise ShapeError(
                f"weights of {self.method}: negative, not finite, or their sum is not one; fit the fusion again."
            )
        object.__setattr__(self, "class_weights", read_only(weights))

    def __call__(self, scores: Sequence[Scores]) -> Scores:
        """Fused scores of one clip; see `emofuse.fusion.FittedFusion`."""
        aligned = SystemScores.of_clip(scores, self.systems, self.label_set)
        return Scores(self.values(aligned), scores[0].timeline, self.label_set, aligned.covered, self.method)

    def values(self, scores: SystemScores) -> Floats:
        """Fused scores float32 [frames, classes]; zeros where no system is valid."""
        return weighted_sum(scores, self.class_weights)

    def weakened(self, systems: Collection[str], factor: float) -> WeightedFusion:
        """The same fusion with the weights of some systems, relative to the others, multiplied by `factor`."""
        scale = np.array([[factor if s in systems else 1.0] for s in self.systems], np.float32)
        weights = self.class_weights * scale
        # A class that only these systems have weight for keeps it.
        weights = np.asarray(weights / weights.sum(axis=0), np.float32)
        return WeightedFusion(self.method, self.systems, self.label_set, weights)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As in `emofuse.fusion.FittedFusion`."""
        return {"weights": self.class_weights}


@dataclass(frozen=True)
class Mean:
    """Equal weights: the mean of the valid systems."""

    name: str = "mean"

    def fit(self, scores: SystemScores, truth: Ints, measure: Measure, rng: np.random.Generator) -> WeightedFusion:
        """Equal weights, independent of the truth; errors as in `emofuse.fusion.FusionMethod`."""
        scores.fitting_frames(truth)
        shape = (len(scores.systems), len(scores.label_set))
        return WeightedFusion(self.name, scores.systems, scores.label_set, np.full(shape, 1 / shape[0], np.float32))

    def restore(self, arrays: Arrays, systems: tuple[str, ...], label_set: LabelSet) -> WeightedFusion:
        """As in `emofuse.fusion.FusionMethod`."""
        return WeightedFusion(self.name, systems, label_set, arrays["weights"])


METHODS.add("mean", Mean())
