"""Live streams of sound: blocks go in as they come, and come out in order, on the same clock."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from emofuse.core.time import from_pts
from emofuse.errors import SettingsError, ShapeError
from emofuse.media.audio import AudioBlock

Floats = NDArray[np.float32]


class SeparationStream(Protocol):
    """One live stream of sound from which the voice comes out: as long, at the same times, without gaps.

    rate_hz: sample rate of what goes in and of what comes out.
    lookahead: ticks; once sound was pushed up to t, all of the voice before t - lookahead has come out.
    """

    rate_hz: int
    lookahead: int

    def push(self, sound: AudioBlock) -> list[AudioBlock]:
        """Take the next block, which begins where the one before it ended, and give what is ready."""
        ...

    def close(self) -> list[AudioBlock]:
        """The end of the sound: what is left."""
        ...


class VoiceSeparator(Protocol):
    """A way to take the voice out of sound; `identity` names it in results, with a digest of its weights."""

    identity: str

    def stream(self, rate_hz: int) -> SeparationStream:
        """A fresh stream; several may run at once."""
        ...


class NoSeparation:
    """No separation: sound passes on as it is."""

    identity = "none"

    def stream(self, rate_hz: int) -> PassThroughStream:
        """A fresh stream."""
        return PassThroughStream(rate_hz)


class PassThroughStream:
    """A stream that gives each block as it came.

    Raises:
        SettingsError: the rate is below 1.
        ShapeError: on a push, the block has another rate or does not begin where the one before it ended.

    >>> through = NoSeparation().stream(16000)
    >>> [(s.start, len(s.samples)) for s in through.push(AudioBlock(np.zeros(160, np.float32), 0, 16000))]
    [(0, 160)]
    """

    lookahead = 0

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._intake = ContiguousBlocks("voice", rate_hz)

    def push(self, sound: AudioBlock) -> list[AudioBlock]:
        self._intake.take(sound)
        return [sound]

    def close(self) -> list[AudioBlock]:
        return []


class ContiguousBlocks:
    """Checks that blocks follow one another, and counts their samples.

    Raises:
        SettingsError: the rate is below 1.
    """

    def __init__(self, what: str, rate_hz: int) -> None:
        if rate_hz < 1:
            raise SettingsError(f"{what}: a sample rate of {rate_hz} Hz makes no sense; give e.g. 16000.")
        self.rate_hz = rate_hz
        self.received = 0
        self._what = what
        self._origin: int | None = None

    def take(self, sound: AudioBlock) -> Floats:
        """The samples of the next block, float32 [n]; numbers that are none (NaN, infinities) come as zeros.

        Raises:
            ShapeError: another rate, more than one channel, or a gap or overlap of more than a tick.
        """
        if sound.rate_hz != self.rate_hz:
            raise ShapeError(f"{self._what}: sound at {sound.rate_hz} Hz, but the stream has {self.rate_hz} Hz.")
        if np.ndim(sound.samples) != 1:
            raise ShapeError(f"{self._what}: samples have shape {np.shape(sound.samples)}; give one channel, [n].")
        if self._origin is None:
            self._origin = int(sound.start)
        if abs(sound.start - self.moment(self.received)) > 1:  # a block's own start may be rounded
            raise ShapeError(
                f"{self._what}: a block begins at tick {sound.start}, the one before it ended at "
                f"{self.moment(self.received)}; push blocks without gaps, in order."
            )
        self.received += len(sound.samples)
        return np.nan_to_num(np.asarray(sound.samples, np.float32), nan=0, posinf=0, neginf=0)

    def moment(self, sample: int) -> int:
        """Ticks, clip time, at which a sample of the stream begins."""
        return (self._origin or 0) + int(from_pts(sample, Fraction(1, self.rate_hz)))


class Resampler:
    """Sound at another rate: sample k of what comes out is at k / rate_out_hz, as long as what went in."""

    HELD = 2048  # samples of the lower rate; the filter of soxr holds back up to about 1,300

    def __init__(self, rate_in_hz: int, rate_out_hz: int) -> None:
        same = rate_in_hz == rate_out_hz
        self._stream = None if same else soxr.ResampleStream(rate_in_hz, rate_out_hz, 1, "float32", "HQ")
        self.seconds_held = 0.0 if same else self.HELD / min(rate_in_hz, rate_out_hz)

    def push(self, samples: Floats) -> Floats:
        """What is ready, float32 [m]."""
        return samples if self._stream is None else self._stream.resample_chunk(samples)

    def close(self) -> Floats:
        """What the filter still holds."""
        nothing = np.empty(0, np.float32)
        return nothing if self._stream is None else self._stream.resample_chunk(nothing, last=True)
