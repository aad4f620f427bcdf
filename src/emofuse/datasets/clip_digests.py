"""Digests that identify the files of clips by their content, wherever they lie and whatever they are called."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from emofuse.core.files import printable
from emofuse.core.types import Clip
from emofuse.errors import DataError

_ENDS = 1 << 16  # bytes at each end of a file: reading thousands of videos whole would take minutes


def clip_digests(clips: Iterable[Clip]) -> dict[str, str]:
    """The digest of the file of each clip that has one, by clip id.

    It covers the size of the file and 64 KiB at each end.

    Raises:
        DataError: a file cannot be read.
    """
    known: dict[Path, str] = {}
    found = {}
    for clip in clips:
        path = clip.video or clip.audio
        if path is not None:
            found[clip.id] = known.get(path) or known.setdefault(path, _digest(path))
    return found


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            ends = file.read(_ENDS)
            file.seek(max(size - _ENDS, 0))
            ends += file.read(_ENDS)
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror}); run emofuse data check.") from None
    return blake2b(size.to_bytes(8, "big") + ends, digest_size=6).hexdigest()
