"""Where an Aff-Wild2 folder keeps its annotations, videos, images and test list; only listings of folders are read.

Image folders themselves are not listed here: there are millions of files in them.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from emofuse.core.files import printable
from emofuse.errors import DataError

EDITIONS = {
    "expr_set": "2020",
    "expr_recognition_challenge": "2022",
    "expr_classification_challenge": "2022",
}
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm"})
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
KINDS_OF_IMAGES = ("cropped_aligned", "cropped")  # the first that a folder's name begins with tells its kind
DEPTH = 3
TEST_LIST = re.compile(r".*test.*set.*\.txt", re.IGNORECASE)

Files = Mapping[str, tuple[Path, ...]]


@dataclass(frozen=True)
class Layout:
    """What was found below a folder.

    edition: "2020" (seven classes) or "2022" (eight), None without annotations. annotations: label files by split and
    entry. folders: the folder of each split. videos: by stem. images: folders by kind and entry. test_lists: the files.
    """

    edition: str | None
    annotations: Mapping[str, Mapping[str, Path]]
    folders: Mapping[str, Path]
    videos: Files
    images: Mapping[str, Files]
    test_lists: tuple[Path, ...]


def find_layout(root: Path, edition: str | None = None) -> Layout | None:
    """The layout of a folder, None if it is no Aff-Wild2 folder.

    Args:
        root: the folder that holds annotations, videos and images, at most three levels below.
        edition: "2020" or "2022", needed where annotations of both are there.
    Raises:
        DataError: there are annotations of several editions, or none of the wanted one.
    """
    found = list(_marked(root))
    chosen = _chosen(root, [p for p in found if p.name.lower() in EDITIONS], edition)
    # Batches are looked at only where there is no folder of videos: they may also be batches of images.
    videos = [p for p in found if _is(p, "videos")] or [p for p in found if _is(p, "batch")]
    pictures = [(p, kind) for p in found if (kind := _kind_of_images(p.name)) is not None]
    if chosen is None and not (videos and pictures):
        return None
    folders = _splits(chosen) if chosen else {}
    return Layout(
        EDITIONS[chosen.name.lower()] if chosen else None,
        {split: _label_files(folder) for split, folder in folders.items()},
        folders,
        _videos(videos),
        _images(pictures),
        _test_lists(root, chosen),
    )


def numbered(folder: Path) -> dict[int, str]:
    """Names of the images of a folder by their number, whatever its count of digits; other files are left out.

    Raises:
        DataError: the folder cannot be listed.
    """
    found: dict[int, str] = {}
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise _unlisted(folder, error) from None
    for name in names:
        stem, dot, suffix = name.rpartition(".")
        if stem.isdecimal() and stem.isascii() and (dot + suffix).lower() in IMAGE_SUFFIXES:
            number = int(stem)
            found[number] = min(found.get(number, name), name)
    return found


def _listed(folder: Path) -> Iterator[tuple[str, bool]]:
    """Name and whether it is a folder, in the order of the disk; hidden ones are left out.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            yield from ((e.name, e.is_dir()) for e in entries if not e.name.startswith("."))
    except OSError as error:
        raise _unlisted(folder, error) from None


def _unlisted(folder: Path, error: OSError) -> DataError:
    return DataError(f"{printable(folder)}: the folder cannot be listed ({error.strerror}).")


def _folders(folder: Path) -> list[Path]:
    return sorted(folder / name for name, is_folder in _listed(folder) if is_folder)


def _is(folder: Path, begin: str) -> bool:
    return folder.name.lower().startswith(begin)


def _kind_of_images(name: str) -> str | None:
    return next((kind for kind in KINDS_OF_IMAGES if name.lower().startswith(kind)), None)


def _marked(root: Path) -> Iterator[Path]:
    """Folders whose names belong to Aff-Wild2, `root` first; those of images and videos are not entered.

    Annotations are looked for one level further down than videos, since they lie in a folder `annotations`.
    """
    level = [root]
    for depth in range(DEPTH + 2):
        below: list[Path] = []
        for folder in level:
            images, videos = _kind_of_images(folder.name) is not None, _is(folder, "videos")
            if folder.name.lower() in EDITIONS or (depth <= DEPTH and (images or videos or _is(folder, "batch"))):
                yield folder
            if folder == root or (depth <= DEPTH and not (images or videos)):
                with nullcontext() if folder == root else suppress(DataError):  # a locked folder may hold anything
                    below += _folders(folder)
        level = below


