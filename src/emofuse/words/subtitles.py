"""Cues of WebVTT and SubRip (SRT) subtitles, as text.

Source: W3C, WebVTT: The Web Video Text Tracks Format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import NamedTuple

from emofuse.core.encodings import encoding_of
from emofuse.core.files import printable
from emofuse.errors import DataError

SUBTITLE_SUFFIXES = (".srt", ".vtt")
_TIMES = re.compile(r"^\s*((?:\d+:)?\d{1,2}:\d{2}[.,]\d{3})\s+-->\s+((?:\d+:)?\d{1,2}:\d{2}[.,]\d{3})", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_SPEAKER = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
_MARKUP = re.compile(r"<[^>]*>|\{\\[^}]*\}")


class SubtitleCue(NamedTuple):
    """A cue of subtitles. line: of its times in the file. start, end: as written. text: in one line, without markup.

    speaker: of the first voice tag; None for none.
    """

    line: int
    start: str
    end: str
    text: str
    speaker: str | None


def subtitle_cues(path: Path, *, remedy: str) -> Iterator[SubtitleCue]:
    """The cues of a file, in its order.

    Args:
        remedy: the end of the message if the file cannot be read.
    Raises:
        DataError: it cannot be read, or is not text.
    """
    try:
        text = path.read_text(encoding_of(path, remedy=remedy))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise DataError(f"{printable(path)}: cannot be read ({reason}); {remedy}.") from None
    for match in _TIMES.finditer(text):
        blank = _BLANK_LINE.search(text, match.end())
        block = text[match.end() : blank.start() if blank else len(text)]
        content = " ".join(block.split("\n")[1:])
        speaker = _SPEAKER.search(content)
        line = text.count("\n", 0, match.start(1)) + 1
        plain = " ".join(unescape(_MARKUP.sub("", content)).split())
        yield SubtitleCue(line, match[1], match[2], plain, unescape(speaker[1]).strip() if speaker else None)
