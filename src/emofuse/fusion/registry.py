"""Fusion methods by name, and the contract that each of them keeps.

A method fits; what it fits, fuses. No method knows a metric: a `Measure` is always an argument, a function of confusion
matrices such as `emofuse.metrics.cpm_of`, so that the search maximises the metric that is reported.

Each method registers itself in its own file. Another package adds one as an entry point of the group `emofuse.fusion`
that is a `FusionMethod`, and tests it with `emofuse.testing.check_fusion`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.registry import Registry
from emofuse.core.time import Ints
from emofuse.core.types import Scores
from emofuse.fusion.system_scores import SystemScores

Arrays = Mapping[str, NDArray[Any]]
Measure = Callable[[NDArray[Any]], NDArray[np.float64]]
"""Confusion matrices int64 [..., classes, classes] (rows are the truth) -> float64 [...], higher is better."""


class FittedFusion(Protocol):
    """A fusion with its weights: takes the scores of every system, returns fused scores."""

    @property
    def method(self) -> str:
        """Name of the method that fitted it; also the `system` of the fused scores."""

    @property
    def systems(self) -> tuple[str, ...]:
        """Names of the systems that it was fitted on, in the order of its arrays."""

    @property
    def label_set(self) -> LabelSet:
        """Labels of its input and output."""

    @property
    def class_weights(self) -> NDArray[np.floating[Any]] | None:
        """Weight of each system for each class, [systems, classes], for reports; None where a fusion has no such."""

    def __call__(self, scores: Sequence[Scores]) -> Scores:
        """Fuse one clip: the scores of every system on one timeline, in any order, since they are bound by name.

        The result is valid where any system is. A system that is not valid at a frame drops out there; one without
        scores for the whole clip is passed with `valid` all false.

        Raises:
            ShapeError: a system is missing, unknown or passed twice, or the timelines differ.
            LabelError: the scores have other labels.
        """

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All fitted arrays by name, for `FusionMethod.restore`."""


class FusionMethod(Protocol):
    """A way to fuse, with its settings."""

    @property
    def name(self) -> str:
        """The name under which it is registered, saved and reported."""

    def fit(self, scores: SystemScores, truth: Ints, measure: Measure, rng: np.random.Generator) -> FittedFusion:
        """Fit the weights of these systems; the same seed of `rng` gives the same weights.

        Args:
            scores: of every system, over the frames of all clips to fit on.
            truth: int [frames], -1 where there is no label; such frames are ignored.
        Raises:
            ShapeError: the truth does not fit the scores, or no frame has both a label and a score.
        """

    def restore(self, arrays: Arrays, systems: tuple[str, ...], label_set: LabelSet) -> FittedFusion:
        """The fitted fusion that returned these arrays.

        Raises:
            KeyError: an array is missing.
            ShapeError: an array does not fit.
        """


METHODS: Registry[FusionMethod] = Registry("fusion", group="emofuse.fusion")
