"""The parts of a data set (training, validation, test) and their figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.registry import nearest
from emofuse.core.types import Clip
from emofuse.errors import DataError

SPLITS = ("train", "validation", "test")


def part_of(clips: Sequence[Clip], split: str | None, *, name: str) -> list[Clip]:
    """The clips of one part; None means those that belong to none.

    Raises:
        DataError: there is no such part, or it is empty.

    >>> part_of([Clip("a", split="train"), Clip("b", split="test")], "test", name="mine")
    [Clip(id='b', video=None, audio=None, split='test', subject=None)]
    """
    chosen = [clip for clip in clips if clip.split == split]
    if chosen:
        return chosen
    there = [s for s in (*SPLITS, None) if any(clip.split == s for clip in clips)]
    parts = ", ".join(s or "clips without a part (None)" for s in there) or "no clips at all"
    hint = nearest(split, [s for s in there if s]) if split else ""
    raise DataError(f"{name}: no part {split or None!r}{hint}; there are {parts}. --split all takes every clip.")


@dataclass(frozen=True, eq=False)
class ClipFacts:
    """What one clip adds to the figures of its part.

    frames: of its video, 0 where there is none. seconds: its length. labels: int64 [classes], how many labels of each
    class. unlabelled: labels that are -1. faces: frames with an image; None where the clip has no image folder.
    """

    clip: Clip
    frames: int
    seconds: float
    labels: NDArray[np.int64]
    unlabelled: int
    faces: int | None = None


@dataclass(frozen=True)
class PartFigures:
    """Figures of one part, over the clips that could be read.

    split: None for clips that belong to no part. recordings: distinct files. persons: distinct subjects, None where
    they are unknown. annotated: share of labels that are not -1, None where there is none. classes: share of each
    class among those, by name. faces: share of frames that have an image, over the clips with an image folder.
    """

    split: str | None
    clips: int
    recordings: int
    persons: int | None
    frames: int
    seconds: float
    labels: int
    annotated: float | None
    classes: dict[str, float]
    faces: float | None


def figures(facts: Iterable[ClipFacts], clips: Sequence[Clip], label_set: LabelSet) -> tuple[PartFigures, ...]:
    """Figures of each part that has clips, training first.

    Args:
        facts: of the clips that could be read.
        clips: all of them; they alone decide how many clips, recordings and persons a part has.
    """
    read = list(facts)
    splits = [s for s in (*SPLITS, None) if any(clip.split == s for clip in clips)]
    return tuple(
        _part(s, [f for f in read if f.clip.split == s], part_of(clips, s, name=""), label_set) for s in splits
    )


def _part(split: str | None, facts: list[ClipFacts], clips: list[Clip], label_set: LabelSet) -> PartFigures:
    counts = sum((f.labels for f in facts), np.zeros(len(label_set), np.int64))
    labelled, unlabelled = int(counts.sum()), sum(f.unlabelled for f in facts)
    with_images = [f for f in facts if f.faces is not None]
    pictures = sum(f.frames for f in with_images)
    persons = {clip.subject for clip in clips if clip.subject}
    return PartFigures(
        split,
        clips=len(clips),
        recordings=len({clip.video or clip.audio or clip.id for clip in clips}),
        persons=len(persons) or None,
        frames=sum(f.frames for f in facts),
        seconds=sum(f.seconds for f in facts),
        labels=labelled + unlabelled,
        annotated=labelled / (labelled + unlabelled) if labelled + unlabelled else None,
        classes={n: int(c) / labelled for n, c in zip(label_set.names, counts, strict=True)} if labelled else {},
        faces=sum(f.faces or 0 for f in with_images) / pictures if pictures else None,
    )
