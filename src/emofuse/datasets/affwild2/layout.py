"""Annotations, videos, image folders and test lists of an Aff-Wild2 folder, found from folder listings alone.

The image folders of entries are not listed: they hold millions of files.
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
from emofuse.datasets.problems import Level, Problem
from emofuse.errors import DataError

EDITIONS = {
    "expr_set": "2020",
    "expr_recognition_challenge": "2022",
    "expr_classification_challenge": "2022",
}
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm"})
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
KINDS_OF_IMAGES = ("cropped_aligned", "cropped")  # the first one that a folder's name begins with
DEPTH = 3
TEST_LIST = re.compile(r".*test.*set.*\.txt", re.IGNORECASE)

Files = Mapping[str, tuple[Path, ...]]


@dataclass(frozen=True)
class Layout:
    """The files and folders of a data set.

    edition: "2020" (seven classes) or "2022" (eight), None without annotations. annotations: label files by split and
    entry. folders: the annotation folder of each split. videos: files by stem. images: folders by kind and entry.
    test_lists: text files that name the test entries.
    """

    edition: str | None
    annotations: Mapping[str, Mapping[str, Path]]
    folders: Mapping[str, Path]
    videos: Files
    images: Mapping[str, Files]
    test_lists: tuple[Path, ...]


def is_affwild2(path: Path) -> bool:
    """Whether a folder holds Aff-Wild2 annotations, or videos with cropped faces, at most three levels below.

    Raises:
        DataError: the folder cannot be listed.
    """
    found = list(_known_folders(path)) if path.is_dir() else []
    has_videos = any(_begins(p, "videos") or _begins(p, "batch") for p in found)
    return any(_edition(p) for p in found) or (has_videos and any(_kind_of_images(p.name) for p in found))


def read_layout(root: Path, edition: str | None = None) -> Layout:
    """The layout of an Aff-Wild2 folder.

    Args:
        root: the folder that holds annotations, videos and images, at most three levels below.
        edition: "2020" or "2022", required if the folder has annotations of both.
    Raises:
        DataError: not an Aff-Wild2 folder, no videos, annotations of several editions, or none of the wanted one.
    """
    if not root.is_dir():
        raise DataError(f"{printable(root)}: there is no such folder; give the folder of Aff-Wild2.")
    found = list(_known_folders(root))
    annotations = _choose_annotations(root, [p for p in found if _edition(p)], edition)
    # Batches are used only if there is no folder of videos: they may also be batches of images.
    video_folders = [p for p in found if _begins(p, "videos")] or [p for p in found if _begins(p, "batch")]
    image_folders = [(p, kind) for p in found if (kind := _kind_of_images(p.name)) is not None]
    if annotations is None and not (video_folders and image_folders):
        raise DataError(
            f"{printable(root)}: not an Aff-Wild2 folder: found neither annotations/EXPR_Set nor a later edition."
        )
    folders = _split_folders(annotations) if annotations else {}
    videos = _videos(video_folders)
    if not videos:
        raise DataError(
            f"{printable(root)}: annotations, but no videos; labels have no time without them. Put the folder "
            "videos next to the annotations."
        )
    return Layout(
        _edition(annotations) if annotations else None,
        {split: _label_files(folder) for split, folder in folders.items()},
        folders,
        videos,
        _images(image_folders),
        _test_lists(root, annotations),
    )


def image_folder(layout: Layout, entry: str, kind: str, video: Path | None) -> Path | Problem | None:
    """The folder of an entry's images; of several the one in the batch of the video, else a problem."""
    folders = layout.images.get(kind, {}).get(entry, ())
    if len(folders) > 1 and video is not None:
        same_batch = tuple(p for p in folders if p.parent.name == video.parent.name)
        folders = same_batch if len(same_batch) == 1 else folders
    if len(folders) <= 1:
        return folders[0] if folders else None
    found = f"{len(folders)} folders hold images of {entry}: {', '.join(map(str, folders))}"
    consequence = "its images are left out; keep one of the folders"
    return Problem(Level.ERROR, "ambiguous-name", entry, folders[0], None, found, consequence)


