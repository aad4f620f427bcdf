"""Submissions to the expression challenges: their formats, read, written and checked.

Until 2022 a submission is a folder with one text file for each entry, in the format of the annotations; from 2024 on
it is one file with a row for each frame. A submission is checked as it lies on disk, before it gets its name, so an
invalid one is never there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emofuse.core.files import atomic, atomic_folder
from emofuse.core.labels import AFFWILD2, AFFWILD2_8, UNLABELLED, LabelSet
from emofuse.core.registry import nearest
from emofuse.core.time import Ints
from emofuse.datasets.affwild2.label_files import LABEL_SETS, header, read_labels, write_labels
from emofuse.errors import DataError, OutputError, SettingsError

Row = tuple[str, int]  # entry and number of the frame, from 1 as in the names of the images
Annotated = tuple[LabelSet, Ints]


@dataclass(frozen=True)
class Edition:
    """A challenge: its classes, and whether one file holds all entries."""

    name: str
    label_set: LabelSet
    single: bool


EDITIONS: Mapping[str, Edition] = {
    "2020": Edition("2020", AFFWILD2, single=False),
    "2022": Edition("2022", AFFWILD2_8, single=False),
    "2024": Edition("2024", AFFWILD2_8, single=True),
}


def edition(name: str) -> Edition:
    """The edition of a name.

    Raises:
        SettingsError: there is none.
    """
    if name not in EDITIONS:
        raise SettingsError(f"--edition {name}: unknown{nearest(name, EDITIONS)}; choose {', '.join(EDITIONS)}.")
    return EDITIONS[name]


@dataclass
class Verdict:
    """What a check found: faults make a submission invalid, notes do not."""

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# -- writing --------------------------------------------------------------------------------------------------


def write_submission(
    path: str | Path, kind: Edition, labels: Mapping[str, Ints], *, sample: Sequence[Row] | None = None
) -> Verdict:
    """Write the labels of every frame of every entry, checked before it is there.

    Args:
        labels: for each entry int [frames], every frame of its video.
        sample: the rows asked for, in their order (2024 on); without it every frame of the entries, in their order.
    Raises:
        DataError: the submission would not be valid; nothing is written.
        OutputError: it cannot be written, or would replace a folder that holds other things.
    """
    path, frames = Path(path), {name: len(values) for name, values in labels.items()}
    others = [p.name for p in path.iterdir() if p.suffix != ".txt"] if path.is_dir() else []
    if others or (kind.single and path.is_dir()):
        found = f"holds {others[0]}" if others else "is a folder"
        wanted = "file" if kind.single else "folder"
        raise OutputError(f"{path}: {found} and is not replaced; give a new {wanted} with --out.")
    with (atomic if kind.single else atomic_folder)(path) as partial_path:
        if kind.single:
            rows = sample if sample is not None else _every(frames)
            partial_path.write_text("".join(_lines(kind, labels, rows)), "utf-8", newline="\n")
        else:
            for name, values in labels.items():
                write_labels(partial_path / f"{name}.txt", values, kind.label_set)
        verdict = check_submission(partial_path, kind, frames, sample=sample)
        if verdict.faults:
            more = f" (and {len(verdict.faults) - 1} more)" if len(verdict.faults) > 1 else ""
            raise DataError(f"{path}: not written, it would be invalid: {verdict.faults[0]}{more}")
    return verdict


def _every(frames: Mapping[str, int]) -> list[Row]:
    return [(name, n) for name, count in frames.items() for n in range(1, count + 1)]


def _single_header(label_set: LabelSet) -> str:
    return f"image_location,{header(label_set)}"


def _lines(kind: Edition, labels: Mapping[str, Ints], rows: Sequence[Row]) -> list[str]:
    lines = [_single_header(kind.label_set) + "\n"]
    for name, number in rows:
        # The organisers count a frame more than the video has, here and there: it takes the label of the last one.
        known = labels.get(name)
        inside = known is not None and len(known) and 1 <= number <= len(known) + 1
        label = int(known[min(number, len(known)) - 1]) if known is not None and inside else UNLABELLED
        lines.append(f"{name}/{number:05d}.jpg,{label}\n")
    return lines


# -- checking -------------------------------------------------------------------------------------------------


def check_submission(
    path: str | Path, kind: Edition, frames: Mapping[str, int], *, sample: Sequence[Row] | None = None
) -> Verdict:
    """What is wrong with a submission on disk, all of it.

    Args:
        frames: how many frames each entry has.
        sample: the rows that are asked for, in their order (2024 on).
    """
    path = Path(path)
    if kind.single != path.is_file():
        wanted = "one text file" if kind.single else "a folder with one text file for each entry"
        return Verdict([f"{path}: the {kind.name} edition wants {wanted}."])
    return _check_single(path, kind, frames, sample) if kind.single else _check_folder(path, kind, frames)


def _check_folder(path: Path, kind: Edition, frames: Mapping[str, int]) -> Verdict:
    verdict = Verdict()
    there = {p.name: p for p in path.iterdir()}
    for name, count in frames.items():
        file = there.pop(f"{name}.txt", None)
        if file is None:
            verdict.faults.append(f"{name}.txt is missing.")
            continue
        lines = file.read_text("utf-8", "replace").splitlines()
        if not lines or lines[0].strip() != header(kind.label_set):
            found = lines[0].strip()[:80] if lines else "nothing"
            verdict.faults.append(f"{name}.txt:1: the header is {found!r}, not {header(kind.label_set)!r}.")
        verdict.faults += _faulty(f"{name}.txt", [line.strip() for line in lines[1:]], kind)
        _compare(verdict, f"{name}.txt", len(lines) - 1, count)
    verdict.faults += [f"{name} belongs to no entry." for name in sorted(there)]
    return verdict


def _faulty(what: str, labels: Sequence[str], kind: Edition) -> list[str]:
    """The first label of a file that is none of the classes, and how many more there are."""
    allowed = {str(k) for k in range(len(kind.label_set))}
    wrong = [n for n, label in enumerate(labels) if label not in allowed]
    if not wrong:
        return []
    more = f"; {len(wrong) - 1} more like it" if len(wrong) > 1 else ""
    return [f"{what}:{wrong[0] + 2}: label {labels[wrong[0]]!r} is none of 0 to {len(kind.label_set) - 1}{more}."]


def _compare(verdict: Verdict, what: str, rows: int, frames: int) -> None:
    if rows == frames:
        return
    if abs(rows - frames) == 1:
        verdict.notes.append(f"{what} has {rows} rows, its video {frames} frames; organisers count one more at times.")
    else:
        verdict.faults.append(f"{what} has {rows} rows, its video {frames} frames.")


def _check_single(path: Path, kind: Edition, frames: Mapping[str, int], sample: Sequence[Row] | None) -> Verdict:
    verdict = Verdict()
    lines = path.read_text("utf-8", "replace").splitlines()
    if not lines or lines[0].strip() != _single_header(kind.label_set):
        found = lines[0].strip()[:80] if lines else "nothing"
        verdict.faults.append(f"{path.name}:1: the header is {found!r}, not {_single_header(kind.label_set)!r}.")
    places, _, labels = zip(*(line.rpartition(",") for line in lines[1:]), strict=True) if lines[1:] else ((), (), ())
    verdict.faults += _faulty(path.name, [label.strip() for label in labels], kind)
    given = [_place(p) for p in places]
    bad = [n for n, row in enumerate(given) if row is None]
    if bad:
        verdict.faults.append(f"{path.name}:{bad[0] + 2}: {places[bad[0]]!r} is no entry/00001.jpg; {len(bad)} in all.")
    rows = [row for row in given if row is not None]
    if sample is not None:
        _compare_rows(verdict, path.name, rows, sample)
        return verdict
    count: dict[str, int] = dict.fromkeys(frames, 0)
    for name, _ in dict.fromkeys(rows):
        count[name] = count.get(name, 0) + 1
    if len(set(rows)) < len(rows):
        verdict.faults.append(f"{path.name}: {len(rows) - len(set(rows))} rows occur twice.")
    for name, n in count.items():
        if name in frames:
            _compare(verdict, name, n, frames[name])
        else:
            verdict.faults.append(f"{path.name}: {name} is no entry of the data set.")
    return verdict


def _compare_rows(verdict: Verdict, what: str, rows: Sequence[Row], sample: Sequence[Row]) -> None:
    if list(rows) == list(sample):
        return
    missing, extra = set(sample) - set(rows), set(rows) - set(sample)
    for word, found in (("missing", missing), ("not in the sample", extra)):
        if found:
            name, number = min(found)
            verdict.faults.append(f"{what}: {len(found)} rows are {word}, such as {name}/{number:05d}.jpg.")
    if not missing and not extra:
        verdict.faults.append(f"{what}: the rows are not in the order of the sample, or occur twice.")


def _place(text: str) -> Row | None:
    name, _, image = text.strip().rpartition("/")
    number = image.partition(".")[0]
    return (name, int(number)) if name and number.isdigit() else None


# -- reading --------------------------------------------------------------------------------------------------


def read_sample(path: str | Path) -> list[Row]:
    """The rows of a sample file, in their order.

    Raises:
        DataError: it is missing, or a row names no image.
    """
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a sample file ({error}).") from None
    rows = []
    for n, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        row = _place(line.partition(",")[0])
        if row is None:
            raise DataError(f"{path}:{n}: {line[:60]!r} does not begin with entry/00001.jpg.")
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: the sample file has no rows after its header.")
    return rows


def read_folder(path: str | Path) -> dict[str, Annotated]:
    """The entries of a folder of text files.

    Raises:
        DataError: a file is not in the format of the annotations.
    """
    files = {file.stem: read_labels(file) for file in sorted(Path(path).glob("*.txt"))}
    return {name: (file.label_set, file.labels) for name, file in files.items() if file.label_set is not None}


def read_single(path: str | Path) -> dict[str, Annotated]:
    """The entries of a submission in one file; frames without a row are -1.

    Raises:
        DataError: the header or a row is not as in the 2024 edition.
    """
    path = Path(path)
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a submission ({error}).") from None
    first = lines[0].strip() if lines else ""
    label_set = next((s for s in LABEL_SETS if first == _single_header(s)), None)
    if label_set is None:
        raise DataError(f"{path}:1: the header is {first[:80]!r}, not {_single_header(AFFWILD2_8)!r}.")
    found: dict[str, dict[int, int]] = {}
    for n, line in enumerate(lines[1:], 2):
        place, _, label = line.rpartition(",")
        row = _place(place)
        if row is None or not label.strip().isdigit() or int(label) >= len(label_set):
            raise DataError(f"{path}:{n}: {line[:60]!r} is no row such as v1/00001.jpg,0.")
        found.setdefault(row[0], {})[row[1] - 1] = int(label)
    return {name: (label_set, _filled(rows)) for name, rows in found.items()}


def _filled(rows: Mapping[int, int]) -> Ints:
    labels = np.full(max(rows) + 1, UNLABELLED, np.int64)
    labels[list(rows)] = list(rows.values())
    return labels
