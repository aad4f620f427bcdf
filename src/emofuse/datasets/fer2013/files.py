"""Readers of the forms in which FER-2013 is distributed: an npz file, Kaggle's table, Kaggle's folders of images."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from emofuse.core.colour import LUMA
from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2, FER2013, FERPLUS, to_affwild2
from emofuse.core.registry import nearest
from emofuse.datasets.records import header_of
from emofuse.datasets.tables import PATH_COLUMNS, Table, label_index, label_indices
from emofuse.errors import DataError
from emofuse.media.images import IMAGE_SUFFIXES, image_size, read_image

USAGES = ("train", "public-test", "private-test")
SIZE = 48

_COLUMNS = ("emotion", "pixels", "usage")
_TABLE = Table(
    {name: (name,) for name in _COLUMNS}, _COLUMNS, "give Kaggle's fer2013.csv, with the columns emotion,pixels,Usage"
)
_USAGE_NUMBERS = {"training": 0, "publictest": 1, "privatetest": 2}
_FOLDERS = {
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("validation", "val", "valid", "dev", "publictest"), 1),
    **dict.fromkeys(("test", "testing", "privatetest"), 2),
}
_AGAIN = "get the file again"
_CLASSES: Mapping[str, int] = {name: label for name, label in label_indices(AFFWILD2).items() if label >= 0}


@dataclass(frozen=True, eq=False)
class FerRows:
    """All rows of a file.

    images: uint8 [n, 48, 48]; labels: int64 [n], AFFWILD2 index; usages: int64 [n], index into `USAGES`.
    votes: [n, 10] in the order of FERPLUS, None if the file has none.
    groups: int64 [n], equal for identical images, None if the file does not group them.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    usages: NDArray[np.int64]
    votes: NDArray[np.int8] | None = None
    groups: NDArray[np.int64] | None = None


# -- npz ------------------------------------------------------------------------------------------------------


def read_npz(path: Path) -> FerRows:
    """The arrays images, emotion (Aff-Wild2 order), usage, and optionally ferplus_votes and duplicate_group.

    Raises:
        DataError: the file is missing, lacks an array, or an array has another type, shape or range.
    """
    try:
        # Opened here, since np.load leaves a damaged file open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            images, emotion, usage = (file[name] for name in ("images", "emotion", "usage"))
            votes, groups = (file[n] if n in file.files else None for n in ("ferplus_votes", "duplicate_group"))
    except FileNotFoundError:
        raise DataError(
            f"{printable(path)}: no such file; give the path of fer2013.npz, fer2013.csv or the folders of images."
        ) from None
    except (KeyError, ValueError, TypeError, OSError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError(f"{printable(path)}: not a FER-2013 npz file ({error}).") from None
    n = len(images) if images.ndim else 0
    shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
        "images": (images, (n, SIZE, SIZE)),
        "emotion": (emotion, (n,)),
        "usage": (usage, (n,)),
        "ferplus_votes": (votes, (n, len(FERPLUS))),
        "duplicate_group": (groups, (n,)),
    }
    for name, (array, shape) in shapes.items():
        if array is not None and (array.shape != shape or array.dtype.kind not in "iu" or not n):
            raise DataError(
                f"{printable(path)}: {name} is {array.dtype} {list(array.shape)}, expected whole numbers "
                f"{list(shape)} for at least one image; {_AGAIN}."
            )
    for name, array, names in (("emotion", emotion, AFFWILD2.names), ("usage", usage, USAGES)):
        if array.min() < 0 or array.max() >= len(names):
            raise DataError(
                f"{printable(path)}: {name} runs from {array.min()} to {array.max()}, expected 0 to {len(names) - 1} "
                f"({', '.join(names)}); {_AGAIN}."
            )
    return FerRows(images.astype(np.uint8), emotion.astype(np.int64), usage.astype(np.int64), votes, groups)


# -- a table of pixels ----------------------------------------------------------------------------------------


def is_table(path: Path) -> bool:
    """Whether a file is a table of FER-2013: its header has pixels, or a usage but no path."""
    names = header_of(path)
    return "pixels" in names or ("usage" in names and not set(PATH_COLUMNS) & set(names))


