"""The rows of a manifest: a CSV file that lists clips, or segments of clips, with their labels."""

from __future__ import annotations

import csv
import io
import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2, TO_AFFWILD2, UNLABELLED, LabelSet
from emofuse.core.registry import nearest
from emofuse.core.time import ticks
from emofuse.datasets.problems import Level, Problem
from emofuse.errors import DataError

# What each column may be called; where a file has several of these, the first counts.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "video"),
    "label": ("label", "emotion"),
    "start": ("start",),
    "end": ("end",),
    "subject": ("subject", "speaker", "person"),
    "split": ("split", "set", "part"),
}
SPLIT_NAMES: Mapping[str, str | None] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
    "": None,
}
DECIMAL = re.compile(r"\d{1,9}([.,]\d{0,9})?|[.,]\d{1,9}", re.ASCII)
NOT_LABELLED = ("", "-1")
LEFT_OUT = "the clip is left out until it is corrected"


@dataclass(frozen=True)
class Row:
    """A line of the file with its cells by column, "" where one is missing."""

    line: int
    cells: Mapping[str, str]
    too_many: bool = False


@dataclass(frozen=True)
class Segment:
    """A label for [start, end) in ticks, or for the whole clip where both are None."""

    line: int
    label: int
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class Listed:
    """A clip of the list: its rows in the order of time, and what is wrong with them. Without a path it is no clip."""

    id: str
    path: str
    line: int
    split: str | None
    subject: str | None
    segments: tuple[Segment, ...]
    problems: tuple[Problem, ...] = field(default=(), repr=False)


def read_rows(path: Path) -> list[Row]:
    """All rows with their line numbers; empty ones are left out.

    Raises:
        DataError: the file cannot be read as UTF-8 CSV, or lacks the column path or label.
    """
    text = _text(path)
    lines = _records(path, text)
    header = next((cells for _, cells in lines if any(cells)), [])
    columns = columns_of(header)
    for needed in ("path", "label"):
        if needed not in columns:
            there = ", ".join(c for c in header if c) or "nothing"
            raise DataError(
                f"{printable(path)}:1: no column {needed!r}, found {there}; begin the file with path,label."
            )
    return [
        Row(line, {c: cells[n] if n < len(cells) else "" for c, n in columns.items()}, any(cells[len(header) :]))
        for line, cells in lines
        if any(cells)
    ]


def columns_of(header: Sequence[str]) -> dict[str, int]:
    """Position of each known column in a header.

    >>> columns_of(["File", "emotion", "sex"])
    {'path': 0, 'label': 1}
    """
    names = [name.casefold() for name in header]
    found = {column: next((n for n in called if n in names), None) for column, called in COLUMNS.items()}
    return {column: names.index(name) for column, name in found.items() if name is not None}


def header_of(path: Path) -> dict[str, int]:
    """Known columns of a CSV file, none if it cannot be read as one."""
    try:
        with path.open(encoding="utf-8-sig", errors="strict") as file:
            line = file.readline(10_000)
        return columns_of(next(iter(_records(path, line)), (1, []))[1])
    except (OSError, UnicodeDecodeError, DataError):
        return {}


def read_clips(path: Path, label_set: LabelSet) -> list[Listed]:
    """The clips of a list in the order of their first rows.

    Raises:
        DataError: the file cannot be read as UTF-8 CSV, or lacks the column path or label.
    """
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in read_rows(path):
        groups[_plain(row.cells["path"])].append(row)
    names = _ids(groups)
    label_of = labels_by_name(label_set)
    return [_clip(_Finds(path, names[p] or path.name), p, rows, label_of) for p, rows in groups.items()]


