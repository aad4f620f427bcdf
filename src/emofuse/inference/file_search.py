"""Which files to predict: named files, recordings and photographs in folders, and globs; files left out are counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from emofuse.core.files import is_own_output, printable
from emofuse.errors import MediaError
from emofuse.export.annotated_video import ANNOTATED
from emofuse.media.container import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from emofuse.media.images import IMAGE_SUFFIXES

_EXTENSIONS_NAMED = 6

OTHER_EXTENSION = "other extension"
AUDIO_ONLY = "audio file, which the bundle does not score"
PHOTOGRAPH = "photograph, which the bundle does not score"
RESULT = "plot or annotated video of an earlier run"
HIDDEN = "hidden"
DEAD_LINK = "link to a missing file"
LINKED_FOLDER = "link to a folder"
CLOSED_FOLDER = "folder without permission"
SPECIAL = "not a regular file"


@dataclass(frozen=True)
class FoundFiles:
    """The files to predict, each once and in order, and the paths below folders that were left out, by reason."""

    files: list[Path]
    left_out: dict[str, list[Path]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many paths were left out, by reason."""
        return {reason: len(paths) for reason, paths in sorted(self.left_out.items())}

    @property
    def note(self) -> str | None:
        """What was left out, in one line; None if nothing was, or nothing but hidden files."""
        parts = []
        for reason, paths in sorted(self.left_out.items()):
            if reason == HIDDEN:
                continue
            if reason == OTHER_EXTENSION:
                suffixes = Counter(p.suffix.lower() or "none" for p in paths).most_common()
                named = ", ".join(f"{printable(s)} {n}" for s, n in suffixes[:_EXTENSIONS_NAMED])
                more = ", ..." if len(suffixes) > _EXTENSIONS_NAMED else ""
                parts.append(f"{len(paths)} with another extension ({named}{more})")
            else:
                parts.append(f"{len(paths)} {reason} ({printable(paths[0])}{', ...' if len(paths) > 1 else ''})")
        if not parts:
            return None
        return f"Left out of folders: {'; '.join(parts)}. Name a file to predict it whatever its extension."


def find_files(paths: Iterable[str | Path], *, audio: bool = False, photographs: bool = False) -> FoundFiles:
    """The named files, the video files in and below named folders, and the matches of globs.

    Args:
        audio: include audio files in folders.
        photographs: include photographs in folders, but not the plots among results.

    A named file is kept even if it is missing or has another extension, so that its error is reported.

    Raises:
        MediaError: a folder or glob holds no video, or a path is empty.
    """
    suffixes = VIDEO_SUFFIXES | (AUDIO_SUFFIXES if audio else set()) | (IMAGE_SUFFIXES if photographs else set())
    found: dict[Path, None] = {}
    left_out: dict[str, list[Path]] = {}
    for given in paths:
        if not str(given):  # from an unset variable; Path("") would be the current folder
            raise MediaError("an empty path was given; give a file, a folder or a glob.")
        path, below = Path(given), FoundFiles([])
        if path.is_dir():
            below = _search(path, suffixes)
            inside = below.files
        elif not path.exists() and any(c in str(given) for c in "*?["):
            base = Path(path.anchor) if path.is_absolute() else Path()
            inside = sorted(p for p in base.glob(str(path.relative_to(path.anchor))) if p.is_file())
        else:
            inside = [path]
        if not inside:
            what = ("recording" if audio else "video") + (" or photograph" if photographs else "")
            reason = f" {below.note}" if below.note else f" Looked for {' '.join(sorted(suffixes))}."
            raise MediaError(f"{printable(path)}: no {what} found.{reason}")
        found |= dict.fromkeys(inside)
        for why, which in below.left_out.items():
            left_out.setdefault(why, []).extend(which)
    return FoundFiles(list(found), left_out)


def _search(folder: Path, suffixes: frozenset[str]) -> FoundFiles:
    files: list[Path] = []
    left_out: dict[str, list[Path]] = {}
    for path, reason in _walk(folder, suffixes):
        if reason is None:
            files.append(path)
        else:
            left_out.setdefault(reason, []).append(path)
    return FoundFiles(sorted(files), {reason: sorted(which) for reason, which in left_out.items()})


def _walk(folder: Path, suffixes: frozenset[str]) -> Iterator[tuple[Path, str | None]]:
    """Each file below a folder, or why it is left out. Links to folders are not followed: they may form a circle."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        yield folder, CLOSED_FOLDER
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            yield path, HIDDEN
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(path, suffixes)
        else:
            yield path, _reason_to_leave_out(path, suffixes)


def _reason_to_leave_out(path: Path, suffixes: frozenset[str]) -> str | None:
    known = path.suffix.lower() in suffixes
    try:
        if path.is_dir():
            return LINKED_FOLDER
        if not path.exists():
            return DEAD_LINK
        if not path.is_file():
            return SPECIAL
    except OSError:  # a link into a folder that may not be read
        return DEAD_LINK
    if not known:
        reasons = {AUDIO_ONLY: AUDIO_SUFFIXES, PHOTOGRAPH: IMAGE_SUFFIXES}
        return next((why for why, which in reasons.items() if path.suffix.lower() in which), OTHER_EXTENSION)
    plot = path.suffix.lower() in IMAGE_SUFFIXES and is_own_output(path)
    return RESULT if plot or path.name.endswith(ANNOTATED) else None
