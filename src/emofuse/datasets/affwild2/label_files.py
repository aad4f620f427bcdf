"""The challenge's text format of labels: a header with the class names, then one number per frame of a video.

Annotations and submissions have this format, in 2020 with seven classes and from 2022 on with eight. The header
defines the class of each number.
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
from emofuse.datasets.problems import Level, Problem, error_for
from emofuse.errors import LabelError

LABEL_SETS = (AFFWILD2, AFFWILD2_8)
INTEGER = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)
LEFT_OUT = "the entry is left out until it is corrected"


@dataclass(frozen=True, eq=False)
class LabelFile:
    """The content of a label file, and its problems.

    labels: int64 [frames] in `label_set`, -1 where a frame is not labelled or its line is invalid.
    label_set: `AFFWILD2` or `AFFWILD2_8`, None if the header is invalid.
    wrong: bool [frames], lines without a valid label. blank: the number of empty lines among them.
    first_line: the line number of frame 0; frame i is in line `first_line + i`.
    """

    path: Path
    labels: Ints
    label_set: LabelSet | None
    wrong: NDArray[np.bool_]
    blank: int = 0
    first_line: int = 2
    problems: tuple[Problem, ...] = ()


def read_labels(path: str | Path) -> LabelFile:
    """A label file without problems.

    Raises:
        DataError: the first problem with its line, and the number of others.
    """
    file = scan_labels(path)
    if file.problems:
        raise error_for(file.problems)
    return file


def scan_labels(path: str | Path) -> LabelFile:
    """A label file and all its problems; invalid content does not raise an error.

    Consecutive lines with the same problem are reported together. Accepted are any order and case of the names, a byte
    order mark, Windows line ends, spaces, and empty lines at the end.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return _without_labels(path, _unreadable(path, error))
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return _without_labels(path, _error(path, "wrong-header", None, "the file is empty", LEFT_OUT))
    names = _names(lines[0])
    label_set = next((s for s in LABEL_SETS if sorted(names) == sorted(s.names)), None)
    problems = [] if label_set else [_wrong_header(path, lines[0], names)]
    has_header = label_set is not None or not INTEGER.fullmatch(lines[0])
    rows = lines[1:] if has_header else lines
    codes = [_problem_code(row, len(names) if label_set else None) for row in rows]
    numbers = np.array([UNLABELLED if code else int(r) for r, code in zip(rows, codes, strict=True)], np.int64)
    problems += _line_problems(path, rows, codes, first_line=1 + has_header, label_set=label_set)
    table = np.append(label_set.encode(names), UNLABELLED) if label_set else np.array([UNLABELLED])
    labels = table[numbers] if label_set else np.full(len(rows), UNLABELLED, np.int64)
    wrong = np.array([bool(code) for code in codes], bool) | (labels != numbers if label_set is None else False)
    return LabelFile(path, labels, label_set, wrong, codes.count("missing-label"), 1 + has_header, tuple(problems))


def write_labels(path: str | Path, labels: Ints, label_set: LabelSet) -> None:
    """Write a label file atomically, in the official spelling and with LF line ends.

    Args:
        labels: int64 [frames], index into `label_set` or -1.
        label_set: `AFFWILD2` or `AFFWILD2_8`.
    Raises:
        LabelError: another label set, or a label that is not in it.
        OutputError: the file cannot be written.
    """
    if label_set not in LABEL_SETS:
        raise LabelError(
            f"label file: the format does not allow {', '.join(label_set.names)}; convert the labels to AFFWILD2."
        )
    label_set.decode(labels)
    lines = [header(label_set), *map(str, np.asarray(labels).tolist())]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def rename(labels: Ints, source: LabelSet, target: LabelSet) -> Ints:
    """Labels of one set converted to another by name; -1 stays -1, and "other" becomes -1 in seven classes.

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
    """The header of a label file, in the official spelling.

    >>> header(AFFWILD2)
    'Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise'
    """
    return ",".join(name.capitalize() for name in label_set.names)


def _error(path: Path, code: str, line: int | None, found: str, consequence: str) -> Problem:
    return Problem(Level.ERROR, code, path.stem, path, line, found, consequence)


def _without_labels(path: Path, problem: Problem) -> LabelFile:
    return LabelFile(path, np.empty(0, np.int64), None, np.empty(0, bool), problems=(problem,))


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> Problem:
    if isinstance(error, OSError):
        return _error(path, "unreadable-file", None, f"cannot be read ({error.strerror})", LEFT_OUT)
    line = error.object[: error.start].count(b"\n") + 1
    return _error(path, "not-text", line, "is not UTF-8 text", "the entry is left out until it is saved as plain text")


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
    consequence = f"labels cannot be assigned to classes; begin the file with {header(AFFWILD2)}"
    return _error(path, "wrong-header", 1, found, consequence)


def _problem_code(row: str, classes: int | None) -> str:
    """The problem code of a line, "" if it is valid; `classes` is None if the header is invalid."""
    if not row:
        return "missing-label"
    if not INTEGER.fullmatch(row):
        return "unknown-label" if row.lstrip("+-").isdecimal() and row.isascii() else "not-a-number"
    return "" if classes is None or UNLABELLED <= int(row) < classes else "unknown-label"


def _line_problems(
    path: Path, rows: Sequence[str], codes: Sequence[str], *, first_line: int, label_set: LabelSet | None
) -> list[Problem]:
    problems, line = [], first_line
    for code, run in groupby(codes):
        count = len(list(run))
        first, more = rows[line - first_line][:40], f" and {count - 1} more in the lines after it" if count > 1 else ""
        if code == "missing-label":
            consequence = "a label is missing, and those after it may be shifted; " + LEFT_OUT
            problems.append(_error(path, code, line, f"empty line{more}", consequence))
        elif code == "not-a-number":
            problems.append(_error(path, code, line, f"{first!r} is not a whole number{more}", LEFT_OUT))
        elif code:
            highest = len(label_set or AFFWILD2) - 1
            found = f"label {first} is out of range (0 to {highest}, or -1){more}"
            problems.append(_error(path, code, line, found, LEFT_OUT))
        line += count
    return problems
