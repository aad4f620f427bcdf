"""Cues of subtitles: one per segment, of all persons in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from emofuse.export.segments import milliseconds
from emofuse.export.writer import ResultTable


class Cue(NamedTuple):
    """A cue. start, end: hh:mm:ss.mmm. who: the person. text: the emotion and its confidence."""

    start: str
    end: str
    who: str
    text: str


def cues(table: ResultTable, *, decimal: str) -> Iterator[Cue]:
    """The cues of a table; those shorter than a millisecond are left out.

    decimal: between seconds and milliseconds.
    """
    segments = [s for rows in table.blocks for s in table.segments(rows)]
    for s in sorted(segments, key=lambda s: (s.start, s.person or 0)):
        start, end = milliseconds(s.start), milliseconds(s.end)
        if start < end:
            text = f"{s.emotion} {s.confidence:.2f}"
            yield Cue(clock(start, decimal=decimal), clock(end, decimal=decimal), s.who, text)


def clock(time: int, *, decimal: str = ".") -> str:
    """A time in milliseconds as hours, minutes and seconds.

    >>> clock(3_723_004)
    '01:02:03.004'
    """
    whole, rest = divmod(time, 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{decimal}{rest:03d}"