def labels_by_name(label_set: LabelSet) -> dict[str, int]:
    """Index of every name that a label may have: those of the set, and what other sets call the same.

    >>> labels_by_name(AFFWILD2)["calm"], labels_by_name(AFFWILD2)["contempt"]
    (0, -1)
    """
    own = {name.casefold(): n for n, name in enumerate(label_set.names)}
    known = dict.fromkeys(NOT_LABELLED, UNLABELLED)
    if set(AFFWILD2.names) <= set(label_set.names):
        for names in TO_AFFWILD2.values():
            known |= {n: UNLABELLED if target is None else own[target] for n, target in names.items()}
    return known | own


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{printable(path)}: cannot be read ({error.strerror}); give the CSV file of your clips."
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{printable(path)}:{line}: is not UTF-8; save the table as CSV UTF-8.") from None


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Line and stripped cells of each record."""
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader, line = csv.reader(io.StringIO(text, newline=""), delimiter=separator), 1
    try:
        for cells in reader:
            yield line, [cell.strip() for cell in cells]
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{printable(path)}:{reader.line_num}: is no CSV ({error}); save the table anew.") from None


def _plain(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/")) if path else ""


def _ids(paths: Iterable[str]) -> dict[str, str]:
    """The path without its suffix; with it where files differ in nothing else."""
    stems = {path: os.path.splitext(path)[0] for path in paths}
    count = Counter(stems.values())
    ids = {path: stem if count[stem] == 1 else path for path, stem in stems.items()}
    return ids if len(set(ids.values())) == len(ids) else {path: path for path in stems}


def _clip(found: _Finds, path: str, rows: Sequence[Row], label_of: Mapping[str, int]) -> Listed:
    segments, seen = list[Segment](), dict[tuple[str, ...], int]()
    for row in rows:
        if row.too_many or not path:
            what = "more fields than the header names" if row.too_many else "no path"
            found.error("columns", row.line, what, "put a path that holds the separator into quotes; " + LEFT_OUT)
        same = tuple(row.cells.get(column, "") for column in COLUMNS)
        if same in seen and path:
            found.add(Level.WARNING, "duplicate", row.line, f"the same as line {seen[same]}", "it counts once")
            continue
        seen[same] = row.line
        times, label = _times(row, found), _label(row, label_of, found)
        if times is not None:
            segments.append(Segment(row.line, label, *times))
    splits = [_split(row, found) for row in rows]
    subjects = [row.cells.get("subject") or None for row in rows]
    if path:
        known = [n for n, row in enumerate(rows) if row.cells.get("split", "").casefold() in SPLIT_NAMES]
        _one("split", [splits[n] for n in known], [rows[n] for n in known], found)
        _one("subject", subjects, rows, found)
        segments.sort(key=lambda s: (s.start or 0, s.line))
        _apart(segments, found)
    return Listed(found.where, path, rows[0].line, splits[0], subjects[0], tuple(segments), tuple(found.problems))


@dataclass(frozen=True)
class _Finds:
    """Problems of one clip, as they are found."""

    path: Path
    where: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, level: Level, kind: str, line: int, found: str, means: str) -> None:
        self.problems.append(Problem(level, kind, self.where, self.path, line, found, means))

    def error(self, kind: str, line: int, found: str, means: str = LEFT_OUT) -> None:
        self.add(Level.ERROR, kind, line, found, means)


def _one(column: str, values: Sequence[str | None], rows: Sequence[Row], found: _Finds) -> None:
    other = next((n for n, value in enumerate(values) if value != values[0]), None)
    if other is not None:
        what = f"{column} {values[other] or 'none'}, but {values[0] or 'none'} in line {rows[0].line}"
        found.error("conflict", rows[other].line, what, f"a clip has one {column}; " + LEFT_OUT)


def _apart(segments: Sequence[Segment], found: _Finds) -> None:
    """Finds segments that overlap an earlier one; one without times holds for the whole clip."""
    longest = segments[0] if segments else None
    for segment in segments[1:]:
        assert longest is not None
        if longest.end is None or segment.end is None or (segment.start or 0) < longest.end:
            line = max(segment.line, longest.line)
            other = min(segment.line, longest.line)
            found.error("overlap", line, f"overlaps line {other}", "a moment has one label; " + LEFT_OUT)
        if longest.end is not None and (segment.end is None or segment.end > longest.end):
            longest = segment


def _label(row: Row, label_of: Mapping[str, int], found: _Finds) -> int:
    text = row.cells["label"]
    if text.casefold() in label_of:
        return label_of[text.casefold()]
    is_number = text.lstrip("+-").isdecimal()
    hint = ", a number" if is_number else nearest(text, [n for n in label_of if n not in NOT_LABELLED])
    found.error("label", row.line, f"unknown label {text!r}{hint}", "write the name of a class; " + LEFT_OUT)
    return UNLABELLED


def _split(row: Row, found: _Finds) -> str | None:
    text = row.cells.get("split", "").casefold()
    if text not in SPLIT_NAMES:
        hint = nearest(text, [n for n in SPLIT_NAMES if n])
        found.error("split", row.line, f"unknown part {text!r}{hint}", "write train, validation or test; " + LEFT_OUT)
    return SPLIT_NAMES.get(text)


def _times(row: Row, found: _Finds) -> tuple[int, int] | tuple[None, None] | None:
    """Start and end in ticks, both None where the row gives none; None where they are wrong."""
    texts = {column: row.cells.get(column, "") for column in ("start", "end")}
    if not any(texts.values()):
        return None, None
    for column, text in texts.items():
        if not text:
            found.error("time", row.line, f"no {column}", "give start and end, or neither; " + LEFT_OUT)
            return None
        if not DECIMAL.fullmatch(text):
            found.error("text", row.line, f"{column} {text!r} is no time in seconds", "write 12.5, say; " + LEFT_OUT)
            return None
    start, end = (ticks(Fraction(f"0{text}".replace(",", "."))) for text in texts.values())
    if end <= start:
        found.error("time", row.line, f"end {texts['end']} is not after start {texts['start']}")
        return None
    return start, end
