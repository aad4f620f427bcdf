"""Weighted score fusion: a weight for each system and class, as data, and what it makes of scores.

A weight table is float32 [systems, classes]; the weights of a class sum to one over the systems. Fused scores are raw:
where the classes have different weights, rows do not sum to one, and `Scores.probabilities()` normalises them.

Everything is float32, products summed over the systems in their order without contraction, so that the search
(`candidates.py`) and the fitted fusion give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints
from emofuse.core.types import Bools, Floats, Scores
from emofuse.errors import ShapeError
from emofuse.fusion.contract import Measure
from emofuse.fusion.system_scores import SystemScores, bind

NEGLIGIBLE = 1e-6  # below this total, weights do not say which of the valid systems to trust


def renormalised(tables: Floats, valid: Bools) -> Floats:
    """Weights where only some systems are valid: the others drop out, and those left sum to one for each class.

    Where all that is left for a class weighs less than `NEGLIGIBLE`, the valid systems get equal weights there. With
    all systems valid the tables come back as they are.

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
    for m in np.flatnonzero(valid):  # in this order whatever the shape, so one table and a thousand agree
        total += kept[..., m : m + 1, :]
    equal = (valid / valid.sum())[:, None]
    enough = total >= NEGLIGIBLE
    return np.where(enough, kept / np.where(enough, total, 1), equal).astype(np.float32)


def fuse(stack: SystemScores, table: Floats) -> Floats:
    """Weighted sum over the systems, float32 [frames, classes]; zeros where no system is valid."""
    fused = np.zeros(stack.values.shape[1:], np.float32)
    validity, pattern = stack.patterns()
    for p, valid in enumerate(validity):
        if valid.any():
            rows, weights = pattern == p, renormalised(table, valid)
            total = np.zeros_like(fused[rows])
            for m in np.flatnonzero(valid):
                total += weights[m] * stack.values[m, rows]
            fused[rows] = total
    return fused


@dataclass(frozen=True, eq=False)
class WeightedFusion:
    """A fitted weighted fusion.

    table: float32 [systems, classes], not negative, the weights of each class summing to one.

    Raises:
        ShapeError: the table has another shape or type, a weight is negative or not finite, or a sum is not one.

    >>> from emofuse.core.time import Timeline
    >>> def say(system, *row):
    ...     return Scores(np.array([row]), Timeline.steps(1, end=1), LabelSet(("a", "b")), np.array([True]), system)
    >>> table = np.array([[0.75] * 2, [0.25] * 2], np.float32)
    >>> fused = WeightedFusion("swf", ("face", "voice"), LabelSet(("a", "b")), table)
    >>> fused([say("voice", 1, 0), say("face", 0, 1)]).values
    array([[0.25, 0.75]], dtype=float32)
    """

    method: str
    systems: tuple[str, ...]
    label_set: LabelSet
    table: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "systems", tuple(self.systems))
        shape = (len(self.systems), len(self.label_set))
        if self.table.shape != shape or self.table.dtype != np.float32:
            raise ShapeError(
                f"weights of {self.method}: {self.table.dtype} {list(self.table.shape)}, not float32 {list(shape)}, "
                "one row for each system and one column for each label."
            )
        if not np.all(self.table >= 0) or not np.allclose(self.table.sum(axis=0, dtype=np.float64), 1, atol=1e-4):
            raise ShapeError(
                f"weights of {self.method}: negative, not finite, or of a sum other than one; fit the fusion again."
            )
        table = self.table.copy()
        table.flags.writeable = False
        object.__setattr__(self, "table", table)

    def __call__(self, scores: Sequence[Scores]) -> Scores:
        """Fused scores of one clip; see `emofuse.fusion.contract.FittedFusion`."""
        stack = bind(scores, self.systems, self.label_set)
        return Scores(self.values(stack), scores[0].timeline, self.label_set, stack.covered, self.method)

    def values(self, stack: SystemScores) -> Floats:
        """Fused scores float32 [frames, classes]; zeros where no system is valid."""
        return fuse(stack, self.table)

    def weakened(self, system: str, factor: float) -> WeightedFusion:
        """The same, but one system counts for `factor` of what it did beside the others."""
        scale = np.array([[factor if s == system else 1.0] for s in self.systems], np.float32)
        table = self.table * scale
        total = table.sum(axis=0)
        # A class that only this system speaks for stays with it.
        return WeightedFusion(self.method, self.systems, self.label_set, np.asarray(table / total, np.float32))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The table, under the name "weights"."""
        return {"weights": self.table}

    @classmethod
    def restore(
        cls, method: str, arrays: Mapping[str, NDArray[Any]], systems: tuple[str, ...], label_set: LabelSet
    ) -> WeightedFusion:
        """Weights from their `arrays`.

        Raises:
            ShapeError: the array is missing or does not fit.
        """
        if "weights" not in arrays:
            raise ShapeError(f"weights of {method}: no array 'weights' among {', '.join(arrays) or 'none'}.")
        return cls(method, systems, label_set, arrays["weights"])


@dataclass(frozen=True)
class Mean:
    """Equal weights: the mean of the systems that are valid."""

    name: str = "mean"

    def fit(self, scores: SystemScores, truth: Ints, measure: Measure, rng: np.random.Generator) -> WeightedFusion:
        """Equal weights, whatever the truth; errors as in `emofuse.fusion.contract.FusionMethod`."""
        scores.judged(truth)
        shape = (len(scores.systems), len(scores.label_set))
        return WeightedFusion(self.name, scores.systems, scores.label_set, np.full(shape, 1 / shape[0], np.float32))

    def restore(
        self, arrays: Mapping[str, NDArray[Any]], systems: tuple[str, ...], label_set: LabelSet
    ) -> WeightedFusion:
        """As in `emofuse.fusion.contract.FusionMethod`."""
        return WeightedFusion.restore(self.name, arrays, systems, label_set)
