"""The text format of the challenge's labels: a line of class names, then one number for each frame of a video.

It is the format of the annotations (2020 with seven classes, from 2022 on with eight) and of the submissions of those
years. Numbers are bound to classes by the names in the first line, never by position.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import write_bytes
from emofuse.core.labels import AFFWILD2, AFFWILD2_8, UNLABELLED, LabelSet, to_affwild2
from emofuse.core.registry import nearest
from emofuse.core.time import Ints
from emofuse.datasets.problems import Level, Problem, refusal
from emofuse.errors import LabelError

SETS = (AFFWILD2, AFFWILD2_8)
INTEGER = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)
LEFT_OUT = "the entry is left out until it is corrected"


@dataclass(frozen=True, eq=False)
class LabelFile:
    """The content of a label file, and what is wrong with it.

    labels: int64 [frames] in `label_set`, -1 where a frame is not labelled or its line is wrong.
    label_set: `AFFWILD2` or `AFFWILD2_8`, None where the first line does not tell.
    wrong: bool [frames], lines that hold no label that can be understood. blank: how many of them are empty.
    first_line: the line of frame 0, so that frame i is in line `first_line + i`.
    """

    path: Path
    labels: Ints
    label_set: LabelSet | None
    wrong: NDArray[np.bool_]
    blank: int = 0
    first_line: int = 2
    problems: tuple[Problem, ...] = ()


def read_labels(path: str | Path) -> LabelFile:
    """A label file without any fault.

    Raises:
        DataError: the first fault, with its line, and how many more there are.
    """
    file = scan_labels(path)
    if file.problems:
        raise refusal(file.problems)
    return file


def scan_labels(path: str | Path) -> LabelFile:
    """A label file with all its faults; raises nothing for its content.

    Lines that follow each other with the same kind of fault are one problem. Another order of the names, upper and
    lower case, a byte order mark, line ends of Windows, spaces and empty lines at the end are no faults.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return _nothing(path, _unreadable(path, error))
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return _nothing(path, _error(path, "header", None, "the file is empty", LEFT_OUT))
    names = _names(lines[0])
    label_set = next((s for s in SETS if sorted(names) == sorted(s.names)), None)
    problems = [] if label_set else [_wrong_header(path, lines[0], names)]
    has_header = label_set is not None or not INTEGER.fullmatch(lines[0])
    rows = lines[1:] if has_header else lines
    numbers, flaws = _numbers(rows, len(names) if label_set else None)
    problems += _flaws(path, rows, flaws, first_line=1 + has_header, label_set=label_set)
    table = np.append(label_set.encode(names), UNLABELLED) if label_set else np.array([UNLABELLED])
    labels = table[numbers] if label_set else np.full(len(rows), UNLABELLED, np.int64)
    wrong = np.array([bool(f) for f in flaws], bool) | (labels != numbers if label_set is None else False)
    return LabelFile(path, labels, label_set, wrong, flaws.count("missing-label"), 1 + has_header, tuple(problems))


def write_labels(path: str | Path, labels: Ints, label_set: LabelSet) -> None:
    """Write a label file whole or not at all, in the official spelling and with LF line ends.

    Args:
        labels: int64 [frames], index into `label_set` or -1.
        label_set: `AFFWILD2` or `AFFWILD2_8`.
    Raises:
        LabelError: another label set, or a label that is not in it.
        OutputError: the file cannot be written.
    """
    if label_set not in SETS:
        raise LabelError(
            f"label file: the format has no place for {', '.join(label_set.names)}; bring the labels into AFFWILD2."
        )
    label_set.decode(labels)
    lines = [header(label_set), *map(str, np.asarray(labels).tolist())]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def rename(labels: Ints, source: LabelSet, target: LabelSet) -> Ints:
    """Labels of one set as those of another, by name; -1 stays -1.

    Eight classes become seven with "other" as -1.

    Raises:
        LabelError: a class has no counterpart in the target.

    >>> rename(np.array([7, 0, -1]), AFFWILD2_8, AFFWILD2)
    array([-1,  0, -1])
    """
    if source == target:
        return labels
    table = to_affwild2(source) if target == AFFWILD2 else source.mapping_to(target, {n: n for n in source.names})
    return np.append(table, UNLABELLED)[labels]


def header(label_set: LabelSet) -> str:
    """The first line of a label file, in the official spelling.

    >>> header(AFFWILD2)
    'Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise'
    """
    return ",".join(name.capitalize() for name in label_set.names)


def _error(path: Path, kind: str, line: int | None, found: str, means: str) -> Problem:
    return Problem(Level.ERROR, kind, path.stem, path, line, found, means)


def _nothing(path: Path, problem: Problem) -> LabelFile:
    return LabelFile(path, np.empty(0, np.int64), None, np.empty(0, bool), problems=(problem,))


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> Problem:
    if isinstance(error, OSError):
        return _error(path, "unreadable", None, f"cannot be read ({error.strerror})", LEFT_OUT)
    line = error.object[: error.start].count(b"\n") + 1
    return _error(path, "text", line, "is not UTF-8 text", "the entry is left out until it is saved as plain text")


def _names(line: str) -> list[str]:
    return [name.strip(" \"'").casefold() for name in re.split(r"[,;\t]", line.rstrip(",;\t "))]


def _wrong_header(path: Path, line: str, names: Sequence[str]) -> Problem:
    unknown = [n for n in names if n not in AFFWILD2_8.names]
    missing = [n for n in AFFWILD2.names if n not in names]
    if len(unknown) == len(names):
        shown = line if len(line) <= 40 else f"{line[:40]}..."
        found = f"the first line is {shown!r}, not the names of the classes"
    elif unknown:
        found = f"the first line names an unknown class {unknown[0]!r}{nearest(unknown[0], missing)}"
    elif missing:
        found = f"the first line lacks the class {missing[0]!r}"
    else:
        found = "the first line names a class twice"
    return _error(path, "header", 1, found, f"no label can be bound to its class; begin with {header(AFFWILD2)}")


def _numbers(rows: Sequence[str], classes: int | None) -> tuple[Ints, list[str]]:
    """int64 [rows], -1 where a row is wrong, and the kind of fault of each row, "" where there is none."""
    flaws = [_flaw(row, classes) for row in rows]
    return np.array([UNLABELLED if f else int(r) for r, f in zip(rows, flaws, strict=True)], np.int64), flaws


def _flaw(row: str, classes: int | None) -> str:
    if not row:
        return "missing-label"
    if not INTEGER.fullmatch(row):
        return "label" if row.lstrip("+-").isdecimal() and row.isascii() else "text"
    return "" if classes is None or UNLABELLED <= int(row) < classes else "label"


def _flaws(
    path: Path, rows: Sequence[str], flaws: Sequence[str], *, first_line: int, label_set: LabelSet | None
) -> list[Problem]:
    problems, line = [], first_line
    for kind, run in groupby(flaws):
        count = len(list(run))
        first, again = rows[line - first_line][:40], f" and {count - 1} more in the lines after it" if count > 1 else ""
        if kind == "missing-label":
            means = "a label is missing, and those after it may be shifted; " + LEFT_OUT
            problems.append(_error(path, kind, line, f"empty line{again}", means))
        elif kind == "text":
            problems.append(_error(path, kind, line, f"{first!r} is no whole number{again}", LEFT_OUT))
        elif kind:
            highest = len(label_set or AFFWILD2) - 1
            found = f"label {first} is outside the set (0 to {highest}, or -1){again}"
            problems.append(_error(path, kind, line, found, LEFT_OUT))
        line += count
    return problems
