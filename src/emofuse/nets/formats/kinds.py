"""The kind of a file by its first bytes, for messages that state what was found."""

from __future__ import annotations

from pathlib import Path

from emofuse.errors import WeightsError

_KINDS = (
    (b"\x89HDF", "an HDF5 file"),
    (b"MATLAB 7.3", "a MATLAB 7.3 file"),
    (b"MATLAB 5.0", "a MATLAB 5 to 7 file"),
    (b"PK\x03\x04", "a zip archive, as torch writes them"),
    (b"\x80", "a pickle, as old versions of torch wrote them"),
)
SAFETENSORS = "a safetensors file"


def kind(path: Path) -> str:
    """The kind of a file, with its article.

    Raises:
        WeightsError: the file does not exist or cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error}).") from None
    if start[8:9] == b"{" and start[5:8] == b"\0\0\0":  # the length of the header, then the header in JSON
        return SAFETENSORS
    unknown = "a file of unknown kind" if start else "an empty file"
    return next((name for magic, name in _KINDS if start.startswith(magic)), unknown)


def unreadable(path: Path, expected: str, reason: object = "") -> WeightsError:
    """The error for a file that a reader could not read.

    Args:
        expected: the kind that it should have been, with its article.
        reason: the message of the reader's library; its first line is kept.
    """
    first = str(reason).strip().partition("\n")[0]
    because = f" ({first})" if first else ""
    return WeightsError(
        f"{path}: expected {expected}, found {kind(path)}{because}; check that it is the right file and complete."
    )
