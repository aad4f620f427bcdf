"""The rows of a clip list, grouped by clip and checked: paths, labels, times, subjects and splits."""

from __future__ import annotations

import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emofuse.core.labels import UNLABELLED, LabelSet
from emofuse.core.registry import nearest
from emofuse.core.time import Ints, ticks
from emofuse.datasets.problems import Level, Problem
from emofuse.datasets.records import MISSING, seconds_of
from emofuse.datasets.tables import (
    END_COLUMNS,
    PATH_COLUMNS,
    START_COLUMNS,
    UNLABELLED_NAMES,
    Table,
    TableRow,
    label_index,
    label_indices,
)

TABLE = Table(
    {
        "path": PATH_COLUMNS,
        "label": ("label", "emotion", "expression", "class"),
        "start": START_COLUMNS,
        "end": END_COLUMNS,
        "subject": ("subject", "speaker", "person", "actor", "participant"),
        "corpus": ("corpus", "database"),
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
LEFT_OUT = "the clip is left out until it is corrected"


@dataclass(frozen=True)
class LabelSegment:
    """A label of [start, end) in ticks, or of the whole clip if both are None."""

    line: int | None
    label: int
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class ListedClip:
    """A clip of the list: its rows in order of time, and their problems. Rows without a path have the path "".

    line: of its first row, None if there is no table.
    """

    id: str
    path: str
    line: int | None
    split: str | None
    subject: str | None
    segments: tuple[LabelSegment, ...]
    problems: tuple[Problem, ...] = field(default=(), repr=False)
    corpus: str | None = None

    @property
    def labels(self) -> Ints:
        """int64 [segments]."""
        return np.array([s.label for s in self.segments], np.int64)


def read_clips(path: Path, label_set: LabelSet, table: Table = TABLE) -> list[ListedClip]:
    """The clips of a list in the order of their first rows.

    Args:
        table: has the columns of `TABLE` or fewer; rows without a label are not labelled.
    Raises:
        DataError: the file cannot be read as CSV or Excel, or lacks a required column.
    """
    groups: defaultdict[str, list[TableRow]] = defaultdict(list)
    for row in table.rows(path):
        name = row.cells["path"].replace("\\", "/")
        groups[posixpath.normpath(name) if name else ""].append(row)
    ids, indices = clip_ids(groups), label_indices(label_set)
    return [_RowParser(path, ids[p] or path.name, indices).clip(p, rows) for p, rows in groups.items()]


def clip_ids(paths: Iterable[str]) -> dict[str, str]:
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
        subjects, corpora = ([_given(row, name) or None for row in rows] for name in ("subject", "corpus"))
        if path:
            valid = [n for n, row in enumerate(rows) if _given(row, "split").casefold() in SPLIT_NAMES]
            self._check_equal("split", [splits[n] for n in valid], [rows[n] for n in valid])
            self._check_equal("subject", subjects, rows)
            self._check_equal("corpus", corpora, rows)
            segments.sort(key=lambda s: (s.start or 0, s.line or 0))
            self._check_overlaps(segments)
        return ListedClip(
            self.id,
            path,
            rows[0].line,
            splits[0],
            subjects[0],
            tuple(segments),
            tuple(self.problems),
            corpora[0],
        )

    def _add(self, level: Level, code: str, line: int | None, found: str, consequence: str) -> None:
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
                first, second = sorted((segment, longest), key=lambda s: s.line or 0)
                found = f"overlaps line {first.line}"
                self._error("overlapping-segments", second, found, "a moment has one label; " + LEFT_OUT)
            if longest.end is not None and (segment.end is None or segment.end > longest.end):
                longest = segment

    def _label(self, row: TableRow) -> int:
        text = row.cells.get("label", "")
        index = label_index(text, self.label_indices)
        if index is not None:
            return index
        is_number = text.lstrip("+-").isdecimal()
        names = [n for n in self.label_indices if n not in UNLABELLED_NAMES]
        hint = ", a number" if is_number else nearest(text, names)
        self._error("unknown-label", row, f"unknown label {text!r}{hint}", "write the name of a class; " + LEFT_OUT)
        return UNLABELLED

    def _split(self, row: TableRow) -> str | None:
        text = _given(row, "split").casefold()
        if text not in SPLIT_NAMES:
            found = f"unknown split {text!r}{nearest(text, [n for n in SPLIT_NAMES if n])}"
            self._error("unknown-split", row, found, "write train, validation or test; " + LEFT_OUT)
        return SPLIT_NAMES.get(text)

    def _times(self, row: TableRow) -> tuple[int, int] | tuple[None, None] | None:
        """Start and end in ticks, both None if the row has neither; None if they are invalid."""
        texts = {column: _given(row, column) for column in ("start", "end")}
        if not any(texts.values()):
            return None, None
        for column, text in texts.items():
            if not text:
                self._error("wrong-time", row, f"no {column}", "give both start and end, or neither; " + LEFT_OUT)
                return None
            if seconds_of(text) is None:
                found = f"{column} {text!r} is not a time"
                self._error("not-a-number", row, found, "write seconds (12.5), mm:ss or hh:mm:ss; " + LEFT_OUT)
                return None
        start, end = (ticks(seconds_of(text) or 0) for text in texts.values())
        if end <= start:
            self._error("wrong-time", row, f"end {texts['end']} is not after start {texts['start']}")
            return None
        return start, end


def _given(row: TableRow, column: str) -> str:
    """The cell of a column, "" where it is missing or a missing value."""
    text = row.cells.get(column, "")
    return "" if text.casefold() in MISSING else text
