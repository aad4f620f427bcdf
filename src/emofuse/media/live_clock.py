"""The clock of a live session: timestamps of cameras and streams, which may restart or jump, on a clock that does not.

The first timestamp of a source is the moment at which it arrives, and those that follow keep their distance to it. A
timestamp that would be far from the moment of its arrival, as after a loss or a restart of the sender, begins anew at
that moment: what was lost is a gap.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction

from emofuse.core.time import TICKS_PER_SECOND, ticks

_BACK = ticks(Fraction(1, 2))  # a step back by less is a frame out of order, which is left out
_LAG, _LEAD = ticks(10), ticks(15)  # of live timestamps behind and ahead of their arrival
_HOLE = ticks(60)  # of the timestamps of a file; a longer one is cut out


class WallClock:
    """Ticks since the start, which is the first arrival; 0 before it. Sources that are read together share it."""

    def __init__(self) -> None:
        self._origin: int | None = None

    def __call__(self) -> int:
        return 0 if self._origin is None else _now() - self._origin

    def start(self) -> None:
        """Start, unless it runs."""
        self._origin = _now() if self._origin is None else self._origin

    def hold(self, length: int) -> None:
        """Set the clock back by this much: a file that is decoded too slowly is played more slowly."""
        self._origin = (self._origin or 0) + length


def _now() -> int:
    return time.monotonic_ns() * TICKS_PER_SECOND // 1_000_000_000


@dataclass(frozen=True)
class Stamp:
    """A timestamp of a stream in ticks, None where it has none, and how long what it belongs to lasts."""

    time: int | None
    length: int


class SourceClock:
    """The timestamps of one source, whose streams share a clock, as times of the session.

    wall: None for a source that ends by itself, such as a file, whose timestamps alone count.
    zero: the timestamp that is time 0; None for the first one that arrives.
    """

    def __init__(self, wall: WallClock | None, zero: int | None = None) -> None:
        self._wall = wall
        self._newest = None if zero is None else -zero  # what is added to timestamps
        self._offsets: dict[int, int] = {}  # by stream
        self._reached: dict[int, int] = {}  # end of what each stream brought so far

    def restart(self) -> None:
        """The source was opened again; its timestamps are new ones."""
        self._newest, self._offsets = None, {}

    def time(self, stream: int, stamp: Stamp) -> int | None:
        """The time of what a stream brings next; None if it comes before what the stream has brought."""
        reached = self._reached.get(stream)
        found = self._placed(stream, stamp)
        end = found + stamp.length
        if reached is not None and end <= reached:
            return None
        self._reached[stream] = end
        return found

    def _placed(self, stream: int, stamp: Stamp) -> int:
        if stamp.time is None:
            return self._now(stream, stamp)
        for offset in (self._offsets.get(stream, self._newest), self._newest):
            if offset is not None and self._plausible(stream, stamp.time + offset):
                self._offsets[stream] = offset
                return stamp.time + offset
        self._newest = self._offsets[stream] = self._now(stream, stamp) - stamp.time
        return stamp.time + self._newest

    def _now(self, stream: int, stamp: Stamp) -> int:
        """The time of what arrives now without a timestamp that can be used."""
        reached = self._reached.get(stream, 0)
        if self._wall is None:
            return reached
        self._wall.start()
        return max(self._wall() - stamp.length, reached)

    def _plausible(self, stream: int, time: int) -> bool:
        reached = self._reached.get(stream)
        if reached is not None and time < reached - _BACK:
            return False
        if self._wall is None:
            return reached is None or time <= reached + _HOLE
        now = self._wall()
        return now - _LAG <= time <= now + _LEAD
