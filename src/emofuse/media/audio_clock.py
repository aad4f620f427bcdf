"""Pieces of audio in step with the clock of their file: gaps are filled, overlaps trimmed, wrong timestamps ignored.

A timestamp is compared with the number of samples before it. Where they differ, the timestamps after it decide: if most
of them contradict it, it is wrong. A gap that leads far beyond the end of the clip is not filled either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from emofuse.core.time import TICKS_PER_SECOND, tick_of, ticks
from emofuse.media.channels import Channels

_RESTART = ticks(1)  # a step back by more is not an overlap: the clock restarts, as in recordings joined byte by byte
_AHEAD, _LEAST, _MOST = ticks(1), 4, 64  # timestamps that decide: of this time, at least and at most this many
_NOTABLE = ticks(Fraction(1, 10))  # smaller deviations of single timestamps are common, and not reported
_ZEROS = 1 << 16  # samples per piece of a gap


def sample_time(sample: int, rate_hz: int) -> int:
    """Ticks from the start of a waveform to one of its samples.

    >>> sample_time(16000, 16000) == ticks(1)
    True
    """
    return tick_of(sample, _duration(rate_hz))


@lru_cache
def _duration(rate_hz: int) -> Fraction:
    """Seconds of a sample."""
    return Fraction(1, rate_hz)


@dataclass(frozen=True, eq=False)
class Piece:
    """Decoded samples, [channels, n], names of the channels, sample rate, and claimed start (ticks, clip time)."""

    samples: Channels
    names: tuple[str, ...]
    rate_hz: int
    claimed: int | None

    @property
    def length(self) -> int:
        """Ticks."""
        return sample_time(self.samples.shape[1], self.rate_hz)


class Gap(NamedTuple):
    """A gap in the timestamps: its start (clip time) and length, how much was filled before it, all in ticks, and
    whether several timestamps after it confirm it."""

    start: int
    length: int
    filled: int
    confirmed: bool


class AudioClock:
    """Brings the pieces of one stream in step with the clock.

    slack: ticks; smaller differences leave the samples contiguous.
    plausible: whether a gap may be filled.
    ignored: number of timestamps that were found wrong, once all pieces have been read.
    """

    def __init__(self, slack: int, plausible: Callable[[Gap], bool]) -> None:
        self.ignored = 0
        self._slack = slack
        self._plausible = plausible
        self._ahead: deque[Piece] = deque()  # pieces that follow the current one
        self._reached = self._rate = self._shift = self._filled = 0  # samples, Hz, ticks after restarts, ticks

    def aligned(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """The pieces, with zeros in gaps and without overlaps; sample n of the result is at n / rate seconds."""
        while (piece := self._ahead.popleft() if self._ahead else next(pieces, None)) is not None:
            first, rate = not self._rate, piece.rate_hz
            if rate != self._rate:
                self._reached, self._rate = self._reached * rate // (self._rate or 1), rate
            gap = self._gap(piece, pieces, first=first)
            for done in range(0, gap, _ZEROS):
                zeros = np.zeros((len(piece.names), min(_ZEROS, gap - done)), piece.samples.dtype)
                yield Piece(zeros, piece.names, rate, None)
            samples = piece.samples[:, max(-gap, 0) :]
            self._reached += max(gap, 0) + samples.shape[1]
            yield Piece(samples, piece.names, rate, None)

    def _gap(self, piece: Piece, pieces: Iterator[Piece], *, first: bool) -> int:
        """Samples to fill before a piece; negative for samples to leave out at its start."""
        now = sample_time(self._reached, self._rate)
        late = 0 if piece.claimed is None else piece.claimed + self._shift - now
        if abs(late) > self._slack:
            confirmed, contradicted = self._votes(late, now + piece.length, pieces)
            if confirmed < contradicted:
                self.ignored += abs(late) > _NOTABLE
                return 0
            if late < -_RESTART:
                self._shift -= late
                return 0
            if late > 0 and not self._plausible(Gap(now, late, self._filled, confirmed >= _LEAST)):
                self.ignored += 1
                self._shift -= late
                return 0
            self._filled += max(late, 0)
        elif not first:
            return 0
        return round(Fraction(late * self._rate, TICKS_PER_SECOND))

    def _votes(self, late: int, time: int, pieces: Iterator[Piece]) -> tuple[int, int]:
        """How many timestamps after one confirm, and contradict, that it is late (or early); they begin at `time`."""
        confirmed = contradicted = 0
        for piece in self._following(pieces):
            if piece.claimed is not None:
                later = piece.claimed + self._shift - time
                if later < -self._slack if late < 0 else later >= late - self._slack:
                    confirmed += 1
                else:
                    contradicted += 1
            time += piece.length
        return confirmed, contradicted

    def _following(self, pieces: Iterator[Piece]) -> deque[Piece]:
        held = sum(piece.length for piece in self._ahead)
        while (held < _AHEAD or len(self._ahead) < _LEAST) and len(self._ahead) < _MOST:
            piece = next(pieces, None)
            if piece is None:
                break
            self._ahead.append(piece)
            held += piece.length
        return self._ahead
