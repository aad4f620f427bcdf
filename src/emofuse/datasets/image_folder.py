"""Folders of photographs: a table with the header `path[,label,subject,split]`, or a folder for each class.

Paths are relative to the table's folder. Folders of classes may lie below `train`, `validation` and `test`. Labels are
the names of Aff-Wild2's classes, or their synonyms in other known data sets.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2, LabelSet
from emofuse.datasets.clip_folder import clips_in_folder
from emofuse.datasets.clip_rows import TABLE, ListedClip, read_clips
from emofuse.datasets.problems import Level, error_for
from emofuse.datasets.records import header_of
from emofuse.datasets.tables import PATH_COLUMNS, Table
from emofuse.errors import DataError
from emofuse.media.images import IMAGE_SUFFIXES

IMAGE_TABLE = Table(
    {
        "path": (*PATH_COLUMNS, "image", "image_path", "photo"),
        **{name: TABLE.columns[name] for name in ("label", "subject", "split")},
    },
    required=("path",),
    remedy="begin the file with path,label",
)
_USUAL_NAME = "labels.csv"


@dataclass(frozen=True)
class LabelledImage:
    """A photograph with its label, an index into the label set, or -1 if it has none.

    split: "train", "validation", "test", or None where none is given.
    """

    path: Path
    label: int
    subject: str | None
    split: str | None


def read_image_folder(folder: Path, labels: LabelSet = AFFWILD2) -> list[LabelledImage]:
    """The images of a folder in the order of its table, or of their paths if there is a folder for each class.

    The images themselves are not opened.

    Args:
        folder: with a table, of which `labels.csv` is the first choice, or with folders of images.
    Raises:
        DataError: a row is faulty, there are several tables, or there is no image.
    """
    table = image_table(folder)
    listed = listed_images(folder, table, labels)
    if errors := [p for image in listed for p in image.problems if p.level is Level.ERROR]:
        raise error_for(errors, folder)
    if not listed:
        raise DataError(f"{printable(folder)}: has no images; give a table path,label or a folder for each class.")
    return [
        LabelledImage(folder / os.path.expanduser(image.path), image.segments[0].label, image.subject, image.split)
        for image in listed
    ]


def listed_images(folder: Path, table: Path | None, labels: LabelSet) -> list[ListedClip]:
    """The images of a table, or of the folders of classes if there is none, with their problems.

    Raises:
        DataError: the table cannot be read as CSV or Excel.
    """
    if table is None:
        return clips_in_folder(folder, labels, IMAGE_SUFFIXES)
    return read_clips(table, labels, IMAGE_TABLE)


def image_table(folder: Path) -> Path | None:
    """The table of images in a folder, None if it has none.

    Raises:
        DataError: there are several tables, none of which is called labels.csv.
    """
    tables = sorted(path for path in folder.iterdir() if is_image_table(path))
    usual = [path for path in tables if path.name.casefold() == _USUAL_NAME]
    if len(usual or tables) > 1:
        raise DataError(f"{printable(folder)}: several tables of images, {_names(tables)}; give the path of one.")
    return next(iter(usual or tables), None)


def is_image_table(path: Path) -> bool:
    """Whether a file is a table whose first rows name images."""
    columns = IMAGE_TABLE.positions(header_of(path)).keys()
    if "path" not in columns or not columns & {"label", "subject"}:
        return False
    try:
        rows = list(islice(IMAGE_TABLE.rows(path), 5))
    except DataError:
        return False
    suffixes = {Path(row.cells["path"]).suffix.lower() for row in rows}
    return bool(suffixes & IMAGE_SUFFIXES)


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)
