"""Blocks of audio as they arrive live, joined into one contiguous waveform at another rate.

What `emofuse.media.audio_clock` does for files, without knowledge of what follows: gaps between blocks, and the time
before the first one, are filled with zeros, and overlaps are trimmed.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from emofuse.core.time import TICKS_PER_SECOND, ticks
from emofuse.media.audio import AudioBlock, Resampler
from emofuse.media.audio_clock import sample_time
from emofuse.media.channels import Floats

_SLACK = ticks(Fraction(15, 1000))  # smaller differences are jitter: the samples stay contiguous
_PIECE_SECONDS = 10  # of a gap, so that a long one does not take much memory


class ContiguousAudio:
    """Resamples blocks and pads them to one waveform that begins at time 0.

    reached: end of the audio that was pushed, ticks.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._written = 0  # samples at the output rate
        self._resampler: Resampler | None = None
        self._rate_in = rate_hz
        self._origin = 0  # ticks where the audio of the current input rate begins
        self._taken = 0  # samples of it

    @property
    def reached(self) -> int:
        return self._origin + sample_time(self._taken, self._rate_in)

    def push(self, block: AudioBlock) -> Iterator[AudioBlock]:
        """The next blocks of the waveform; what lies before the end of the block before is left out."""
        if self._resampler is None or block.rate_hz != self._rate_in:
            yield from self._end()
            self._origin, self._taken = self.reached, 0
            self._rate_in, self._resampler = block.rate_hz, Resampler(block.rate_hz, self._rate_hz)
        samples, late = block.samples, block.start - self.reached
        if abs(late) > (_SLACK if self.reached else 0):
            missing = round(Fraction(late * block.rate_hz, TICKS_PER_SECOND))
            size = _PIECE_SECONDS * block.rate_hz
            for done in range(0, missing, size):
                yield from self._resampled(np.zeros(min(size, missing - done), np.float32))
            samples = samples[max(-missing, 0) :]
        yield from self._resampled(samples)

    def fill(self, until: int) -> Iterator[AudioBlock]:
        """Silence up to a time (ticks), if the audio has not reached it."""
        if self.reached < until:
            yield from self.push(AudioBlock(np.empty(0, np.float32), until, self._rate_in))

    def close(self) -> Iterator[AudioBlock]:
        """What the resampler still holds."""
        yield from self._end()
        self._resampler = None

    def _resampled(self, samples: Floats) -> Iterator[AudioBlock]:
        assert self._resampler is not None
        self._taken += len(samples)
        yield from self._blocks(self._resampler.push(samples))

    def _end(self) -> Iterator[AudioBlock]:
        if self._resampler is not None:
            yield from self._blocks(self._resampler.close())

    def _blocks(self, samples: Floats) -> Iterator[AudioBlock]:
        if len(samples):
            yield AudioBlock(np.clip(samples, -1, 1), sample_time(self._written, self._rate_hz), self._rate_hz)
            self._written += len(samples)
