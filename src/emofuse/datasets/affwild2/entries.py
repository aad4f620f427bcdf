"""The entries of Aff-Wild2: which part each belongs to, and which video it was cut from.

An entry is one person of one video; `_left` and `_right` at the end of its name tell two persons apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from emofuse.core.files import printable
from emofuse.datasets.affwild2.layout import Layout
from emofuse.datasets.problems import Level, Problem
from emofuse.errors import DataError

SIDES = ("_left", "_right")
# What the first line of a test list may say instead of a name.
TITLES = {"name", "names", "video", "videos", "entry", "entries", "file", "files", "filename", "id", "test", "image"}
HELD_OUT_FIRST = ("test", "validation", "train")


@dataclass(frozen=True)
class Entry:
    """A person of a video: labels is the label file, None for a test entry; presumed: test for want of a list."""

    name: str
    split: str
    labels: Path | None = None
    presumed: bool = False


@dataclass(frozen=True)
class Entries:
    """All entries by name, and what is wrong with their sorting into parts."""

    by_name: Mapping[str, Entry]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Choice:
    """The video of an entry, None if there is none or it cannot be told; then, and in doubt, the problem."""

    video: Path | None
    problem: Problem | None = None


@dataclass(frozen=True)
class Marks:
    """What tells the video of an entry from others: count of labels, None without any; last image, 0 without any."""

    labels: int | None
    last_image: int


def read_entries(root: Path, layout: Layout) -> Entries:
    """Entries in the order train, validation, test, each sorted by name.

    An entry of several parts counts as the one held out from training, so that nothing is scored that was trained on.

    Raises:
        DataError: a test list cannot be read.
    """
    places: dict[str, dict[str, Path]] = {split: dict(files) for split, files in layout.annotations.items()}
    annotated = {name for files in places.values() for name in files}
    known = annotated.union(layout.videos, *layout.images.values())
    listed = {name: path for path in layout.test_lists for name in _names(path, known)}
    loose = _unannotated(annotated | listed.keys(), layout)
    places["test"] = listed if layout.test_lists else dict.fromkeys(loose, root)
    problems = list(_leaks(places)) + list(_loose(root, loose, layout))
    found: dict[str, Entry] = {}
    for split in reversed(HELD_OUT_FIRST):
        for name in sorted(places.get(split, ())):
            held_out = next(s for s in HELD_OUT_FIRST if name in places.get(s, ()))
            if split == held_out:
                labels = places[split][name] if split != "test" else None
                found[name] = Entry(name, split, labels, presumed=split == "test" and not layout.test_lists)
    return Entries(found, tuple(problems))


def stem_of(entry: str, videos: Iterable[str]) -> str | None:
    """The stem of the video of an entry: its own name, else that without `_left` or `_right`.

    >>> stem_of("102_left", {"102", "102-30-640x360"})
    '102'
    """
    bare = next((entry.removesuffix(side) for side in SIDES if entry.endswith(side)), entry)
    return next((stem for stem in (entry, bare) if stem in videos), None)


def person_of(entry: str) -> int:
    """2 for `_right`, else 1."""
    return 2 if entry.endswith("_right") else 1


def choose_video(
    entry: Entry, layout: Layout, root: Path, *, frames: Callable[[Path], int | None], marks: Callable[[], Marks]
) -> Choice:
    """The video of an entry; of several with its stem, the one whose count of frames fits.

    Args:
        frames: count of frames of a video, None if it cannot be read.
        marks: what must fit; asked only in doubt.
    """
    stem = stem_of(entry.name, layout.videos)
    place = entry.labels or root
    if stem is None:
        found = f"there is no video {entry.name} (.mp4, .avi or the like)"
        means = "the entry is left out: without a video its frames have no time"
        return Choice(None, Problem(Level.ERROR, "no-video", entry.name, place, None, found, means))
    candidates = layout.videos[stem]
    if len(candidates) == 1:
        return Choice(candidates[0])
    counts = {path: frames(path) for path in candidates}
    told = ", ".join(f"{printable(p)} ({'unreadable' if n is None else f'{n} frames'})" for p, n in counts.items())
    fitting = _fitting({path: n for path, n in counts.items() if n is not None}, marks())
    found = f"{len(candidates)} videos have the name {stem}: {told}"
    if len(fitting) != 1:
        means = "the entry is left out, since its labels and images do not tell them apart; keep one of them"
        return Choice(None, Problem(Level.ERROR, "ambiguous-stem", entry.name, place, None, found, means))
    means = f"{fitting[0].parent.name}/{fitting[0].name} is taken, since only its frames fit"
    return Choice(fitting[0], Problem(Level.WARNING, "ambiguous-stem", entry.name, place, None, found, means))


def _fitting(counts: Mapping[Path, int], marks: Marks) -> list[Path]:
    fitting = [path for path, n in counts.items() if marks.last_image <= n + 1]
    if marks.labels is None:
        return fitting if marks.last_image else []
    exact = [path for path in fitting if counts[path] == marks.labels]
    return exact if len(exact) == 1 else [path for path in fitting if abs(counts[path] - marks.labels) <= 1]


def _unannotated(taken: set[str], layout: Layout) -> list[str]:
    """Image folders and videos that no taken entry stands for."""
    pictures = {name for entries in layout.images.values() for name in entries if name not in taken}
    used = {stem_of(name, layout.videos) for name in (*taken, *pictures)}
    return sorted(pictures | {stem for stem in layout.videos if stem not in used})


def _leaks(places: Mapping[str, Mapping[str, Path]]) -> Iterable[Problem]:
    for name in sorted({name for files in places.values() for name in files}):
        splits = [split for split in HELD_OUT_FIRST if name in places.get(split, ())]
        if len(splits) > 1:
            found = f"the entry is in {' and in '.join(reversed(splits))}"
            means = f"it counts as {splits[0]} alone, since scores on data that were trained on say nothing"
            yield Problem(Level.ERROR, "leak", name, places[splits[-1]][name], None, found, means)


def _loose(root: Path, loose: list[str], layout: Layout) -> Iterable[Problem]:
    if not layout.test_lists and loose:
        lacking = "no test list" if layout.edition else "no annotations (EXPR_Set or EXPR_Recognition_Challenge)"
        found = f"{lacking}, and {len(loose)} entries without an annotation, {loose[0]} the first"
        means = "they count as the test part"
        yield Problem(Level.NOTE, "no-test-list", root.name, root, None, found, means)
    for name in loose if layout.test_lists else ():
        found, means = f"{name} has neither an annotation nor a place in the test list", "it is left out"
        yield Problem(Level.WARNING, "no-annotation", name, root, None, found, means)


def _names(path: Path, known: set[str]) -> list[str]:
    """Names in a test list, one in each line, or one for each image as in the sample files from 2024 on; a title,
    repeated names and the suffixes of files are left out."""
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