def _chosen(root: Path, found: Sequence[Path], edition: str | None) -> Path | None:
    if edition is not None and edition not in EDITIONS.values():
        raise DataError(f"edition {edition!r}: there are '2020' (seven classes) and '2022' (eight).")
    there = ", ".join(f"{EDITIONS[p.name.lower()]} ({printable(p)})" for p in found)
    wanted = [p for p in found if edition in (None, EDITIONS[p.name.lower()])]
    if edition is not None and not wanted:
        raise DataError(f"{printable(root)}: no annotations of edition {edition}; found {there or 'none at all'}.")
    if len({EDITIONS[p.name.lower()] for p in wanted}) > 1:
        raise DataError(
            f"{printable(root)}: annotations of several editions, {there}; choose with edition='2020' or '2022'."
        )
    if len(wanted) > 1:
        raise DataError(
            f"{printable(root)}: several folders of annotations, {there}; keep one of them below this folder."
        )
    return wanted[0] if wanted else None


def _splits(annotations: Path) -> dict[str, Path]:
    """The folders Training_Set (or Train_Set) and Validation_Set."""
    found = {}
    for split in ("train", "validation"):
        match = [p for p in _folders(annotations) if p.name.lower().startswith(split[:5])]
        if len(match) > 1:
            raise DataError(f"{printable(annotations)}: both {match[0].name} and {match[1].name}; keep one of them.")
        if match:
            found[split] = match[0]
    if not found:
        raise DataError(
            f"{printable(annotations)}: neither a folder Training_Set (or Train_Set) nor Validation_Set in it."
        )
    return found


def _label_files(folder: Path) -> dict[str, Path]:
    names = sorted(name for name, is_folder in _listed(folder) if not is_folder and name.lower().endswith(".txt"))
    return {name[:-4]: folder / name for name in names}


def _videos(roots: Sequence[Path]) -> Files:
    found: defaultdict[str, list[Path]] = defaultdict(list)
    waiting, seen = list(roots), set[str]()
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)  # links may lead in circles
        if real in seen or _kind_of_images(folder.name) is not None:
            continue
        seen.add(real)
        for name, is_folder in _listed(folder):
            path = folder / name
            if is_folder:
                waiting.append(path)
            elif path.suffix.lower() in VIDEO_SUFFIXES:
                found[path.stem].append(path)
    return {stem: tuple(sorted(paths)) for stem, paths in sorted(found.items())}


def _images(roots: Sequence[tuple[Path, str]]) -> dict[str, Files]:
    found: dict[str, defaultdict[str, list[Path]]] = {}
    for root, kind in roots:
        entries = found.setdefault(kind, defaultdict(list))
        for folder in _image_folders(root, depth=2):
            entries[folder.name].append(folder)
    return {
        kind: {entry: tuple(sorted(paths)) for entry, paths in sorted(found[kind].items())}
        for kind in KINDS_OF_IMAGES
        if kind in found
    }


def _image_folders(folder: Path, *, depth: int) -> Iterator[Path]:
    for below in _folders(folder):
        if depth > 1 and _holds_folders(below):
            yield from _image_folders(below, depth=depth - 1)
        else:
            yield below


def _holds_folders(folder: Path) -> bool:
    """Whether it is a batch of entries; stops at the first image, so a full folder costs no more than an empty one."""
    for name, is_folder in _listed(folder):
        if is_folder:
            return True
        if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
            return False
    return False


def _test_lists(root: Path, annotations: Path | None) -> tuple[Path, ...]:
    """Lists beside the annotations, else further up to the folder itself; those of EXPR before those of others."""
    folder = annotations or root
    while True:
        names = [n for n, is_folder in _listed(folder) if not is_folder and TEST_LIST.fullmatch(n)]
        names = [n for n in names if "expr" in n.lower()] or names
        if names or folder == root:
            return tuple(folder / name for name in sorted(names))
        folder = folder.parent
