"""Voice separation of live audio: blocks go in as they arrive, and the voice comes out in order, on the same clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from emofuse.core.registry import Registry
from emofuse.errors import ShapeError
from emofuse.media.audio import AudioBlock, Floats, check_sample_rate, sample_time
from emofuse.runtime import Engine


class SeparationStream(Protocol):
    """One live stream of audio; the voice in it comes out with the same length and times, without gaps.

    rate_hz: sample rate of input and output.
    lookahead: ticks; once audio was pushed up to t, all of the voice before t - lookahead has been returned.
    """

    rate_hz: int
    lookahead: int

    def push(self, block: AudioBlock) -> list[AudioBlock]:
        """Take the next block, which begins where the last one ended; returns the blocks that are ready."""
        ...

    def close(self) -> list[AudioBlock]:
        """End the audio; returns the rest."""
        ...


class VoiceSeparator(Protocol):
    """Separates the voice from other audio; `identity` names the method in results, with a digest of its weights."""

    identity: str

    def stream(self, rate_hz: int) -> SeparationStream:
        """A new stream; several may be open at a time."""
        ...


Locate = Callable[[str], tuple[Path, ...]]  # from the name of weights to their files
SEPARATORS: Registry[Callable[[Locate, Engine], VoiceSeparator]] = Registry("voice separation", "emofuse.separators")


class NoSeparation:
    """No separation: audio is passed through unchanged.

    >>> import numpy as np
    >>> stream = NoSeparation().stream(16000)
    >>> [(block.start, len(block.samples)) for block in stream.push(AudioBlock(np.zeros(160, np.float32), 0, 16000))]
    [(0, 160)]
    """

    identity = "none"

    def stream(self, rate_hz: int) -> PassThroughStream:
        """A new stream."""
        return PassThroughStream(rate_hz)


SEPARATORS.add("none", lambda locate, engine: NoSeparation())


class PassThroughStream:
    """A stream that returns each block unchanged.

    Raises:
        SettingsError: the rate is below 1.
        ShapeError: on a push, the block has another rate or does not begin where the last one ended.
    """

    lookahead = 0

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._blocks = ContiguousBlocks("voice separation", rate_hz)

    def push(self, block: AudioBlock) -> list[AudioBlock]:
        self._blocks.take(block)
        return [block]

    def close(self) -> list[AudioBlock]:
        return []


class ContiguousBlocks:
    """Checks that blocks follow one another, and counts their samples.

    received: number of samples so far.

    Raises:
        SettingsError: the rate is below 1.
    """

    def __init__(self, where: str, rate_hz: int) -> None:
        check_sample_rate(rate_hz, where)
        self.rate_hz = rate_hz
        self.received = 0
        self._where = where
        self._origin: int | None = None

    def take(self, block: AudioBlock) -> Floats:
        """The samples of the next block, float32 [n].

        Raises:
            ShapeError: another rate, or a gap or overlap of more than a tick.
        """
        if block.rate_hz != self.rate_hz:
            raise ShapeError(f"{self._where}: a block has {block.rate_hz} Hz, but the stream has {self.rate_hz} Hz.")
        if self._origin is None:
            self._origin = int(block.start)
        if abs(block.start - self.end) > 1:  # a block's own start may be rounded
            raise ShapeError(
                f"{self._where}: a block begins at tick {block.start}, the last one ended at {self.end}; "
                "push blocks without gaps, in order."
            )
        self.received += len(block.samples)
        return block.samples

    def time(self, sample: int) -> int:
        """Ticks, clip time, at which a sample of the stream begins."""
        return (self._origin or 0) + sample_time(sample, self.rate_hz)

    @property
    def end(self) -> int:
        """Ticks, clip time, at which the last block ended."""
        return self.time(self.received)
