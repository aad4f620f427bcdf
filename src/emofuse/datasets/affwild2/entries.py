"""The entries of Aff-Wild2: the split of each, and the video that it was cut from.

An entry is one person of one video; the suffixes `_left` and `_right` distinguish the two persons of a video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from emofuse.core.files import printable
from emofuse.datasets.affwild2.layout import Layout
from emofuse.datasets.problems import Level, Problem
from emofuse.errors import DataError

SIDES = ("_left", "_right")
# Words in the first line of a test list that make it a title instead of a name.
TITLES = {"name", "names", "video", "videos", "entry", "entries", "file", "files", "filename", "id", "test", "image"}
HELD_OUT_FIRST = ("test", "validation", "train")


@dataclass(frozen=True)
class Entry:
    """A person of a video.

    labels: the label file, None for a test entry. presumed_test: in the test split only because there is no test list.
    """

    name: str
    split: str
    labels: Path | None = None
    presumed_test: bool = False


@dataclass(frozen=True)
class VideoMatch:
    """The video of an entry, None if there is none or several match; the problem, if the match was not clear."""

    video: Path | None
    problem: Problem | None = None


@dataclass(frozen=True)
class Evidence:
    """What an entry's video must fit: the number of labels, None without labels; the last image, 0 without images."""

    labels: int | None
    last_image: int


def find_entries(root: Path, layout: Layout) -> tuple[dict[str, Entry], list[Problem]]:
    """The entries by name, in the order train, validation, test, and the problems of their assignment to splits.

    An entry in several splits is assigned to the one held out from training, so that no training data is evaluated.

    Raises:
        DataError: a test list cannot be read.
    """
    splits: dict[str, dict[str, Path]] = {split: dict(files) for split, files in layout.annotations.items()}
    annotated = {name for files in splits.values() for name in files}
    known = annotated.union(layout.videos, *layout.images.values())
    listed = {name: path for path in layout.test_lists for name in _names(path, known)}
    unlisted = _unlisted(annotated | listed.keys(), layout)
    splits["test"] = listed if layout.test_lists else dict.fromkeys(unlisted, root)
    problems = [*_leaks(splits), *_check_unlisted(root, unlisted, layout)]
    found: dict[str, Entry] = {}
    for split in reversed(HELD_OUT_FIRST):
        for name in sorted(splits.get(split, ())):
            held_out = next(s for s in HELD_OUT_FIRST if name in splits.get(s, ()))
            if split == held_out:
                labels = splits[split][name] if split != "test" else None
                found[name] = Entry(name, split, labels, presumed_test=split == "test" and not layout.test_lists)
    return found, problems


def stem_of(entry: str, videos: Iterable[str]) -> str | None:
    """The file stem of an entry's video: the name of the entry, or that without `_left` or `_right`.

    >>> stem_of("102_left", {"102", "102-30-640x360"})
    '102'
    """
    bare = next((entry.removesuffix(side) for side in SIDES if entry.endswith(side)), entry)
    return next((stem for stem in (entry, bare) if stem in videos), None)


def person_of(entry: str) -> int:
    """The person number of an entry: 2 for `_right`, else 1."""
    return 2 if entry.endswith("_right") else 1


def match_video(
    entry: Entry, layout: Layout, root: Path, *, frames: Callable[[Path], int | None], evidence: Callable[[], Evidence]
) -> VideoMatch:
    """The video of an entry; of several with its name, the one whose number of frames fits.

    Args:
        frames: the number of frames of a video, None if it cannot be read.
        evidence: called only if several videos have the name.
    """
    stem = stem_of(entry.name, layout.videos)
    path = entry.labels or root
    if stem is None:
        found = f"there is no video {entry.name} (.mp4, .avi or similar)"
        consequence = "the entry is left out, since its frames have no times without a video"
        return VideoMatch(None, Problem(Level.ERROR, "missing-video", entry.name, path, None, found, consequence))
    candidates = layout.videos[stem]
    if len(candidates) == 1:
        return VideoMatch(candidates[0])
    counts = {video: frames(video) for video in candidates}
    listed = ", ".join(f"{printable(p)} ({'unreadable' if n is None else f'{n} frames'})" for p, n in counts.items())
    found = f"{len(candidates)} videos have the name {stem}: {listed}"
    fitting = _fitting({video: n for video, n in counts.items() if n is not None}, evidence())
    if len(fitting) != 1:
        level, video = Level.ERROR, None
        consequence = "the entry is left out, since its labels and images fit none or several of them; keep one of them"
    else:
        level, video = Level.WARNING, fitting[0]
        consequence = f"{video.parent.name}/{video.name} is used, since only its number of frames fits"
    return VideoMatch(video, Problem(level, "ambiguous-name", entry.name, path, None, found, consequence))


def _fitting(counts: Mapping[Path, int], evidence: Evidence) -> list[Path]:
    fitting = [path for path, n in counts.items() if evidence.last_image <= n + 1]
    if evidence.labels is None:
        return fitting if evidence.last_image else []
    exact = [path for path in fitting if counts[path] == evidence.labels]
    return exact if len(exact) == 1 else [path for path in fitting if abs(counts[path] - evidence.labels) <= 1]


def _unlisted(known: set[str], layout: Layout) -> list[str]:
    """Image folders and videos that belong to no known entry."""
    with_images = {name for entries in layout.images.values() for name in entries if name not in known}
    used = {stem_of(name, layout.videos) for name in (*known, *with_images)}
    return sorted(with_images | {stem for stem in layout.videos if stem not in used})


def _leaks(splits: Mapping[str, Mapping[str, Path]]) -> Iterator[Problem]:
    for name in sorted({name for files in splits.values() for name in files}):
        own = [split for split in HELD_OUT_FIRST if name in splits.get(split, ())]
        if len(own) > 1:
            found = f"the entry is in {' and in '.join(reversed(own))}"
            consequence = f"it is used in {own[0]} only, since results on training data are meaningless"
            yield Problem(Level.ERROR, "split-leak", name, splits[own[-1]][name], None, found, consequence)


def _check_unlisted(root: Path, unlisted: list[str], layout: Layout) -> Iterator[Problem]:
    if not layout.test_lists and unlisted:
        lacking = "no test list" if layout.edition else "no annotations (EXPR_Set or EXPR_Recognition_Challenge)"
        found = f"{lacking}, and {len(unlisted)} entries without an annotation, the first is {unlisted[0]}"
        yield Problem(Level.NOTE, "no-test-list", root.name, root, None, found, "they are used as the test split")
    for name in unlisted if layout.test_lists else ():
        found = f"{name} is neither annotated nor in the test list"
        yield Problem(Level.WARNING, "no-annotation", name, root, None, found, "it is left out")


def _names(path: Path, known: set[str]) -> list[str]:
    """The distinct names in a test list, without a title and file suffixes.

    A list has one name per line, or, as the sample files from 2024 on, one image per line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise DataError(
            f"{printable(path)}: the test list cannot be read as UTF-8 text; save it as plain text."
        ) from None
    if lines and lines[0].strip().lower().startswith("image_location"):
        lines = [line.partition("/")[0] for line in lines[1:]]
    names = [_bare(line.strip().strip("\"'")) for line in lines]
    names = list(dict.fromkeys(name for name in names if name and not name.startswith("#")))
    if names and stem_of(names[0], known) is None and TITLES & set(names[0].lower().replace("_", " ").split()):
        return names[1:]
    return names


def _bare(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and suffix.lower() in {"txt", "mp4", "avi", "mkv", "mov", "webm", "csv"} else name
