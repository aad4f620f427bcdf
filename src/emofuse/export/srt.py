"""Segments as SubRip subtitles, which every player shows."""

from __future__ import annotations

from pathlib import Path

from emofuse.core.files import write_bytes
from emofuse.export.subtitles import cues
from emofuse.export.writer import WRITERS, ResultTable, Writer

_PLAIN = str.maketrans("<>{}", "()()")


def write_srt(table: ResultTable, path: Path) -> None:
    """Write the segments as UTF-8 SRT; the format has no place for the settings of segments.

    Players take angle brackets and braces for markup, and SRT cannot escape them: they become parentheses.
    """
    blocks = [
        f"{n}\n{cue.start} --> {cue.end}\n{cue.who.translate(_PLAIN)}: {cue.text.translate(_PLAIN)}\n"
        for n, cue in enumerate(cues(table, decimal=","), start=1)
    ]
    write_bytes(path, "\n".join(blocks).encode() or b"\n")


WRITERS.add("srt", Writer(write_srt, ".srt"))
