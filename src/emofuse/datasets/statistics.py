"""Statistics of a data set by split, and the report of `emofuse data check`: statistics and problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints
from emofuse.core.types import Clip
from emofuse.datasets.problems import Level, Problem

if TYPE_CHECKING:
    from emofuse.datasets.dataset import DataSet

SPLITS = ("train", "validation", "test")


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
    labels: Ints
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


@dataclass(frozen=True)
class DataReport:
    """The content of a whole data set and its problems, the most severe first."""

    name: str
    path: Path
    label_set: LabelSet
    splits: tuple[SplitStatistics, ...]
    problems: tuple[Problem, ...]

    def count(self, level: Level) -> int:
        """The number of problems of a level."""
        return sum(problem.level is level for problem in self.problems)

    def as_dict(self) -> Mapping[str, Any]:
        """The report as JSON values."""
        return {
            "name": self.name,
            "path": str(self.path),
            "labels": list(self.label_set.names),
            "splits": [asdict(split) for split in self.splits],
            "problems": [problem.as_dict() for problem in self.problems],
        }


def check_data(data: DataSet, *, on_clip: Callable[[Clip], None] | None = None) -> DataReport:
    """Read a data set once from end to end.

    Args:
        on_clip: called after each clip that could be read, as for a progress bar.
    """
    problems: list[Problem] = []
    readable: list[ClipStatistics] = []
    for found in data.survey():
        if isinstance(found, Problem):
            problems.append(found)
            continue
        readable.append(found)
        if on_clip is not None:
            on_clip(found.clip)
    problems.sort(key=lambda problem: list(Level).index(problem.level))
    splits = split_statistics(readable, data.clips, data.label_set)
    return DataReport(data.name, data.path, data.label_set, splits, tuple(problems))


def split_statistics(
    readable: Iterable[ClipStatistics], clips: Sequence[Clip], label_set: LabelSet
) -> tuple[SplitStatistics, ...]:
    """Statistics of each split that has clips, train first.

    Args:
        readable: statistics of the clips that could be read.
        clips: all clips; the numbers of clips, recordings and subjects are counted over them.
    """
    readable = list(readable)
    members = {split: [clip for clip in clips if clip.split == split] for split in (*SPLITS, None)}
    return tuple(
        _of_split(split, [c for c in readable if c.clip.split == split], members[split], label_set)
        for split in members
        if members[split]
    )


def _of_split(
    split: str | None, readable: list[ClipStatistics], clips: list[Clip], label_set: LabelSet
) -> SplitStatistics:
    counts = sum((c.labels for c in readable), np.zeros(len(label_set), np.int64))
    labelled = int(counts.sum())
    labels = labelled + sum(c.unlabelled for c in readable)
    with_faces = [c for c in readable if c.faces is not None]
    frames = sum(c.frames for c in with_faces)
    subjects = {clip.subject for clip in clips if clip.subject}
    return SplitStatistics(
        split,
        clips=len(clips),
        recordings=len({clip.video or clip.audio or clip.id for clip in clips}),
        subjects=len(subjects) or None,
        frames=sum(c.frames for c in readable),
        seconds=sum(c.seconds for c in readable),
        labels=labels,
        labelled_fraction=labelled / labels if labels else None,
        class_fractions=dict(zip(label_set.names, (counts / labelled).tolist(), strict=True)) if labelled else {},
        face_fraction=sum(c.faces or 0 for c in with_faces) / frames if frames else None,
    )


def absent_classes(split: str, path: Path, counts: Ints, label_set: LabelSet) -> Iterator[Problem]:
    """A single problem that names all classes without a label in a split."""
    absent = [name for name, count in zip(label_set.names, counts, strict=True) if not count]
    if absent:
        found = f"no label {', '.join(absent)} in all of {split}"
        means = "it can be neither trained nor evaluated there, and each prediction of it lowers the mean F1"
        yield Problem(Level.WARNING, "absent-class", split, path, None, found, means)
