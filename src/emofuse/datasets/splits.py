"""The splits of a data set (train, validation, test) and statistics of them."""

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


def clips_of_split(clips: Sequence[Clip], split: str | None, *, data: str) -> list[Clip]:
    """The clips of one split; None selects the clips without a split.

    Raises:
        DataError: the data set has no clip in this split.

    >>> clips_of_split([Clip("a", split="train"), Clip("b", split="test")], "test", data="mine")
    [Clip(id='b', video=None, audio=None, split='test', subject=None)]
    """
    chosen = [clip for clip in clips if clip.split == split]
    if chosen:
        return chosen
    there = [s for s in (*SPLITS, None) if any(clip.split == s for clip in clips)]
    splits = ", ".join(s or "clips without a split (None)" for s in there) or "no clips at all"
    hint = nearest(split, [s for s in there if s]) if split else ""
    raise DataError(f"{data}: no split {split or None!r}{hint}; there are {splits}. --split all takes every clip.")


@dataclass(frozen=True, eq=False)
class ClipStatistics:
    """What one clip adds to the statistics of its split.

    frames: number of video frames, 0 without a video. seconds: length. labels: int64 [classes], number of labels of
    each class. unlabelled: number of labels that are -1. faces: number of frames with a face image, None for a clip
    without face images.
    """

    clip: Clip
    frames: int
    seconds: float
    labels: NDArray[np.int64]
    unlabelled: int
    faces: int | None = None


@dataclass(frozen=True)
class SplitStatistics:
    """Statistics of one split, over the clips that could be read.

    split: None for clips without a split. recordings: number of distinct files. subjects: number of distinct subjects,
    None if they are unknown. labelled_fraction: of all labels those that are not -1, None without labels.
    class_fractions: of the labelled ones, by class name. face_fraction: of the frames of clips with face images, those
    that have one.
    """

    split: str | None
    clips: int
    recordings: int
    subjects: int | None
    frames: int
    seconds: float
    labels: int
    labelled_fraction: float | None
    class_fractions: dict[str, float]
    face_fraction: float | None


def split_statistics(
    facts: Iterable[ClipStatistics], clips: Sequence[Clip], label_set: LabelSet
) -> tuple[SplitStatistics, ...]:
    """Statistics of each split that has clips, train first.

    Args:
        facts: statistics of the clips that could be read.
        clips: all clips; the numbers of clips, recordings and subjects are counted over them.
    """
    read = list(facts)
    splits = [s for s in (*SPLITS, None) if any(clip.split == s for clip in clips)]
    return tuple(
        _part(s, [f for f in read if f.clip.split == s], clips_of_split(clips, s, data=""), label_set) for s in splits
    )


def _part(split: str | None, facts: list[ClipStatistics], clips: list[Clip], label_set: LabelSet) -> SplitStatistics:
    counts = sum((f.labels for f in facts), np.zeros(len(label_set), np.int64))
    labelled, unlabelled = int(counts.sum()), sum(f.unlabelled for f in facts)
    with_images = [f for f in facts if f.faces is not None]
    pictures = sum(f.frames for f in with_images)
    subjects = {clip.subject for clip in clips if clip.subject}
    return SplitStatistics(
        split,
        clips=len(clips),
        recordings=len({clip.video or clip.audio or clip.id for clip in clips}),
        subjects=len(subjects) or None,
        frames=sum(f.frames for f in facts),
        seconds=sum(f.seconds for f in facts),
        labels=labelled + unlabelled,
        labelled_fraction=labelled / (labelled + unlabelled) if labelled + unlabelled else None,
        class_fractions={n: int(c) / labelled for n, c in zip(label_set.names, counts, strict=True)}
        if labelled
        else {},
        face_fraction=sum(f.faces or 0 for f in with_images) / pictures if pictures else None,
    )
