"""Live streams of audio: blocks go in as they arrive, and results come out in order, on the same clock.

Two kinds of methods process such streams: voice separators return the voice in the audio, speech detectors the segments
of time with and without speech.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from emofuse.core.registry import Registry
from emofuse.errors import ShapeError
from emofuse.media.audio import AudioBlock, check_sample_rate
from emofuse.media.audio_clock import sample_time
from emofuse.media.channels import Floats
from emofuse.runtime import Engine

T = TypeVar("T")


class ActivitySegment(NamedTuple):
    """Time from start to end, in ticks, with or without speech."""

    start: int
    end: int
    active: bool


class SpeechStream(Protocol[T]):
    """One live stream of audio; its results follow one another without gaps and cover the audio.

    lookahead: ticks; once audio was pushed up to t, all results before t - lookahead have been returned.

    Raises:
        ShapeError: on a push, the block has another rate or does not begin where the last one ended.
    """

    lookahead: int

    def push(self, block: AudioBlock) -> list[T]:
        """Take the next block; returns the results that are ready."""
        ...

    def close(self) -> list[T]:
        """End the audio; returns the rest."""
        ...


class SpeechMethod(Protocol[T]):
    """A way to process audio; `identity` names it in results, with a digest of its weights and settings."""

    identity: str

    def stream(self, rate_hz: int) -> SpeechStream[T]:
        """A new stream; several may be open at a time. Raises SettingsError if the sample rate is below 1."""
        ...


SeparationStream = SpeechStream[AudioBlock]
VoiceSeparator = SpeechMethod[AudioBlock]
ActivityStream = SpeechStream[ActivitySegment]
SpeechDetector = SpeechMethod[ActivitySegment]

# Methods by name: functions of `locate`, which returns the files of weights by their name, and of the engine.
Locate = Callable[[str], tuple[Path, ...]]
SEPARATORS: Registry[Callable[[Locate, Engine], VoiceSeparator]] = Registry("voice separation", "emofuse.separators")
SPEECH_DETECTORS: Registry[Callable[[Locate, Engine], SpeechDetector]] = Registry(
    "speech detector", "emofuse.speech_detectors"
)


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


class BlockwiseStream(Generic[T]):
    """A stream that converts each block at once; `convert` is a function of a block, its start and its end."""

    lookahead = 0

    def __init__(self, rate_hz: int, convert: Callable[[AudioBlock, int, int], T]) -> None:
        self._blocks = ContiguousBlocks("audio", rate_hz)
        self._convert = convert

    def push(self, block: AudioBlock) -> list[T]:
        samples = self._blocks.take(block)
        start, end = self._blocks.time(self._blocks.received - len(samples)), self._blocks.end
        return [self._convert(block, start, end)] if end > start else []

    def close(self) -> list[T]:
        return []


class NoSeparation:
    """No separation: audio is passed through unchanged."""

    identity = "none"

    def stream(self, rate_hz: int) -> SeparationStream:
        return BlockwiseStream(rate_hz, lambda block, start, end: block)


class AlwaysActive:
    """No detection: all audio counts as speech, as in recordings that were cut by hand."""

    identity = "none"

    def stream(self, rate_hz: int) -> ActivityStream:
        return BlockwiseStream(rate_hz, lambda block, start, end: ActivitySegment(start, end, True))


SEPARATORS.add("none", lambda locate, engine: NoSeparation())
SPEECH_DETECTORS.add("none", lambda locate, engine: AlwaysActive())