def numbered_images(folder: Path) -> dict[int, str]:
    """File names of the images of a folder by their number, with any number of digits; other files are ignored.

    Raises:
        DataError: the folder cannot be listed.
    """
    found: dict[int, str] = {}
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise _listing_error(folder, error) from None
    for name in names:
        stem, dot, suffix = name.rpartition(".")
        if stem.isdecimal() and stem.isascii() and (dot + suffix).lower() in IMAGE_SUFFIXES:
            number = int(stem)
            found[number] = min(found.get(number, name), name)
    return found


def _listed(folder: Path) -> Iterator[tuple[str, bool]]:
    """The name of each visible entry of a folder and whether it is a folder, in the order of the file system.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            yield from ((e.name, e.is_dir()) for e in entries if not e.name.startswith("."))
    except OSError as error:
        raise _listing_error(folder, error) from None


def _listing_error(folder: Path, error: OSError) -> DataError:
    return DataError(f"{printable(folder)}: the folder cannot be listed ({error.strerror}).")


def _folders(folder: Path) -> list[Path]:
    return sorted(folder / name for name, is_folder in _listed(folder) if is_folder)


def _begins(folder: Path, prefix: str) -> bool:
    return folder.name.lower().startswith(prefix)


def _edition(folder: Path) -> str | None:
    return EDITIONS.get(folder.name.lower())


def _kind_of_images(name: str) -> str | None:
    return next((kind for kind in KINDS_OF_IMAGES if name.lower().startswith(kind)), None)


def _known_folders(root: Path) -> Iterator[Path]:
    """Folders with a name of Aff-Wild2 below `root`; folders of images and videos are not entered.

    Annotations are searched one level deeper than videos, since they lie in a folder `annotations`.
    """
    level = [root]
    for depth in range(DEPTH + 2):
        below: list[Path] = []
        for folder in level:
            images, videos = _kind_of_images(folder.name) is not None, _begins(folder, "videos")
            if _edition(folder) or (depth <= DEPTH and (images or videos or _begins(folder, "batch"))):
                yield folder
            if folder == root or (depth <= DEPTH and not (images or videos)):
                with nullcontext() if folder == root else suppress(DataError):  # a locked folder is ignored
                    below += _folders(folder)
        level = below


def _choose_annotations(root: Path, found: Sequence[Path], edition: str | None) -> Path | None:
    if edition is not None and edition not in EDITIONS.values():
        raise DataError(f"edition {edition!r}: unknown; choose '2020' (seven classes) or '2022' (eight).")
    there = ", ".join(f"{_edition(p)} ({printable(p)})" for p in found)
    wanted = [p for p in found if edition in (None, _edition(p))]
    if edition is not None and not wanted:
        raise DataError(f"{printable(root)}: no annotations of edition {edition}; found {there or 'none at all'}.")
    if len({_edition(p) for p in wanted}) > 1:
        raise DataError(
            f"{printable(root)}: annotations of several editions, {there}; choose with edition='2020' or '2022'."
        )
    if len(wanted) > 1:
        raise DataError(
            f"{printable(root)}: several folders of annotations, {there}; keep one of them below this folder."
        )
    return wanted[0] if wanted else None


def _split_folders(annotations: Path) -> dict[str, Path]:
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
    """Test lists next to the annotations, or in the nearest folder above; those of EXPR are preferred."""
    folder = annotations or root
    while True:
        names = [n for n, is_folder in _listed(folder) if not is_folder and TEST_LIST.fullmatch(n)]
        names = [n for n in names if "expr" in n.lower()] or names
        if names or folder == root:
            return tuple(folder / name for name in sorted(names))
        folder = folder.parent
