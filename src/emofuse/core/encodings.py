"""The encoding of text files: UTF-8, UTF-16 or, failing these, Windows-1252 (Latin-1)."""

from __future__ import annotations

import codecs
from pathlib import Path

from emofuse.core.files import printable
from emofuse.errors import DataError

LATIN_1 = "cp1252"
HEAD_BYTES = 10_000
_BLOCK = 1 << 20
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UNDEFINED = bytes((0x00, 0x81, 0x8D, 0x8F, 0x90, 0x9D))  # no text in Windows-1252


def encoding_of(path: Path, *, remedy: str = "save the table as CSV UTF-8") -> str:
    """The encoding of a text file: utf-8-sig, UTF-16, or `LATIN_1` if it is neither.

    Args:
        remedy: the end of the message if it is not text.
    Raises:
        DataError: it is not text.
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        if found := encoding_of_head(file.read(HEAD_BYTES)):
            return found
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while block := file.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
            return "utf-8-sig"
        except UnicodeDecodeError:
            file.seek(0)
            for number, line in enumerate(file, start=1):
                if any(byte in line for byte in _UNDEFINED):
                    found = f"{printable(path)}:{number}: is not text in UTF-8 or Latin-1"
                    raise DataError(f"{found}; {remedy}.") from None
    return LATIN_1


def encoding_of_head(head: bytes) -> str | None:
    """UTF-16 by its mark, or by the zero bytes beside ASCII letters; None for others."""
    if head[:2] in _UTF_16:
        return "utf-16"
    half = max(len(head) // 4, 1)
    return next((f"utf-16-{e}" for k, e in ((1, "le"), (0, "be")) if head[k::2].count(0) > half), None)
