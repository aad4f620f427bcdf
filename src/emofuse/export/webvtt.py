"""Segments as WebVTT, the subtitles of web pages, with a voice tag for each person.

Source: W3C, WebVTT: The Web Video Text Tracks Format.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from emofuse.core.files import write_bytes
from emofuse.export.subtitles import cues
from emofuse.export.writer import WRITERS, ResultTable, Writer


def write_webvtt(table: ResultTable, path: Path) -> None:
    """Write the segments as WebVTT; a note at the top states where they are from."""
    blocks = [f"WEBVTT\n\nNOTE {_escaped(table.origin)}\n"]
    blocks += [
        f"{cue.start} --> {cue.end}\n<v {_escaped(cue.who)}>{_escaped(cue.text)}\n" for cue in cues(table, decimal=".")
    ]
    write_bytes(path, "\n".join(blocks).encode())


def _escaped(text: str) -> str:
    return escape(text, quote=False)  # also of `-->`, which may not stand in a cue or note


WRITERS.add("webvtt", Writer(write_webvtt, ".vtt"))
