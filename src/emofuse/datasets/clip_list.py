"""Lists of one's own clips: a table with the header `path,label[,start,end,subject,corpus,split]`, or a folder.

Paths are relative to the table's folder. A row with start and end labels a segment of its clip; without them it labels
the whole clip. Labels are the names of Aff-Wild2's classes, or their synonyms in other known data sets.
"""

from __future__ import annotations

from pathlib import Path

from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2, LabelSet
from emofuse.datasets.clip_folder import clips_in_folder, is_clip_folder, with_splits
from emofuse.datasets.clip_rows import TABLE, read_clips
from emofuse.datasets.dataset import DATASETS, DataFormat
from emofuse.datasets.listed_clips import ListedClips, check_encoding
from emofuse.datasets.records import TABLE_SUFFIXES, header_of
from emofuse.errors import DataError


class ClipList(ListedClips):
    """The clips that a table lists, or the recordings of a folder whose names give their labels. Opening
    it reads only the table, not the recordings.

    The id of a clip is its path without the suffix. A clip with faulty rows stays in the list, but its annotation
    raises an error.

    Args:
        path: a CSV or Excel file; or a folder with a single such file, or with recordings named after their classes.
    Raises:
        DataError: the file cannot be read, or lacks the column path or label; the folder has several lists.
    """

    def __init__(self, path: str | Path, *, label_set: LabelSet = AFFWILD2) -> None:
        path = Path(path)
        if path.is_dir() and not _lists_in(path):
            instead = "write a clip list with a column split, or folders train and validation"
            super().__init__(path, *with_splits(path, clips_in_folder(path, label_set), instead=instead), label_set)
        else:
            table = _only_list(path) if path.is_dir() else path
            super().__init__(table, read_clips(table, label_set), list(check_encoding(table)), label_set)


def _lists_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if _is_list(p))


def _is_list(path: Path) -> bool:
    return set(TABLE.required) <= TABLE.positions(header_of(path)).keys()


def _only_list(folder: Path) -> Path:
    lists = _lists_in(folder)
    if len(lists) != 1:
        names = ", ".join(p.name for p in lists)
        raise DataError(f"{printable(folder)}: {len(lists)} clip lists{names and f', {names}'}; give the path of one.")
    return lists[0]


def _recognises(path: Path) -> bool:
    if path.is_dir():
        return bool(_lists_in(path))
    return path.suffix.lower() in TABLE_SUFFIXES - {".txt"} or _is_list(path)


DATASETS.add("clip-list", DataFormat(_recognises, ClipList, "a clip list (.csv with the columns path and label)"))
DATASETS.add(
    "clip-folder",
    DataFormat(
        lambda path: path.is_dir() and is_clip_folder(path, AFFWILD2),
        ClipList,
        "recordings in a folder per class or named as in RAVDESS, CREMA-D, TESS, SAVEE or EMO-DB",
    ),
)
