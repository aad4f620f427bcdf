"""Scores of several systems on the same frames: one array over the frames of all clips, bound by the systems' names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import UNLABELLED, LabelSet
from emofuse.core.time import Ints
from emofuse.core.types import Bools, Floats, Scores
from emofuse.errors import LabelError, ShapeError

MAX_SYSTEMS = 62  # the systems that are valid at a frame are kept as the bits of one integer
_MIN_PROBABILITY = 1e-6  # for finite logarithms


@dataclass(frozen=True, eq=False)
class SystemScores:
    """Aligned scores of several systems over the frames of one or more clips.

    values: float32 [systems, frames, classes], rows that sum to one, or zeros where not valid;
    valid: bool [systems, frames]; systems: distinct names, in the order of the first axis.

    Raises:
        ShapeError: the arrays do not fit each other, the names or the labels, or a name occurs twice.
    """

    values: Floats
    valid: Bools
    systems: tuple[str, ...]
    label_set: LabelSet

    def __post_init__(self) -> None:
        object.__setattr__(self, "systems", tuple(self.systems))
        if not 1 <= len(self.systems) <= MAX_SYSTEMS:
            raise ShapeError(f"fusion: {len(self.systems)} systems; give 1 to {MAX_SYSTEMS}.")
        if duplicate := _duplicate(self.systems):
            raise ShapeError(f"fusion: two systems are called {duplicate!r}; give them distinct names.")
        frames = self.valid.shape[-1] if self.valid.ndim == 2 else -1
        if self.valid.shape != (len(self.systems), frames) or self.valid.dtype != np.bool_:
            raise ShapeError(
                f"fusion: valid has shape {self.valid.shape} and type {self.valid.dtype}; "
                f"give booleans [{len(self.systems)} systems, frames]."
            )
        if self.values.shape != (*self.valid.shape, len(self.label_set)) or self.values.dtype != np.float32:
            raise ShapeError(
                f"fusion: values have shape {self.values.shape} and type {self.values.dtype}; "
                f"give float32 {[*self.valid.shape, len(self.label_set)]}."
            )

    @classmethod
    def of(cls, clips: Sequence[Sequence[Scores]]) -> SystemScores:
        """The scores of every system for each clip, as probabilities, clips concatenated.

        Args:
            clips: for each clip the scores of all systems on one timeline, in any order. The order of the first clip
                is the order of the systems.
        Raises:
            ShapeError: there is no clip; a clip has other systems than the first, or one twice; timelines differ.
            LabelError: the label sets differ.

        >>> from emofuse.core.time import Timeline
        >>> def one_frame(system, *row):
        ...     return Scores(np.array([row]), Timeline.steps(1, end=1), LabelSet(("a", "b")), np.array([True]), system)
        >>> first = [one_frame("face", 1, 3), one_frame("voice", 1, 1)]
        >>> second = [one_frame("voice", 1, 0), one_frame("face", 0, 0)]
        >>> scores = SystemScores.of([first, second])
        >>> scores.systems, scores.values[:, :, 1].tolist()
        (('face', 'voice'), [[0.75, 0.0], [0.5, 0.0]])
        """
        if not clips or not clips[0]:
            raise ShapeError("fusion: no scores; give at least one clip with the scores of one system.")
        systems, label_set = tuple(s.system for s in clips[0]), clips[0][0].label_set
        return cls._concatenated([_ordered(clip, systems, label_set, f"clip {n}") for n, clip in enumerate(clips)])

    @classmethod
    def of_clip(cls, scores: Sequence[Scores], systems: Sequence[str], label_set: LabelSet) -> SystemScores:
        """The scores of one clip in the order of `systems`, for a fusion that was fitted on these.

        Raises:
            ShapeError: other systems, one twice, or differing timelines.
            LabelError: other labels than `label_set`.
        """
        return cls._concatenated([_ordered(scores, systems, label_set, "fusion")])

    @classmethod
    def _concatenated(cls, clips: Sequence[Sequence[Scores]]) -> SystemScores:
        by_system = list(zip(*clips, strict=True))
        return cls(
            values=np.stack([np.concatenate([s.probabilities() for s in scores]) for scores in by_system]),
            valid=np.stack([np.concatenate([s.valid for s in scores]) for scores in by_system]),
            systems=tuple(s.system for s in clips[0]),
            label_set=clips[0][0].label_set,
        )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.valid[0])

    def __getitem__(self, frames: NDArray[Any]) -> SystemScores:
        """The scores at some frames, int or bool."""
        return SystemScores(self.values[:, frames], self.valid[:, frames], self.systems, self.label_set)

    @property
    def covered(self) -> Bools:
        """Frames where at least one system is valid, bool [frames]."""
        covered: Bools = np.any(self.valid, axis=0)
        return covered

    def patterns(self) -> tuple[Bools, Ints]:
        """Combinations of valid systems: bool [patterns, systems], and the pattern of each frame, int [frames].

        >>> valid = np.array([[True, False, True], [True, True, True]])
        >>> SystemScores(np.zeros((2, 3, 1), np.float32), valid, ("face", "voice"), LabelSet(("a",))).patterns()[1]
        array([1, 0, 1])
        """
        bits = np.left_shift(1, np.arange(len(self.systems), dtype=np.int64))
        codes, pattern = np.unique(bits @ self.valid, return_inverse=True)
        return (codes[:, None] & bits) > 0, pattern.astype(np.int64)

    def log_ratios(self) -> Floats:
        """Centred log ratios float32 [frames, systems, classes]; zeros where a system is not valid.

        log(max(p, 1e-6)) minus its mean over the classes.
        """
        logs = np.log(np.maximum(self.values, np.float32(_MIN_PROBABILITY)))
        logs -= logs.mean(axis=2, keepdims=True)
        logs[~self.valid] = 0
        return np.ascontiguousarray(logs.transpose(1, 0, 2))

    def fitting_frames(self, truth: Ints) -> Bools:
        """Frames to fit on, bool [frames]: those with a label and at least one valid system.

        Raises:
            ShapeError: the truth has another length, is not class indices, or there is no such frame.
        """
        truth = np.asarray(truth)
        if truth.shape != (len(self),):
            raise ShapeError(
                f"fusion: truth has shape {truth.shape}, the scores have {len(self)} frames. "
                "Bring the scores onto the annotation first: scores.onto(annotation.timeline)."
            )
        if truth.size and (truth.dtype.kind not in "iu" or truth.min() < UNLABELLED):
            raise ShapeError(f"fusion: truth has type {truth.dtype}; give class indices, -1 where there is no label.")
        if truth.size and truth.max() >= len(self.label_set):
            raise ShapeError(
                f"fusion: the largest index in truth is {truth.max()}, but there are {len(self.label_set)} labels; "
                f"allowed are -1 to {len(self.label_set) - 1}."
            )
        frames: Bools = (truth != UNLABELLED) & self.covered
        if not frames.any():
            raise ShapeError(
                f"fusion: none of {len(self)} frames has both a label and the scores of a system, so there is "
                "nothing to fit on; give annotated clips."
            )
        return frames


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A copy that cannot be written to, as fitted fusions keep their arrays."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def _ordered(scores: Sequence[Scores], systems: Sequence[str], label_set: LabelSet, where: str) -> list[Scores]:
    by_name = {s.system: s for s in scores}
    if duplicate := _duplicate([s.system for s in scores]):
        raise ShapeError(f"{where}: system {duplicate!r} occurs twice; give the scores of each system once.")
    if by_name.keys() != set(systems):
        raise ShapeError(
            f"{where}: systems {', '.join(by_name) or 'none'}, expected {', '.join(systems)}; give the scores of "
            "exactly these, with valid all false where a system has none."
        )
    for s in scores:
        if s.label_set != label_set:
            raise LabelError(
                f"{where}: labels of {s.system!r} are {', '.join(s.label_set.names)}, not "
                f"{', '.join(label_set.names)}; map them to one label set first."
            )
        if s.timeline != scores[0].timeline:
            raise ShapeError(
                f"{where}: {s.system!r} has {s.timeline}, {scores[0].system!r} has {scores[0].timeline}; "
                "bring them onto one timeline first: scores.onto(timeline)."
            )
    return [by_name[name] for name in systems]


def _duplicate(names: Sequence[str]) -> str | None:
    return next((n for n in names if list(names).count(n) > 1), None)