def read_table(path: Path) -> FerRows:
    """Kaggle's table, read row by row: emotion (0 angry to 6 neutral), pixels (2,304 numbers), Usage.

    Raises:
        DataError: the file cannot be read, or a row is invalid; the message has its line.
    """
    labels, usages, pixels = list[int](), list[int](), bytearray()
    emotions = {str(n): int(label) for n, label in enumerate(to_affwild2(FER2013))}
    for row in _TABLE.rows(path):
        if row.is_short:
            raise _wrong(path, row.line, f"{row.fields} fields, the header has {', '.join(_COLUMNS)}")
        emotion, numbers, usage = (row.cells[name] for name in _COLUMNS)
        if emotion not in emotions:
            raise _wrong(path, row.line, f"emotion {emotion!r}, expected 0 to 6 ({', '.join(FER2013.names)})")
        if usage.casefold() not in _USAGE_NUMBERS:
            raise _wrong(path, row.line, f"Usage {usage!r}, expected Training, PublicTest or PrivateTest")
        labels.append(emotions[emotion])
        usages.append(_USAGE_NUMBERS[usage.casefold()])
        pixels += _pixels(path, row.line, numbers)
    if not labels:
        raise DataError(f"{printable(path)}: a header without rows; {_AGAIN}.")
    images = np.frombuffer(pixels, np.uint8).reshape(-1, SIZE, SIZE)
    return FerRows(images, np.array(labels, np.int64), np.array(usages, np.int64))


def _pixels(path: Path, line: int, text: str) -> bytes:
    digits = text.replace(" ", "")
    if not (digits.isascii() and digits.isdecimal()):
        odd = next((word for word in text.split() if not (word.isascii() and word.isdecimal())), "nothing")
        raise _wrong(path, line, f"{odd[:20]!r} among the pixels, expected numbers from 0 to 255")
    values = np.fromstring(text, np.int64, sep=" ")
    if len(values) != SIZE * SIZE:
        raise _wrong(path, line, f"{len(values)} pixels, expected {SIZE}x{SIZE} = {SIZE * SIZE}")
    if values.max() > 255:
        raise _wrong(path, line, f"a pixel of {values.max()}, expected 0 to 255")
    return values.astype(np.uint8).tobytes()


def _wrong(path: Path, line: int, found: str) -> DataError:
    return DataError(f"{printable(path)}:{line}: {found}; {_AGAIN}, or delete the line.")


# -- folders of images ----------------------------------------------------------------------------------------


def image_root(path: Path) -> Path | None:
    """The folder that holds `train/<emotion>/<image>` of 48x48 pixels, at a path or one level below it, None if there
    is none."""
    for folder in (path, *_folders(path).values()):
        trains = [p for p in _folders(folder).values() if _usage_of(p) == 0]
        folders = [(name, p) for train in trains for name, p in _folders(train).items()]
        emotions = [p for name, p in folders if label_index(name, _CLASSES) is not None]
        first = next((p for emotion in emotions for p in _listing(emotion) if _is_image(p)), None)
        if first is not None and image_size(first) in (None, (SIZE, SIZE)):
            return folder
    return None


def read_images(path: Path) -> FerRows:
    """Kaggle's folders: train/, validation/ and test/ with a folder of images for each emotion.

    Files in test/ whose names begin with PublicTest belong to the public test set, as named by Kaggle.

    Raises:
        DataError: a folder is not an emotion, an image cannot be read or has another size, or there is none.
    """
    images, labels, usages = list[bytes](), list[int](), list[int]()
    for folder in _folders(path).values():
        usage = _usage_of(folder)
        if usage is None:
            continue
        for name, emotions in _folders(folder).items():
            label = label_index(name, _CLASSES)
            if label is None:
                raise DataError(
                    f"{printable(emotions)}: {name!r} is not an emotion of FER-2013{nearest(name, _CLASSES)}; name the "
                    f"folder {', '.join(FER2013.names)}, or remove it."
                )
            for file in filter(_is_image, _listing(emotions)):
                images.append(_grey(file).tobytes())
                labels.append(label)
                usages.append(1 if usage == 2 and file.name.casefold().startswith("publictest") else usage)
    if not labels:
        raise DataError(f"{printable(path)}: no images in train/<emotion>; unpack the images of FER-2013 there.")
    faces = np.frombuffer(bytearray().join(images), np.uint8).reshape(-1, SIZE, SIZE)
    return FerRows(faces, np.array(labels, np.int64), np.array(usages, np.int64))


def _folders(path: Path) -> dict[str, Path]:
    return {p.name: p for p in _listing(path) if p.is_dir() and not p.name.startswith((".", "__"))}


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []  # folders without permission, such as lost+found, are ignored


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _usage_of(folder: Path) -> int | None:
    return _FOLDERS.get("".join(c for c in folder.name.casefold() if c.isalpha()))


def _grey(path: Path) -> NDArray[np.uint8]:
    image = read_image(path)
    if image.shape[:2] != (SIZE, SIZE):
        raise DataError(
            f"{printable(path)}: {image.shape[1]}x{image.shape[0]} pixels, FER-2013 has {SIZE}x{SIZE}; {_AGAIN}."
        )
    if (image == image[..., :1]).all():
        return image[..., 0]
    return np.asarray((image @ np.array(LUMA)).round(), np.uint8)
