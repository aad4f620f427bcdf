"""Folders of photographs: a table with the header `path[,label,subject,split]`, or a folder for each class.

Paths are relative to the table's folder. Folders of classes may lie below `train`, `validation` and `test`. Labels are
the names of Aff-Wild2's classes, or their synonyms in other known data sets.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2, LabelSet
from emofuse.datasets.clip_folder import clips_in_folder, is_clip_folder, with_splits
from emofuse.datasets.clip_rows import TABLE, ListedClip, read_clips
from emofuse.datasets.dataset import DATASETS, DataFormat
from emofuse.datasets.listed_clips import ListedClips, check_encoding
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
_FIRST_ROWS = 5  # that must name images


class ImageFolder(ListedClips):
    """The photographs that a table lists, or those in folders of classes, as clips of one frame, from which faces are
    cut. Opening it decodes no image.

    Where no split is given, every fifth subject is the validation split, or every fifth image of a class.

    Args:
        path: a folder with a table, of which `labels.csv` is the first choice, or with folders of images; or a table.
    Raises:
        DataError: the table cannot be read, or there are several.
    """

    still_images = True

    def __init__(self, path: str | Path, *, label_set: LabelSet = AFFWILD2) -> None:
        path = Path(path)
        table, listed = _listed(path, label_set)
        instead = "add a column split to the table" if table else "use folders train and validation"
        listed, problems = with_splits(table or path, listed, instead=instead)
        super().__init__(table or path, listed, [*problems, *(check_encoding(table) if table else ())], label_set)


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
        folder: as `ImageFolder` takes it.
    Raises:
        DataError: a row is faulty, there are several tables, or there is no image.
    """
    table, listed = _listed(folder, labels)
    if errors := [p for image in listed for p in image.problems if p.level is Level.ERROR]:
        raise error_for(errors, folder)
    if not listed:
        raise DataError(f"{printable(folder)}: has no images; give a table path,label or a folder for each class.")
    parent = table.parent if table else folder
    return [
        LabelledImage(parent / os.path.expanduser(image.path), image.segments[0].label, image.subject, image.split)
        for image in listed
    ]


def _listed(path: Path, labels: LabelSet) -> tuple[Path | None, list[ListedClip]]:
    """The table at a path or in a folder, None if there is none, and the images with their problems."""
    table = _table_in(path) if path.is_dir() else path
    if table is None:
        return None, clips_in_folder(path, labels, IMAGE_SUFFIXES)
    return table, read_clips(table, labels, IMAGE_TABLE)


def _table_in(folder: Path) -> Path | None:
    tables = sorted(path for path in folder.iterdir() if _is_image_table(path))
    usual = [path for path in tables if path.name.casefold() == _USUAL_NAME]
    if len(usual or tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DataError(f"{printable(folder)}: several tables of images, {names}; give the path of one.")
    return next(iter(usual or tables), None)


def _is_image_table(path: Path) -> bool:
    """Whether a file is a table whose first rows name images with labels or subjects."""
    columns = IMAGE_TABLE.positions(header_of(path)).keys()
    if "path" not in columns or not columns & {"label", "subject"}:
        return False
    try:
        rows = list(islice(IMAGE_TABLE.rows(path), _FIRST_ROWS))
    except DataError:
        return False
    suffixes = {Path(row.cells["path"]).suffix.lower() for row in rows}
    return bool(suffixes) and suffixes <= IMAGE_SUFFIXES


def _recognises(path: Path) -> bool:
    if not path.is_dir():
        return _is_image_table(path)
    if any(_is_image_table(file) for file in path.iterdir()):
        return True
    return is_clip_folder(path, AFFWILD2, IMAGE_SUFFIXES) and not is_clip_folder(path, AFFWILD2)


DATASETS.add(
    "image-folder",
    DataFormat(_recognises, ImageFolder, "photographs in a table path,label or a folder for each class"),
)
