"""Clips of one's own: a CSV file with the header `path,label[,start,end,subject,split]`.

Paths are relative to the file's folder. A row with start and end (seconds) is a segment of its clip; without them its
label holds for the whole clip. Labels are names: those of Aff-Wild2, or what other known sets call the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2, UNLABELLED, LabelSet
from emofuse.core.registry import nearest
from emofuse.core.time import Ints, Timeline, seconds, ticks
from emofuse.core.types import Annotation, Clip
from emofuse.datasets.checks import absent_classes, check_recording
from emofuse.datasets.clip_list_rows import Listed, Segment, read_clips
from emofuse.datasets.problems import Level, Problem, refusal
from emofuse.datasets.recordings import Recording, Recordings, without_path
from emofuse.datasets.splits import ClipStatistics, clips_of_split
from emofuse.errors import DataError
from emofuse.media.container import AUDIO_SUFFIXES

TOLERANCE = ticks(0.1)  # by so much a segment may end after its clip: tables are written with rounded times


class ClipList:
    """The clips that a CSV file lists. Opening it reads the table alone, no recording.

    The id of a clip is its path without the suffix. A clip with faulty rows stays in the list, and its annotation is
    refused.

    Args:
        path: the CSV file; separated by comma, semicolon or tab, UTF-8.
        label_set: the classes.
    Raises:
        DataError: the file cannot be read, or lacks the column path or label.
    """

    def __init__(self, path: str | Path, *, label_set: LabelSet = AFFWILD2) -> None:
        self.path = Path(path)
        self.root = self.path.parent
        self.name = f"{self.root.resolve().name}/{self.path.stem}"
        self.label_set = label_set
        listed = read_clips(self.path, label_set)
        self._listed = {clip.id: clip for clip in listed if clip.path}
        self._loose = [problem for clip in listed if not clip.path for problem in clip.problems]
        self.clips = tuple(self._clip(listed) for listed in self._listed.values())
        self.recordings = Recordings()

    def split(self, name: str | None) -> list[Clip]:
        """The clips of "train", "validation" or "test"; None gives those without a part.

        Raises:
            DataError: there is no such part, or it is empty.
        """
        return clips_of_split(self.clips, name, data=printable(self.path))

    def timeline(self, clip: Clip) -> Timeline:
        """When each frame of the clip is shown; of sound alone, one interval over its length.

        Raises:
            DataError: the clip cannot be read.
        """
        return self.recordings.of(clip).timeline

    def annotation(self, clip: Clip) -> Annotation:
        """The labels of a clip's segments in the order of their time, or one label over all of it.

        Raises:
            DataError: a row of the clip has a fault, a test clip has no label, the clip cannot be read, or a segment
                lies beyond its end.
        """
        listed = self._row(clip)
        errors = [p for p in listed.problems if p.level is Level.ERROR]
        if errors:
            raise refusal(errors, self.path)
        if clip.split == "test" and all(s.label == UNLABELLED for s in listed.segments):
            raise DataError(
                f"{printable(self.path)}:{listed.line}: test clip {clip.id} has no label; take another part."
            )
        end = self.recordings.of(clip).end
        errors = [p for p in self._beyond(listed, end) if p.level is Level.ERROR]
        if errors:
            raise refusal(errors, self.path)
        spans = [(0, end) if s.start is None or s.end is None else (s.start, s.end) for s in listed.segments]
        start, stop = np.array(spans, np.int64).T
        return Annotation(_labels(listed.segments), Timeline(start, stop), self.label_set)

    def survey(self) -> Iterator[Problem | ClipStatistics]:
        """Everything that is wrong, and the figures of each clip that can be read, in one pass."""
        yield from self._loose
        counts: defaultdict[str | None, Ints] = defaultdict(lambda: np.zeros(len(self.label_set), np.int64))
        for clip in self.clips:
            for found in self._survey_clip(clip, self._listed[clip.id]):
                if isinstance(found, ClipStatistics):
                    counts[clip.split] += found.labels
                yield found
        yield from self._leaks()
        yield from self._unlabelled()
        for split, count in counts.items():
            if count.any():
                yield from absent_classes(split or self.name, self.path, count, self.label_set)

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong, as it is found."""
        return (found for found in self.survey() if isinstance(found, Problem))

    def _clip(self, listed: Listed) -> Clip:
        path = self.root / listed.path
        # The suffix decides, so that a list of many thousand clips opens at once.
        video, audio = (None, path) if path.suffix.lower() in AUDIO_SUFFIXES else (path, None)
        return Clip(listed.id, video, audio, listed.split, listed.subject)

    def _row(self, clip: Clip) -> Listed:
        if clip.id not in self._listed:
            raise DataError(f"{printable(self.path)}: no clip {clip.id!r}{nearest(clip.id, self._listed)}.")
        return self._listed[clip.id]

    def _survey_clip(self, clip: Clip, listed: Listed) -> Iterator[Problem | ClipStatistics]:
        yield from listed.problems
        recording = self._recording(clip, listed)
        if isinstance(recording, Problem):
            yield recording
            return
        yield from (replace(p, where=clip.id) for p in check_recording(self.root / listed.path, recording))
        beyond = list(self._beyond(listed, recording.end))
        yield from beyond
        if not any(p.level is Level.ERROR for p in (*listed.problems, *beyond)):
            labels = _labels(listed.segments)
            counts = np.bincount(labels[labels != UNLABELLED], minlength=len(self.label_set))
            unlabelled = int((labels == UNLABELLED).sum())
            yield ClipStatistics(clip, recording.frames, seconds(recording.end), counts, unlabelled)

    def _recording(self, clip: Clip, listed: Listed) -> Recording | Problem:
        path = self.root / listed.path
        if not path.exists():
            found, means = (
                f"there is no file {listed.path}",
                "the clip is left out; paths start from the table's folder",
            )
            return Problem(Level.ERROR, "no-file", clip.id, self.path, listed.line, found, means)
        try:
            return self.recordings.of(clip)
        except DataError as error:
            found, means = without_path(str(error), path), f"the clip of {self.path.name}:{listed.line} is left out"
            return Problem(Level.ERROR, "unreadable", clip.id, path, None, found, means)

    def _beyond(self, listed: Listed, end: int) -> Iterator[Problem]:
        for segment in listed.segments:
            if segment.start is None or segment.end is None or segment.end <= end + TOLERANCE:
                continue
            found = (
                f"{seconds(segment.start):g} s to {seconds(segment.end):g} s, but the clip ends at {seconds(end):g} s"
            )
            lost = segment.start >= end
            level, means = (
                (Level.ERROR, "the clip is left out until it is corrected")
                if lost
                else (Level.WARNING, "what is beyond the end counts for nothing")
            )
            yield Problem(level, "beyond-end", listed.id, self.path, segment.line, found, means)

    def _leaks(self) -> Iterator[Problem]:
        """Persons whose clips are in several parts."""
        first: dict[str, Listed] = {}
        told: set[str] = set()
        for listed in self._listed.values():
            if listed.subject is None or listed.split is None or listed.subject in told:
                continue
            other = first.setdefault(listed.subject, listed)
            if other.split != listed.split:
                told.add(listed.subject)
                found = f"subject {listed.subject} is in {listed.split}, and in {other.split} (line {other.line})"
                means = "scores on people who were trained on come out too high; keep each person in one part"
                yield Problem(Level.ERROR, "leak", listed.subject, self.path, listed.line, found, means)

    def _unlabelled(self) -> Iterator[Problem]:
        """One problem for each part with rows that have no label."""
        for split in dict.fromkeys(clip.split for clip in self.clips):
            clips = [c for c in self._listed.values() if not any(p.level is Level.ERROR for p in c.problems)]
            rows = [s for clip in clips if clip.split == split for s in clip.segments]
            missing = [s.line for s in rows if s.label == UNLABELLED]
            where = split or self.name
            if missing and len(missing) == len(rows) and split != "test":
                found, means = f"none of the {len(rows)} rows has a label", "there is nothing to learn from or to judge"
                yield Problem(Level.WARNING, "empty", where, self.path, missing[0], found, means)
            elif missing:
                found, means = (
                    f"{len(missing)} of {len(rows)} rows have no label",
                    "they are neither learned from nor judged",
                )
                yield Problem(Level.NOTE, "unlabelled", where, self.path, min(missing), found, means)


def _labels(segments: tuple[Segment, ...]) -> Ints:
    return np.array([s.label for s in segments], np.int64)
