"""What a fusion method is: a frozen definition that fits, and what it fits, which fuses.

Nothing here knows a metric: a `Measure` always comes in as an argument, a function of confusion counts such as
`emofuse.metrics.cpm_of`, so that what is searched for is what is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints
from emofuse.core.types import Scores
from emofuse.fusion.system_scores import SystemScores

Measure = Callable[[NDArray[Any]], NDArray[np.float64]]
"""Confusion counts int64 [..., classes, classes] (row truth, column guess) -> float64 [...], more is better."""


class FittedFusion(Protocol):
    """A fusion with its weights: the scores of every system in, fused scores out."""

    @property
    def method(self) -> str:
        """Name of the method that fitted it, and the `system` of the scores that it gives."""

    @property
    def systems(self) -> tuple[str, ...]:
        """Names of the systems that it was fitted on, in the order of its arrays."""

    @property
    def label_set(self) -> LabelSet:
        """Labels of the scores that it takes and gives."""

    def __call__(self, scores: Sequence[Scores]) -> Scores:
        """Fuse one clip: the scores of every system on one timeline, in any order, since names bind them.

        The result is valid where any system is. A system that has nothing to say at a frame drops out there; one
        without scores for the whole clip is given with `valid` all false.

        Raises:
            ShapeError: a system is missing, unknown or given twice, or the timelines differ.
            LabelError: the scores have other labels.
        """

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that was fitted, by name; `FusionMethod.restore` takes it back."""


class FusionMethod(Protocol):
    """A way to fuse, with its settings; one file here, or a package that names it under `emofuse.fusion`."""

    @property
    def name(self) -> str:
        """The name that it is registered, saved and reported under."""

    def fit(self, scores: SystemScores, truth: Ints, measure: Measure, rng: np.random.Generator) -> FittedFusion:
        """Weights for these systems, the same ones whenever `rng` has the same seed.

        Args:
            scores: of every system, over the frames of all clips to fit on.
            truth: int [frames], -1 where there is no label; such frames are ignored.
        Raises:
            ShapeError: the truth does not fit, or there is no frame with both a label and a score.
        """

    def restore(
        self, arrays: Mapping[str, NDArray[Any]], systems: tuple[str, ...], label_set: LabelSet
    ) -> FittedFusion:
        """What `fit` gave, from its `arrays`.

        Raises:
            ShapeError: an array is missing or does not fit.
        """
