"""Scores of several systems side by side: one array over the frames of all clips, bound by the systems' names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emofuse.core.labels import UNLABELLED, LabelSet
from emofuse.core.time import Ints
from emofuse.core.types import Bools, Floats, Scores
from emofuse.errors import LabelError, ShapeError

MOST_SYSTEMS = 62  # who is valid at a frame is kept as the bits of one integer


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
        if not 1 <= len(self.systems) <= MOST_SYSTEMS:
            raise ShapeError(f"SystemScores: {len(self.systems)} systems; give 1 to {MOST_SYSTEMS}.")
        if twice := _twice(self.systems):
            raise ShapeError(f"SystemScores: system {twice!r} occurs twice; names bind the scores, make them distinct.")
        frames = self.valid.shape[-1] if self.valid.ndim == 2 else -1
        if self.valid.shape != (len(self.systems), frames) or self.valid.dtype != np.bool_:
            raise ShapeError(
                f"SystemScores: valid has shape {self.valid.shape} and type {self.valid.dtype}; "
                f"give booleans [{len(self.systems)} systems, frames]."
            )
        if self.values.shape != (*self.valid.shape, len(self.label_set)) or self.values.dtype != np.float32:
            raise ShapeError(
                f"SystemScores: values have shape {self.values.shape} and type {self.values.dtype}; "
                f"give float32 {[*self.valid.shape, len(self.label_set)]}."
            )

    @classmethod
    def of(cls, clips: Sequence[Sequence[Scores]]) -> SystemScores:
        """The scores of every system for each clip, as probabilities, clips one after the other.

        Args:
            clips: for each clip the scores of all systems on one timeline; within a clip in any order. The order
                of the first clip is the order of the stack.
        Raises:
            ShapeError: no clip; a clip has other systems than the first, or one twice, or its timelines differ.
            LabelError: the label sets differ.

        >>> from emofuse.core.time import Timeline
        >>> def say(system, *row):
        ...     return Scores(np.array([row]), Timeline.steps(1, end=1), LabelSet(("a", "b")), np.array([True]), system)
        >>> stack = SystemScores.of([[say("face", 1, 3), say("voice", 1, 1)], [say("voice", 1, 0), say("face", 0, 0)]])
        >>> stack.systems, stack.values[:, :, 1].tolist()
        (('face', 'voice'), [[0.75, 0.0], [0.5, 0.0]])
        """
        if not clips or not clips[0]:
            raise ShapeError("SystemScores: no scores; give at least one clip with the scores of one system.")
        systems, label_set = tuple(s.system for s in clips[0]), clips[0][0].label_set
        bound = [_bound(clip, systems, label_set, n) for n, clip in enumerate(clips)]
        return cls(
            values=np.stack([np.concatenate([c[m].probabilities() for c in bound]) for m in range(len(systems))]),
            valid=np.stack([np.concatenate([c[m].valid for c in bound]) for m in range(len(systems))]),
            systems=systems,
            label_set=label_set,
        )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.valid[0])

    @property
    def covered(self) -> Bools:
        """Frames where at least one system is valid, bool [frames]."""
        covered: Bools = np.any(self.valid, axis=0)
        return covered

    def ordered(self, systems: Sequence[str]) -> SystemScores:
        """The same scores with the systems in another order.

        Raises:
            ShapeError: these are not the systems of the stack.
        """
        if set(systems) != set(self.systems) or len(systems) != len(self.systems):
            raise ShapeError(_other_systems("SystemScores", self.systems, systems))
        rows = [self.systems.index(s) for s in systems]
        return SystemScores(self.values[rows], self.valid[rows], tuple(systems), self.label_set)

    def patterns(self) -> tuple[Bools, Ints]:
        """Which systems are valid together: bool [patterns, systems], and the pattern of each frame, int [frames].

        >>> valid = np.array([[True, False, True], [True, True, True]])
        >>> SystemScores(np.zeros((2, 3, 1), np.float32), valid, ("face", "voice"), LabelSet(("a",))).patterns()[1]
        array([1, 0, 1])
        """
        bits = np.left_shift(1, np.arange(len(self.systems), dtype=np.int64))
        codes, pattern = np.unique(bits @ self.valid, return_inverse=True)
        return (codes[:, None] & bits) > 0, pattern.astype(np.int64)

    def judged(self, truth: Ints) -> Bools:
        """Frames that count in a search, bool [frames]: they have a label and at least one valid system.

        Raises:
            ShapeError: the truth has another length, is no class index, or no frame counts.
        """
        truth = np.asarray(truth)
        if truth.shape != (len(self),):
            raise ShapeError(
                f"fusion: truth has shape {truth.shape}, the scores have {len(self)} frames. "
                "Bring the scores onto the annotation first: scores.onto(annotation.timeline)."
            )
        if truth.size and (truth.dtype.kind not in "iu" or truth.min() < UNLABELLED):
            raise ShapeError(f"fusion: truth of type {truth.dtype}; give class indices, -1 where there is no label.")
        if truth.size and truth.max() >= len(self.label_set):
            raise ShapeError(
                f"fusion: truth runs to {truth.max()}, but there are {len(self.label_set)} labels; "
                f"allowed are -1 to {len(self.label_set) - 1}."
            )
        judged: Bools = (truth != UNLABELLED) & self.covered
        if not judged.any():
            raise ShapeError(
                f"fusion: none of {len(self)} frames has both a label and the scores of a system, so there is "
                "nothing to fit on; give annotated clips."
            )
        return judged


def bind(scores: Sequence[Scores], systems: Sequence[str], label_set: LabelSet) -> SystemScores:
    """One clip's scores in the order of `systems`, for something that was fitted on these.

    Raises:
        ShapeError: other systems, one twice, or differing timelines.
        LabelError: other labels than `label_set`.
    """
    return SystemScores.of([_bound(scores, systems, label_set, None)])


def _bound(scores: Sequence[Scores], systems: Sequence[str], label_set: LabelSet, clip: int | None) -> list[Scores]:
    where = "fusion" if clip is None else f"SystemScores: clip {clip}"
    by_name = {s.system: s for s in scores}
    if twice := _twice([s.system for s in scores]):
        raise ShapeError(f"{where}: system {twice!r} is given twice; give the scores of each system once.")
    if by_name.keys() != set(systems):
        raise ShapeError(_other_systems(where, tuple(by_name), systems))
    for s in scores:
        if s.label_set != label_set:
            raise LabelError(
                f"{where}: labels of {s.system!r} are {', '.join(s.label_set.names)}, not "
                f"{', '.join(label_set.names)}; bring them to one label set by name first."
            )
        if s.timeline != scores[0].timeline:
            raise ShapeError(
                f"{where}: {s.system!r} has {s.timeline}, {scores[0].system!r} has {scores[0].timeline}; "
                "bring them onto one first: scores.onto(timeline)."
            )
    return [by_name[name] for name in systems]


def _other_systems(where: str, found: Sequence[str], wanted: Sequence[str]) -> str:
    return (
        f"{where}: systems {', '.join(found) or 'none'}, expected {', '.join(wanted)}; give the scores of each of "
        "these and no others, with valid all false where one has nothing to say."
    )


def _twice(names: Sequence[str]) -> str | None:
    return next((n for n in names if list(names).count(n) > 1), None)
