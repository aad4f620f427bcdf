"""Lists of one's own clips: a CSV file with the header `path,label[,start,end,subject,split]`.

Paths are relative to the file's folder. A row with start and end (seconds) labels a segment of its clip; without them
it labels the whole clip. Labels are the names of Aff-Wild2's classes, or their synonyms in other known data sets.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2, UNLABELLED, LabelSet
from emofuse.core.registry import nearest
from emofuse.core.time import Ints, Timeline, seconds, ticks
from emofuse.core.types import Annotation, Clip
from emofuse.datasets.dataset import DATASETS, DataFormat, DataSet
from emofuse.datasets.problems import Level, Problem, error_for
from emofuse.datasets.recordings import Recording, Recordings, check_recording, without_path
from emofuse.datasets.statistics import ClipStatistics, absent_classes
from emofuse.datasets.tables import UNLABELLED_NAMES, Table, TableRow, header_of, label_indices
from emofuse.errors import DataError
from emofuse.media.container import AUDIO_SUFFIXES

TABLE = Table(
    {
        "path": ("path", "file", "video"),
        "label": ("label", "emotion"),
        "start": ("start",),
        "end": ("end",),
        "subject": ("subject", "speaker", "person"),
        "split": ("split", "set", "part"),
    },
    required=("path", "label"),
    remedy="begin the file with path,label",
)
SPLIT_NAMES: Mapping[str, str | None] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
    "": None,
}
DECIMAL = re.compile(r"\d{1,9}([.,]\d{0,9})?|[.,]\d{1,9}", re.ASCII)
TOLERANCE = ticks(0.1)  # a segment may end this long after its clip, since tables are written with rounded times
LEFT_OUT = "the clip is left out until it is corrected"


@dataclass(frozen=True)
class LabelSegment:
    """A label of [start, end) in ticks, or of the whole clip if both are None."""

    line: int
    label: int
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class ListedClip:
    """A clip of the list: its rows in order of time, and their problems. Rows without a path have the path ""."""

    id: str
    path: str
    line: int
    split: str | None
    subject: str | None
    segments: tuple[LabelSegment, ...]
    problems: tuple[Problem, ...] = field(default=(), repr=False)

    @property
    def labels(self) -> Ints:
        """int64 [segments]."""
        return np.array([s.label for s in self.segments], np.int64)


class ClipList(DataSet):
    """The clips that a CSV file lists. Opening it reads only the table, not the recordings.

    The id of a clip is its path without the suffix. A clip with faulty rows stays in the list, but its annotation
    raises an error.

    Args:
        path: the CSV file in UTF-8, separated by comma, semicolon or tab; or a folder with a single such file.
    Raises:
        DataError: the file cannot be read, or lacks the column path or label; the folder has several lists.
    """

    def __init__(self, path: str | Path, *, label_set: LabelSet = AFFWILD2) -> None:
        self.path = _only_list(Path(path)) if Path(path).is_dir() else Path(path)
        self.folder = self.path.parent
        self.name = f"{self.folder.resolve().name}/{self.path.stem}"
        self.label_set = label_set
        listed = read_clips(self.path, label_set)
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
            found = f"{printable(self.path)}:{listed.line}: test clip {clip.id} has no label"
            raise DataError(f"{found}; choose another split.")
        end = self.recordings.of(clip).end
        if errors := _errors(self._check_ends(listed, end)):
            raise error_for(errors, self.path)
        spans = [(0, end) if s.start is None or s.end is None else (s.start, s.end) for s in listed.segments]
        start, stop = np.array(spans, np.int64).T
        return Annotation(listed.labels, Timeline(start, stop), self.label_set)

    def survey(self) -> Iterator[Problem | ClipStatistics]:
        """All problems, and the statistics of each readable clip, in one pass over the files."""
        yield from self._without_path
        counts: defaultdict[str | None, Ints] = defaultdict(lambda: np.zeros(len(self.label_set), np.int64))
        for clip in self.clips:
            for result in self._survey_clip(clip, self._listed[clip.id]):
                if isinstance(result, ClipStatistics):
                    counts[clip.split] += result.labels
                yield result
        yield from self._leaking_subjects()
        yield from self._unlabelled_rows()
        for split, count in counts.items():
            if count.any():
                yield from absent_classes(split or self.name, self.path, count, self.label_set)

    def _clip(self, listed: ListedClip) -> Clip:
        path = self.folder / listed.path
        # Decided by the suffix, so that a list of many thousand clips opens at once.
        video, audio = (None, path) if path.suffix.lower() in AUDIO_SUFFIXES else (path, None)
        return Clip(listed.id, video, audio, listed.split, listed.subject)

    def _survey_clip(self, clip: Clip, listed: ListedClip) -> Iterator[Problem | ClipStatistics]:
        yield from listed.problems
        recording = self._recording(clip, listed)
        if isinstance(recording, Problem):
            yield recording
            return
        yield from (replace(p, item=clip.id) for p in check_recording(self.folder / listed.path, recording))
        beyond_end = list(self._check_ends(listed, recording.end))
        yield from beyond_end
        if not _errors((*listed.problems, *beyond_end)):
            labels = listed.labels
            counts = np.bincount(labels[labels != UNLABELLED], minlength=len(self.label_set))
            unlabelled = int((labels == UNLABELLED).sum())
            yield ClipStatistics(clip, recording.frames, seconds(recording.end), counts, unlabelled)

    def _recording(self, clip: Clip, listed: ListedClip) -> Recording | Problem:
        path = self.folder / listed.path
        if not path.exists():
            found = f"there is no file {listed.path}"
            consequence = "the clip is left out; paths are relative to the folder of the table"
            return Problem(Level.ERROR, "missing-file", clip.id, self.path, listed.line, found, consequence)
        try:
            return self.recordings.of(clip)
        except DataError as error:
            consequence = f"the clip of {self.path.name}:{listed.line} is left out"
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
                found = f"subject {subject} is in {listed.split}, and in {other.split} (line {other.line})"
                consequence = "results on subjects seen in training come out too high; keep each subject in one split"
                yield Problem(Level.ERROR, "split-leak", subject, self.path, listed.line, found, consequence)

    def _unlabelled_rows(self) -> Iterator[Problem]:
        """One problem for each split with rows that have no label."""
        valid = [clip for clip in self._listed.values() if not _errors(clip.problems)]
        for split in dict.fromkeys(clip.split for clip in self.clips):
            rows = [s for clip in valid if clip.split == split for s in clip.segments]
            missing = [s.line for s in rows if s.label == UNLABELLED]
            report = partial(Problem, item=split or self.name, path=self.path)
            if missing and len(missing) == len(rows) and split != "test":
                found, consequence = f"none of the {len(rows)} rows has a label", "nothing can be trained or evaluated"
                yield report(Level.WARNING, "no-labels", line=missing[0], found=found, consequence=consequence)
            elif missing:
                found, consequence = f"{len(missing)} of {len(rows)} rows have no label", "they are ignored"
                yield report(Level.NOTE, "unlabelled", line=min(missing), found=found, consequence=consequence)


def read_clips(path: Path, label_set: LabelSet) -> list[ListedClip]:
    """The clips of a list in the order of their first rows.

    Raises:
        DataError: the file cannot be read as CSV in UTF-8, or lacks the column path or label.
    """
    groups: defaultdict[str, list[TableRow]] = defaultdict(list)
    for row in TABLE.rows(path):
        name = row.cells["path"].replace("\\", "/")
        groups[posixpath.normpath(name) if name else ""].append(row)
    ids, indices = _ids(groups), label_indices(label_set)
    return [_RowParser(path, ids[p] or path.name, indices).clip(p, rows) for p, rows in groups.items()]


def _ids(paths: Iterable[str]) -> dict[str, str]:
    """The path without its suffix, or with it if files differ only in the suffix."""
    stems = {path: os.path.splitext(path)[0] for path in paths}
    count = Counter(stems.values())
    ids = {path: stem if count[stem] == 1 else path for path, stem in stems.items()}
    return ids if len(set(ids.values())) == len(ids) else {path: path for path in stems}


@dataclass(frozen=True)
class _RowParser:
    """Parses the rows of one clip, collecting their problems."""

    path: Path
    id: str
    label_indices: Mapping[str, int]
    problems: list[Problem] = field(default_factory=list)

    def clip(self, path: str, rows: Sequence[TableRow]) -> ListedClip:
        segments, known = list[LabelSegment](), dict[tuple[str, ...], int]()
        for row in rows:
            if row.has_surplus or not path:
                found = "more fields than the header names" if row.has_surplus else "no path"
                self._error("wrong-columns", row, found, "quote a path that holds the separator; " + LEFT_OUT)
            first = known.setdefault(tuple(row.cells.values()), row.line)
            if first != row.line and path:
                found = f"the same as line {first}"
                self._add(Level.WARNING, "duplicate-row", row.line, found, "it is used once")
                continue
            times, label = self._times(row), self._label(row)
            if times is not None:
                segments.append(LabelSegment(row.line, label, *times))
        splits = [self._split(row) for row in rows]
        subjects = [row.cells.get("subject") or None for row in rows]
        if path:
            valid = [n for n, row in enumerate(rows) if row.cells.get("split", "").casefold() in SPLIT_NAMES]
            self._check_equal("split", [splits[n] for n in valid], [rows[n] for n in valid])
            self._check_equal("subject", subjects, rows)
            segments.sort(key=lambda s: (s.start or 0, s.line))
            self._check_overlaps(segments)
        return ListedClip(self.id, path, rows[0].line, splits[0], subjects[0], tuple(segments), tuple(self.problems))

    def _add(self, level: Level, code: str, line: int, found: str, consequence: str) -> None:
        self.problems.append(Problem(level, code, self.id, self.path, line, found, consequence))

    def _error(self, code: str, row: TableRow | LabelSegment, found: str, consequence: str = LEFT_OUT) -> None:
        self._add(Level.ERROR, code, row.line, found, consequence)

    def _check_equal(self, column: str, values: Sequence[str | None], rows: Sequence[TableRow]) -> None:
        for row, value in zip(rows, values, strict=True):
            if value != values[0]:
                found = f"{column} {value or 'none'}, but {values[0] or 'none'} in line {rows[0].line}"
                self._error("conflicting-rows", row, found, f"a clip has one {column}; " + LEFT_OUT)
                return

    def _check_overlaps(self, segments: Sequence[LabelSegment]) -> None:
        """Report segments that overlap an earlier one; one without times covers the whole clip."""
        longest = segments[0] if segments else None
        for segment in segments[1:]:
            assert longest is not None
            if longest.end is None or segment.end is None or (segment.start or 0) < longest.end:
                first, second = sorted((segment, longest), key=lambda s: s.line)
                found = f"overlaps line {first.line}"
                self._error("overlapping-segments", second, found, "a moment has one label; " + LEFT_OUT)
            if longest.end is not None and (segment.end is None or segment.end > longest.end):
                longest = segment

    def _label(self, row: TableRow) -> int:
        text = row.cells["label"]
        if text.casefold() in self.label_indices:
            return self.label_indices[text.casefold()]
        is_number = text.lstrip("+-").isdecimal()
        names = [n for n in self.label_indices if n not in UNLABELLED_NAMES]
        hint = ", a number" if is_number else nearest(text, names)
        self._error("unknown-label", row, f"unknown label {text!r}{hint}", "write the name of a class; " + LEFT_OUT)
        return UNLABELLED

    def _split(self, row: TableRow) -> str | None:
        text = row.cells.get("split", "").casefold()
        if text not in SPLIT_NAMES:
            found = f"unknown split {text!r}{nearest(text, [n for n in SPLIT_NAMES if n])}"
            self._error("unknown-split", row, found, "write train, validation or test; " + LEFT_OUT)
        return SPLIT_NAMES.get(text)

    def _times(self, row: TableRow) -> tuple[int, int] | tuple[None, None] | None:
        """Start and end in ticks, both None if the row has neither; None if they are invalid."""
        texts = {column: row.cells.get(column, "") for column in ("start", "end")}
        if not any(texts.values()):
            return None, None
        for column, text in texts.items():
            if not text:
                self._error("wrong-time", row, f"no {column}", "give both start and end, or neither; " + LEFT_OUT)
                return None
            if not DECIMAL.fullmatch(text):
                found = f"{column} {text!r} is not a time in seconds"
                self._error("not-a-number", row, found, "write it as 12.5; " + LEFT_OUT)
                return None
        start, end = (ticks(Fraction(f"0{text}".replace(",", "."))) for text in texts.values())
        if end <= start:
            self._error("wrong-time", row, f"end {texts['end']} is not after start {texts['start']}")
            return None
        return start, end


def _errors(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.level is Level.ERROR]


def _lists_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if set(TABLE.required) <= TABLE.positions(header_of(p)).keys())


def _only_list(folder: Path) -> Path:
    lists = _lists_in(folder)
    if len(lists) != 1:
        names = ", ".join(p.name for p in lists)
        raise DataError(f"{printable(folder)}: {len(lists)} clip lists{names and f', {names}'}; give the path of one.")
    return lists[0]


def _recognises(path: Path) -> bool:
    return path.suffix.lower() == ".csv" if path.is_file() else bool(_lists_in(path))


DATASETS.add("clip-list", DataFormat(_recognises, ClipList, "a clip list (.csv with the columns path and label)"))
