"""Sound of a file as one mono waveform on the clip's clock: sample k of the output is at k / rate seconds.

Clip time 0 is the same moment as in `emofuse.media.video`. Sound that begins later is led by zeros, gaps in its
timestamps are filled with zeros, overlaps are trimmed, and the delay of encoders is taken off as the container says.
Memory does not grow with the length of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
import soxr
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from emofuse.core.files import printable
from emofuse.core.time import TICKS_PER_SECOND, tick_of, ticks
from emofuse.errors import MediaError, SettingsError
from emofuse.media.container import audio_stream, clock_zero, media_streams, open_media, packets, warn

__all__ = ["AudioReader", "AudioBlock", "media_streams"]

Floats = NDArray[np.float32]

# Timestamps of sound are often rounded to a millisecond, and those of browsers and phones waver by a few. Up to this
# much is no gap: filling it would put a click into every block. It is less than the shortest common packet (20 ms).
SLACK = ticks(Fraction(15, 1000))
RESTART = ticks(1)  # a step back by more is no overlap: the clock restarts, as in recordings joined byte by byte
SAMPLE_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


@dataclass(frozen=True, eq=False)
class AudioBlock:
    """A piece of sound: samples float32 [n], mono, in [-1, 1]; start in ticks, clip time."""

    samples: Floats
    start: int
    rate_hz: int

    @property
    def end(self) -> int:
        """Ticks, where the last sample ends."""
        return self.start + _moment(len(self.samples), self.rate_hz)


class AudioReader:
    """The sound of a video or sound file, read on from the start in blocks.

    `end` is None until the blocks have been read to their end, since headers only estimate it; then it is the end
    of the sound in ticks, which may be before or after the end of the picture. `warnings` holds what is wrong with
    a file that can be read all the same.

    Args:
        path: the file; `media_streams(path)` tells cheaply whether it has sound.
        rate_hz: sample rate of the output.
    Raises:
        MediaError: the file cannot be read, or has no sound.
        SettingsError: the rate is below 1.
    """

    def __init__(self, path: str | os.PathLike[str], *, rate_hz: int = 16000) -> None:
        if rate_hz < 1:
            raise SettingsError(f"AudioReader: a sample rate of {rate_hz} Hz makes no sense; give e.g. 16000.")
        self.path = Path(path)
        self.rate_hz = rate_hz
        self.end: int | None = None
        self.warnings: list[str] = []
        with closing(open_media(self.path)) as container:
            self._stream(container)

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to do: a file is open only while its blocks are read."""

    def blocks(self, seconds: float = 1.0) -> Iterator[AudioBlock]:
        """Blocks of this length without gaps from clip time 0 on; the last one is shorter. Each call reads anew.

        A file whose sound cannot be decoded gives no block, and a warning.

        Raises:
            SettingsError: a block would hold no sample.
        """
        size = round(seconds * self.rate_hz)
        if size < 1:
            raise SettingsError(f"blocks of {seconds} s at {self.rate_hz} Hz hold no sample; give more seconds.")
        return self._blocks(size)

    def _blocks(self, size: int) -> Iterator[AudioBlock]:
        done, held, waiting = 0, 0, list[Floats]()
        for piece in self._resampled():
            waiting.append(piece)
            held += len(piece)
            if held < size:
                continue
            samples = np.concatenate(waiting)
            while len(samples) >= size:
                yield AudioBlock(samples[:size], _moment(done, self.rate_hz), self.rate_hz)
                samples, done = samples[size:], done + size
            waiting, held = [samples], len(samples)
        if held:
            yield AudioBlock(np.concatenate(waiting), _moment(done, self.rate_hz), self.rate_hz)
        self.end = _moment(done + held, self.rate_hz)
        if not self.end:
            warn(self.warnings, "none of the sound could be decoded")

    def _resampled(self) -> Iterator[Floats]:
        """Pieces at the output rate. soxr takes its own delay off, so the n-th sample keeps its time."""
        rate, resampler = 0, None
        for samples, rate_in in chain(self._mono(), [(np.empty(0, np.float32), 0)]):
            if rate_in != rate:  # also at the end: the filter gives what it holds
                if resampler is not None:
                    yield _fitting(resampler.resample_chunk(np.empty(0, np.float32), last=True))
                new = rate_in not in (0, self.rate_hz)
                resampler = soxr.ResampleStream(rate_in, self.rate_hz, 1, "float32", "HQ") if new else None
                rate = rate_in
            yield _fitting(resampler.resample_chunk(samples) if resampler is not None else samples)

    def _mono(self) -> Iterator[tuple[Floats, int]]:
        """Mono samples and their rate, in step with the clock: gaps are filled, overlaps trimmed."""
        rate = reached = shift = 0  # reached: samples given so far, at `rate`; shift: ticks, after restarts
        with closing(open_media(self.path)) as container:
            stream, zero = self._stream(container), clock_zero(container)
            unit = stream.time_base or Fraction(1, TICKS_PER_SECOND)
            slack = max(SLACK, round(unit * TICKS_PER_SECOND * 3 / 2))
            for frame in self._decoded(container, stream):
                first, samples, gap = not rate, _mean_of_channels(frame), 0
                if frame.sample_rate != rate:
                    reached, rate = reached * frame.sample_rate // (rate or 1), frame.sample_rate
                if frame.pts is not None:
                    late = tick_of(frame.pts, unit) - zero + shift - _moment(reached, rate)
                    if late < -RESTART:
                        shift, late = shift - late, 0
                    if first or abs(late) > slack:
                        gap = round(Fraction(late * rate, TICKS_PER_SECOND))
                for filled in range(0, gap, rate):
                    yield np.zeros(min(rate, gap - filled), np.float32), rate
                samples = samples[max(-gap, 0) :]
                reached += max(gap, 0) + len(samples)
                yield samples, rate

    def _decoded(self, container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
        damaged = 0
        for packet in chain(packets(container, stream, self.warnings), (None,)):
            try:
                yield from stream.decode(packet)
            except av.error.FFmpegError:  # zeros take the place of what is missing
                damaged += packet is not None
        if damaged:
            warn(self.warnings, f"{damaged} packets of sound could not be decoded")

    def _stream(self, container: InputContainer) -> AudioStream:
        stream = audio_stream(container)
        if stream is not None:
            return stream
        if container.streams.audio:
            raise MediaError(f"{printable(self.path)}: its sound is in an unknown format. Convert it to WAV or AAC.")
        raise MediaError(
            f"{printable(self.path)}: has no sound. Give a recording with sound, or use its picture alone."
        )


def _moment(samples: int, rate_hz: int) -> int:
    """Ticks from clip time 0 to this sample."""
    return tick_of(samples, Fraction(1, rate_hz))


def _fitting(samples: Floats) -> Floats:
    """Within [-1, 1]: lossy codecs and the filter overshoot a little."""
    return np.clip(samples, -1, 1).astype(np.float32, copy=False)


def _mean_of_channels(frame: av.AudioFrame) -> Floats:
    """float32 [n], full scale at 1, from any sample format and layout."""
    channels = frame.layout.nb_channels
    kind = np.dtype(SAMPLE_TYPES[frame.format.name.removesuffix("p")])
    count = frame.samples * (1 if frame.format.is_planar else channels)
    rows: NDArray[Any] = np.stack([np.frombuffer(memoryview(plane), kind, count) for plane in frame.planes])
    if not frame.format.is_planar:
        rows = rows.reshape(-1, channels).T
    mean = rows[0] if channels == 1 else rows.mean(axis=0)
    if kind.kind == "f":
        samples = np.asarray(mean, np.float32)
        # Damaged data can decode to numbers that are none; they would spread through the filter.
        return samples if np.isfinite(samples).all() else np.nan_to_num(samples, posinf=0, neginf=0)
    full = 2.0 ** (8 * kind.itemsize - 1)
    middle = full if kind.kind == "u" else 0
    return np.asarray((mean - middle) / full, np.float32)
