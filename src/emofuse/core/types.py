"""The data types of emofuse: clips, tracks, annotations and scores, validated when they are created.

Every array comes with its timeline, its validity and, if it holds classes, its label names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core import align
from emofuse.core.labels import UNLABELLED, LabelSet
from emofuse.core.time import Ints, Timeline
from emofuse.errors import ShapeError

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Clip:
    """One recording: its video and audio files, its split, its subject, and the corpus that it is from."""

    id: str
    video: Path | None = None
    audio: Path | None = None
    split: str | None = None
    subject: str | None = None
    corpus: str | None = None


@dataclass(frozen=True)
class Track:
    """Faces, audio or embeddings of one person with their timeline.

    values: [n, ...]; timeline: n intervals; valid: bool [n], false where there is no face or no voice.
    A moment without a face is a row that is not valid, never a missing row.

    Raises:
        ShapeError: values, timeline and valid differ in length.
    """

    values: NDArray[Any]
    timeline: Timeline
    valid: Bools
    clip: str
    person: int = 1

    def __post_init__(self) -> None:
        _same_length(f"Track of {self.clip}", self.timeline, values=self.values, valid=self.valid)


@dataclass(frozen=True)
class Annotation:
    """Ground truth: class indices int64 [n] into `label_set`, -1 where unlabelled.

    Raises:
        ShapeError: labels and timeline differ in length, or labels is not one-dimensional.
        LabelError: an index is outside the label set.
    """

    labels: Ints
    timeline: Timeline
    label_set: LabelSet

    def __post_init__(self) -> None:
        _same_length("Annotation", self.timeline, labels=self.labels)
        if np.ndim(self.labels) != 1:
            raise ShapeError(f"Annotation: labels have shape {self.labels.shape}; give one label for each interval.")
        self.label_set.decode(self.labels)

    def __len__(self) -> int:
        return len(self.timeline)

    def onto(self, timeline: Timeline) -> Annotation:
        """The label at the start of each interval of another timeline.

        >>> from emofuse.core.time import ticks
        >>> at_30_hz = Annotation(np.repeat([0, 1], 15), Timeline.steps(30, end=ticks(1)), LabelSet(("no", "yes")))
        >>> at_30_hz.onto(Timeline.steps(5, end=ticks(1))).labels
        array([0, 0, 0, 1, 1])
        """
        return replace(self, labels=align.sample(self.labels, self.timeline, timeline), timeline=timeline)

    def over(self, windows: Timeline) -> Annotation:
        """The most frequent label in each window, -1 only where nothing in it is labelled."""
        return replace(self, labels=align.majority(self.labels, self.timeline, windows), timeline=windows)


@dataclass(frozen=True)
class Scores:
    """Scores of a system: non-negative, float32 [n, classes], not forced to sum to 1; zeros in rows that are not valid.

    Raises:
        ShapeError: lengths differ, the columns do not match the label set, or a valid score is negative or not
            finite.
    """

    values: Floats
    timeline: Timeline
    label_set: LabelSet
    valid: Bools
    system: str

    def __post_init__(self) -> None:
        _same_length(f"Scores of {self.system}", self.timeline, values=self.values, valid=self.valid)
        if self.values.ndim != 2 or self.values.shape[1] != len(self.label_set):
            raise ShapeError(
                f"Scores of {self.system}: values have shape {self.values.shape}, but there are "
                f"{len(self.label_set)} labels; give one column for each label."
            )
        with np.errstate(over="ignore"):  # too large values become infinite, and are refused below
            values = np.where(self.valid[:, None], self.values, 0).astype(np.float32)
        if not np.all(np.isfinite(values)) or np.any(values < 0):
            raise ShapeError(
                f"Scores of {self.system}: a valid score is negative or not finite; give probabilities, not logits."
            )
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.timeline)

    def probabilities(self) -> Floats:
        """Rows divided by their sum, float32 [n, classes]; rows of zeros stay zero.

        >>> s = Scores(np.array([[1, 3]]), Timeline.steps(1, end=1), LabelSet(("a", "b")), np.array([True]), "x")
        >>> s.probabilities()
        array([[0.25, 0.75]], dtype=float32)
        """
        total = self.values.sum(axis=1, keepdims=True, dtype=np.float64)
        return (self.values / np.where(total > 0, total, 1)).astype(np.float32)

    def predictions(self) -> Ints:
        """Index of the highest score of each row, -1 where the row is not valid."""
        return np.where(self.valid, self.values.argmax(axis=1), UNLABELLED).astype(np.int64)

    def onto(self, timeline: Timeline) -> Scores:
        """These scores on another timeline: for each interval the mean of all rows that contain its start."""
        values, valid = align.spread(self.values, self.timeline, timeline, valid=self.valid)
        return replace(self, values=values, timeline=timeline, valid=valid)

    def over(self, windows: Timeline) -> Scores:
        """One row for each window: the mean of the valid probabilities of the rows that start in it."""
        pooled = align.pool(self.probabilities(), self.timeline, windows, valid=self.valid)
        return replace(self, values=pooled.mean, timeline=windows, valid=pooled.valid)

    def filled(self) -> Scores:
        """These scores with gaps filled by the last valid row, before the first one by the first.

        Without any valid row they are returned unchanged.
        """
        if not self.valid.any():
            return self
        return replace(self, values=align.fill_gaps(self.values, self.valid), valid=np.ones(len(self), bool))


def _same_length(what: str, timeline: Timeline, **arrays: NDArray[Any]) -> None:
    for name, array in arrays.items():
        if np.ndim(array) == 0 or len(array) != len(timeline):
            found = "a single value" if np.ndim(array) == 0 else f"{len(array)} rows"
            raise ShapeError(
                f"{what}: {name} has {found}, the timeline {len(timeline)}; give one row for each interval."
            )
        if name == "valid" and array.dtype != np.bool_:
            raise ShapeError(f"{what}: valid has type {array.dtype}; give booleans.")
        if name == "valid" and array.ndim != 1:
            raise ShapeError(f"{what}: valid has shape {array.shape}; give one boolean for each interval.")
