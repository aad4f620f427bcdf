"""Formats of submissions to the expression challenges: reading, writing and checking.

Until 2022 a submission is a folder with one text file for each entry, in the format of the annotations; from 2024 on
it is one file with a row for each frame. A submission is checked on disk before it gets its final name, so an invalid
one never exists under that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emofuse.core.files import atomic, atomic_folder, own_outputs
from emofuse.core.labels import AFFWILD2, AFFWILD2_8, UNLABELLED, LabelSet
from emofuse.core.time import Ints
from emofuse.datasets.affwild2.label_files import LABEL_SETS, header, read_labels, write_labels
from emofuse.errors import DataError, OutputError

Image = tuple[str, int]  # entry, and number of the frame, from 1 as in the names of image files
EntryLabels = tuple[LabelSet, Ints]


@dataclass(frozen=True)
class Edition:
    """A challenge: its classes, and whether a single file holds all entries."""

    name: str
    label_set: LabelSet
    single: bool


EDITIONS: Mapping[str, Edition] = {
    "2020": Edition("2020", AFFWILD2, single=False),
    "2022": Edition("2022", AFFWILD2_8, single=False),
    "2024": Edition("2024", AFFWILD2_8, single=True),
}


@dataclass
class CheckResult:
    """Errors make a submission invalid, notes do not."""

    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# -- writing --------------------------------------------------------------------------------------------------


def write_submission(
    path: str | Path, edition: Edition, labels: Mapping[str, Ints], *, sample: Sequence[Image] | None = None
) -> CheckResult:
    """Write the labels of every frame of every entry, and check them before the file or folder gets its name.

    Args:
        labels: for each entry int [frames], every frame of its video.
        sample: the requested images in their order (2024 on); default: every frame of the entries in order.
    Raises:
        DataError: the submission would not be valid; nothing is written.
        SettingsError: there is a submission that emofuse has not written.
        OutputError: it cannot be written, or would replace a folder with other files.
    """
    path, frames = Path(path), {name: len(values) for name, values in labels.items()}
    others = [p.name for p in path.iterdir() if p.suffix != ".txt"] if path.is_dir() else []
    if others or (edition.single and path.is_dir()):
        found = f"holds {others[0]}" if others else "is a folder"
        wanted = "file" if edition.single else "folder"
        raise OutputError(f"{path}: {found} and is not replaced; give a new {wanted} with --out.")
    with own_outputs([path]), (atomic if edition.single else atomic_folder)(path) as partial_path:
        if edition.single:
            rows = sample if sample is not None else _all_images(frames)
            partial_path.write_text("".join(_lines(edition, labels, rows)), "utf-8", newline="\n")
        else:
            for name, values in labels.items():
                write_labels(partial_path / f"{name}.txt", values, edition.label_set)
        result = check_submission(partial_path, edition, frames, sample=sample)
        if result.errors:
            more = f" (and {len(result.errors) - 1} more)" if len(result.errors) > 1 else ""
            raise DataError(f"{path}: not written, because it would be invalid: {result.errors[0]}{more}")
    return result


def _all_images(frames: Mapping[str, int]) -> list[Image]:
    return [(name, n) for name, count in frames.items() for n in range(1, count + 1)]


def _single_header(label_set: LabelSet) -> str:
    return f"image_location,{header(label_set)}"


def _lines(edition: Edition, labels: Mapping[str, Ints], rows: Sequence[Image]) -> list[str]:
    lines = [_single_header(edition.label_set) + "\n"]
    for name, number in rows:
        # The organisers' frame count is sometimes one too high: the extra frame gets the label of the last one.
        known = labels.get(name, ())
        inside = len(known) and 1 <= number <= len(known) + 1
        label = int(known[min(number, len(known)) - 1]) if inside else UNLABELLED
        lines.append(f"{name}/{number:05d}.jpg,{label}\n")
    return lines


# -- checking -------------------------------------------------------------------------------------------------


def check_submission(
    path: str | Path, edition: Edition, frames: Mapping[str, int], *, sample: Sequence[Image] | None = None
) -> CheckResult:
    """All errors of a submission on disk.

    Args:
        frames: number of frames of each entry.
        sample: the requested images in their order (2024 on).
    """
    path = Path(path)
    if edition.single != path.is_file():
        wanted = "one text file" if edition.single else "a folder with one text file for each entry"
        return CheckResult([f"{path}: the {edition.name} edition requires {wanted}."])
    return _check_single(path, edition, frames, sample) if edition.single else _check_folder(path, edition, frames)


def _check_folder(path: Path, edition: Edition, frames: Mapping[str, int]) -> CheckResult:
    result = CheckResult()
    files = {p.name: p for p in path.iterdir()}
    for name, count in frames.items():
        file = files.pop(f"{name}.txt", None)
        if file is None:
            result.errors.append(f"{name}.txt is missing.")
            continue
        lines = file.read_text("utf-8", "replace").splitlines()
        if not lines or lines[0].strip() != header(edition.label_set):
            found = lines[0].strip()[:80] if lines else "nothing"
            result.errors.append(f"{name}.txt:1: the header is {found!r}, not {header(edition.label_set)!r}.")
        result.errors += _invalid_labels(f"{name}.txt", [line.strip() for line in lines[1:]], edition)
        _compare_count(result, f"{name}.txt", len(lines) - 1, count)
    result.errors += [f"{name} does not belong to an entry." for name in sorted(files)]
    return result


def _invalid_labels(what: str, labels: Sequence[str], edition: Edition) -> list[str]:
    """The first label of a file that is not a class, and the number of others."""
    allowed = {str(k) for k in range(len(edition.label_set))}
    wrong = [n for n, label in enumerate(labels) if label not in allowed]
    if not wrong:
        return []
    more = f"; {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return [f"{what}:{wrong[0] + 2}: label {labels[wrong[0]]!r} is not one of 0 to {len(edition.label_set) - 1}{more}."]


def _compare_count(result: CheckResult, what: str, rows: int, frames: int) -> None:
    if rows == frames:
        return
    if abs(rows - frames) == 1:
        also = "the organisers' frame count is sometimes one higher"
        result.notes.append(f"{what} has {rows} rows, its video {frames} frames; {also}.")
    else:
        result.errors.append(f"{what} has {rows} rows, its video {frames} frames.")


def _check_single(
    path: Path, edition: Edition, frames: Mapping[str, int], sample: Sequence[Image] | None
) -> CheckResult:
    result = CheckResult()
    lines = path.read_text("utf-8", "replace").splitlines()
    if not lines or lines[0].strip() != _single_header(edition.label_set):
        found = lines[0].strip()[:80] if lines else "nothing"
        result.errors.append(f"{path.name}:1: the header is {found!r}, not {_single_header(edition.label_set)!r}.")
    images, _, labels = zip(*(line.rpartition(",") for line in lines[1:]), strict=True) if lines[1:] else ((), (), ())
    result.errors += _invalid_labels(path.name, [label.strip() for label in labels], edition)
    given = [_image(p) for p in images]
    bad = [n for n, row in enumerate(given) if row is None]
    if bad:
        result.errors.append(
            f"{path.name}:{bad[0] + 2}: {images[bad[0]]!r} is not of the form entry/00001.jpg; {len(bad)} in all."
        )
    rows = [row for row in given if row is not None]
    if sample is not None:
        _compare_images(result, path.name, rows, sample)
        return result
    count: dict[str, int] = dict.fromkeys(frames, 0)
    for name, _ in dict.fromkeys(rows):
        count[name] = count.get(name, 0) + 1
    if len(set(rows)) < len(rows):
        result.errors.append(f"{path.name}: {len(rows) - len(set(rows))} rows are duplicates.")
    for name, n in count.items():
        if name in frames:
            _compare_count(result, name, n, frames[name])
        else:
            result.errors.append(f"{path.name}: {name} is not an entry of the data set.")
    return result


def _compare_images(result: CheckResult, what: str, rows: Sequence[Image], sample: Sequence[Image]) -> None:
    if list(rows) == list(sample):
        return
    missing, extra = set(sample) - set(rows), set(rows) - set(sample)
    for word, found in (("missing", missing), ("not in the sample", extra)):
        if found:
            name, number = min(found)
            result.errors.append(f"{what}: {len(found)} rows are {word}, such as {name}/{number:05d}.jpg.")
    if not missing and not extra:
        result.errors.append(f"{what}: the rows are not in the order of the sample, or are duplicates.")


def _image(text: str) -> Image | None:
    name, _, image = text.strip().rpartition("/")
    number = image.partition(".")[0]
    return (name, int(number)) if name and number.isdigit() else None


# -- reading --------------------------------------------------------------------------------------------------


def read_sample(path: str | Path) -> list[Image]:
    """The images of a sample file, in their order.

    Raises:
        DataError: it is missing, or a row does not name an image.
    """
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a sample file ({error}).") from None
    rows = []
    for n, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        row = _image(line.partition(",")[0])
        if row is None:
            raise DataError(f"{path}:{n}: {line[:60]!r} does not begin with entry/00001.jpg.")
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: the sample file has no rows after its header.")
    return rows


def read_folder(path: str | Path) -> dict[str, EntryLabels]:
    """The entries of a folder of text files.

    Raises:
        DataError: a file is not in the format of the annotations.
    """
    files = {file.stem: read_labels(file) for file in sorted(Path(path).glob("*.txt"))}
    return {name: (file.label_set, file.labels) for name, file in files.items() if file.label_set is not None}


def read_single(path: str | Path) -> dict[str, EntryLabels]:
    """The entries of a submission in a single file; frames without a row are -1.

    Raises:
        DataError: the header or a row is not in the format of the 2024 edition.
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
        image, _, label = line.rpartition(",")
        row = _image(image)
        if row is None or not label.strip().isdigit() or int(label) >= len(label_set):
            raise DataError(f"{path}:{n}: {line[:60]!r} is not a row such as v1/00001.jpg,0.")
        found.setdefault(row[0], {})[row[1] - 1] = int(label)
    return {name: (label_set, _filled(rows)) for name, rows in found.items()}


def _filled(rows: Mapping[int, int]) -> Ints:
    labels = np.full(max(rows) + 1, UNLABELLED, np.int64)
    labels[list(rows)] = list(rows.values())
    return labels
