"""Clips that a table or the names of files list with their labels: what clip lists and folders of photographs share."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from emofuse.core.encodings import LATIN_1, encoding_of
from emofuse.core.files import printable
from emofuse.core.labels import UNLABELLED, LabelSet
from emofuse.core.registry import nearest
from emofuse.core.time import Ints, Timeline, seconds, ticks
from emofuse.core.types import Annotation, Clip
from emofuse.datasets.clip_rows import LEFT_OUT, ListedClip
from emofuse.datasets.dataset import DataSet
from emofuse.datasets.problems import Level, Problem, error_for
from emofuse.datasets.recordings import Recording, Recordings, check_recording, without_path
from emofuse.datasets.records import EXCEL_SUFFIXES
from emofuse.datasets.statistics import ClipStatistics, absent_classes
from emofuse.errors import DataError, MediaError
from emofuse.media.container import AUDIO_SUFFIXES
from emofuse.media.photograph import PhotographReader, is_photograph

TOLERANCE = ticks(0.1)  # a segment may end this long after its clip, since tables are written with rounded times


class ListedClips(DataSet):
    """Listed clips as a data set.

    A clip with faulty rows stays in the list, but its annotation raises an error.

    Args:
        path: of the table or folder.
        listed: the clips, with their labels, and rows without a path.
        problems: of the table or folder as a whole.
    """

    def __init__(
        self, path: Path, listed: Sequence[ListedClip], problems: Sequence[Problem], label_set: LabelSet
    ) -> None:
        self.path, self.label_set, self._problems = path, label_set, problems
        self.folder = path if path.is_dir() else path.parent
        self.name = self.folder.resolve().name + ("" if path.is_dir() else f"/{path.stem}")
        self._listed = {clip.id: clip for clip in listed if clip.path}
        self._without_path = [problem for clip in listed if not clip.path for problem in clip.problems]
        self.clips = tuple(self._clip(listed) for listed in self._listed.values())
        self.recordings = Recordings()

    def timeline(self, clip: Clip) -> Timeline:
        """The interval of each video frame of the clip; a single interval over the length of an audio file.

        Raises:
            DataError: the clip cannot be read.
        """
        return self.recordings.of(clip).timeline

    def annotation(self, clip: Clip) -> Annotation:
        """The labels of a clip's segments in order of time, or one label for the whole clip.

        Raises:
            DataError: a row of the clip is faulty, a test clip has no label, the clip cannot be read, or a segment
                begins after its end.
        """
        if clip.id not in self._listed:
            raise DataError(f"{printable(self.path)}: no clip {clip.id!r}{nearest(clip.id, self._listed)}.")
        listed = self._listed[clip.id]
        if errors := _errors(listed.problems):
            raise error_for(errors, self.path)
        if clip.split == "test" and (listed.labels == UNLABELLED).all():
            found = f"{_place(self.path, listed.line)}: test clip {clip.id} has no label"
            raise DataError(f"{found}; choose another split.")
        end = self.recordings.of(clip).end
        if errors := _errors(self._check_ends(listed, end)):
            raise error_for(errors, self.path)
        spans = [(0, end) if s.start is None or s.end is None else (s.start, s.end) for s in listed.segments]
        start, stop = np.array(spans, np.int64).T
        return Annotation(listed.labels, Timeline(start, stop), self.label_set)

    def survey(self) -> Iterator[Problem | ClipStatistics]:
        """All problems, and the statistics of each readable clip, in one pass over the files."""
        yield from self._problems
        yield from self._without_path
        if not self.clips:
            found, consequence = "holds no clips", "write a line with path and label for each clip"
            yield Problem(Level.ERROR, "no-clips", self.name, self.path, None, found, consequence)
        counts: defaultdict[str | None, Ints] = defaultdict(lambda: np.zeros(len(self.label_set), np.int64))
        for clip in self.clips:
            for result in self._survey_clip(clip, self._listed[clip.id]):
                if isinstance(result, ClipStatistics):
                    counts[clip.split] += result.labels
                yield result
        yield from self._leaking_subjects()
        yield from self._corpora()
        yield from self._unlabelled_rows()
        for split, count in counts.items():
            if count.any():
                yield from absent_classes(split or self.name, self.path, count, self.label_set)

    def _clip(self, listed: ListedClip) -> Clip:
        path = self._file(listed)
        # Decided by the suffix, so that a list of many thousand clips opens at once.
        video, audio = (None, path) if path.suffix.lower() in AUDIO_SUFFIXES else (path, None)
        return Clip(listed.id, video, audio, listed.split, listed.subject, listed.corpus)

    def _file(self, listed: ListedClip) -> Path:
        return self.folder / os.path.expanduser(listed.path)

    def _survey_clip(self, clip: Clip, listed: ListedClip) -> Iterator[Problem | ClipStatistics]:
        yield from listed.problems
        recording = self._recording(clip, listed)
        if isinstance(recording, Problem):
            yield recording
            return
        yield from (replace(p, item=clip.id) for p in check_recording(self._file(listed), recording))
        beyond_end = list(self._check_ends(listed, recording.end))
        yield from beyond_end
        if not _errors((*listed.problems, *beyond_end)):
            labels = listed.labels
            counts = np.bincount(labels[labels != UNLABELLED], minlength=len(self.label_set))
            unlabelled = int((labels == UNLABELLED).sum())
            yield ClipStatistics(clip, recording.frames, seconds(recording.end), counts, unlabelled)

    def _recording(self, clip: Clip, listed: ListedClip) -> Recording | Problem:
        path = self._file(listed)
        if not path.exists():
            found = f"there is no file {listed.path}"
            consequence = "the clip is left out; paths are relative to the folder of the table"
            return Problem(Level.ERROR, "missing-file", clip.id, self.path, listed.line, found, consequence)
        try:
            if is_photograph(path):
                PhotographReader(path)  # nothing else decodes photographs before they are needed
            return self.recordings.of(clip)
        except (DataError, MediaError) as error:
            consequence = f"the clip of {_place(Path(self.path.name), listed.line)} is left out"
            found = without_path(error, path)
            return Problem(Level.ERROR, "unreadable-file", clip.id, path, None, found, consequence)

    def _check_ends(self, listed: ListedClip, end: int) -> Iterator[Problem]:
        for segment in listed.segments:
            if segment.start is None or segment.end is None or segment.end <= end + TOLERANCE:
                continue
            level, consequence = Level.WARNING, "the segment is cut at the end of the clip"
            if segment.start >= end:
                level, consequence = Level.ERROR, LEFT_OUT
            start, stop, last = (f"{seconds(t):g} s" for t in (segment.start, segment.end, end))
            found = f"{start} to {stop}, but the clip ends at {last}"
            yield Problem(level, "beyond-end", listed.id, self.path, segment.line, found, consequence)

    def _leaking_subjects(self) -> Iterator[Problem]:
        """Subjects whose clips are in several splits."""
        first: dict[str, ListedClip] = {}
        reported: set[str] = set()
        for listed in self._listed.values():
            subject = listed.subject
            if subject is None or listed.split is None or subject in reported:
                continue
            other = first.setdefault(subject, listed)
            if other.split != listed.split:
                reported.add(subject)
                where = other.path if other.line is None else f"line {other.line}"
                found = f"subject {subject} is in {listed.split}, and in {other.split} ({where})"
                consequence = "results on subjects seen in training come out too high; keep each subject in one split"
                yield Problem(Level.ERROR, "split-leak", subject, self.path, listed.line, found, consequence)

    def _corpora(self) -> Iterator[Problem]:
        """The classes that a corpus lacks, and clips without a corpus where others have one."""
        of_corpus: defaultdict[str | None, list[ListedClip]] = defaultdict(list)
        for listed in self._listed.values():
            of_corpus[listed.corpus].append(listed)
        if set(of_corpus) <= {None}:
            return
        for corpus, clips in of_corpus.items():
            if corpus is None:
                found = f"{len(clips)} of {len(self._listed)} clips have no corpus"
                consequence = "they count as one corpus; name the corpus of each clip"
                yield Problem(Level.WARNING, "no-corpus", self.name, self.path, clips[0].line, found, consequence)
                continue
            present = {int(label) for clip in clips for label in clip.labels}
            if absent := [name for n, name in enumerate(self.label_set.names) if n not in present]:
                found = f"corpus {corpus} has no label {', '.join(absent)}"
                consequence = "in training, its clips do not count as examples against it"
                yield Problem(Level.NOTE, "corpus-classes", corpus, self.path, clips[0].line, found, consequence)

    def _unlabelled_rows(self) -> Iterator[Problem]:
        """One problem for each split with rows that have no label."""
        valid = [clip for clip in self._listed.values() if not _errors(clip.problems)]
        for split in dict.fromkeys(clip.split for clip in self.clips):
            rows = [s for clip in valid if clip.split == split for s in clip.segments]
            missing = [s.line or 0 for s in rows if s.label == UNLABELLED]
            report = partial(Problem, item=split or self.name, path=self.path)
            if missing and len(missing) == len(rows) and split != "test":
                found, consequence = f"none of the {len(rows)} rows has a label", "nothing can be trained or evaluated"
                yield report(Level.WARNING, "no-labels", line=missing[0] or None, found=found, consequence=consequence)
            elif missing:
                found, consequence = f"{len(missing)} of {len(rows)} rows have no label", "they are ignored"
                yield report(
                    Level.NOTE,
                    "unlabelled",
                    line=min(missing) or None,
                    found=found,
                    consequence=consequence,
                )


def _errors(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.level is Level.ERROR]


def _place(path: Path, line: int | None) -> str:
    return printable(path) if line is None else f"{printable(path)}:{line}"


def check_encoding(path: Path) -> Iterator[Problem]:
    """A problem if a table is in no encoding of Unicode."""
    if path.suffix.lower() not in EXCEL_SUFFIXES and encoding_of(path) == LATIN_1:
        found, consequence = "is not UTF-8, and was read as Latin-1", "save it as CSV UTF-8 if letters are wrong"
        yield Problem(Level.WARNING, "not-utf8", path.stem, path, None, found, consequence)
