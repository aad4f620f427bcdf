"""Audio of a file as one mono waveform on the clip's clock: sample k of the output is at k / rate seconds.

Clip time 0 is the same moment as in `emofuse.media.video`. Audio that begins later is preceded by zeros, gaps in its
timestamps are filled with zeros, overlaps are trimmed, and the delay of encoders is removed as the container says.
Memory does not grow with the length of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
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
from emofuse.errors import MediaError, SettingsError, ShapeError
from emofuse.media.container import MediaFile, audio_stream, clock_zero, packets, warn

Floats = NDArray[np.float32]

# Timestamps of audio are often rounded to a millisecond, and those of browsers and phones jitter by a few. Up to this
# much is not a gap: filling it would put a click into every block. It is less than the shortest common packet (20 ms).
_SLACK = ticks(Fraction(15, 1000))
_RESTART = ticks(1)  # a step back by more is not an overlap: the clock restarts, as in recordings joined byte by byte
_SAMPLE_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
_NO_SAMPLES = np.empty(0, np.float32)


@dataclass(frozen=True, eq=False)
class AudioBlock:
    """Consecutive mono samples, float32 [n], in [-1, 1]; start in ticks, clip time. NaN and infinities become zeros.

    Raises:
        ShapeError: there is more than one channel.
    """

    samples: Floats
    start: int
    rate_hz: int

    def __post_init__(self) -> None:
        if np.ndim(self.samples) != 1:
            raise ShapeError(f"AudioBlock: samples have shape {np.shape(self.samples)}; give one channel, [n].")
        object.__setattr__(self, "samples", finite(self.samples))

    @property
    def end(self) -> int:
        """Ticks, where the last sample ends."""
        return self.start + sample_time(len(self.samples), self.rate_hz)


def finite(samples: NDArray[Any]) -> Floats:
    """Samples as float32 with zeros in place of NaN and infinities."""
    samples = np.asarray(samples, np.float32)
    return samples if np.isfinite(samples).all() else np.nan_to_num(samples, posinf=0, neginf=0)


def sample_time(sample: int, rate_hz: int) -> int:
    """Ticks from the start of a waveform to one of its samples.

    >>> sample_time(16000, 16000) == ticks(1)
    True
    """
    return tick_of(sample, Fraction(1, rate_hz))


class Resampler:
    """Converts a waveform, piece by piece, to another rate: the n-th sample keeps its time.

    seconds_held: how much of the waveform it may hold back until more is pushed.
    """

    _HELD = 2048  # samples of the lower rate; soxr's filter holds back up to about 1,300

    def __init__(self, rate_in_hz: int, rate_out_hz: int) -> None:
        same = rate_in_hz == rate_out_hz
        self._stream = None if same else soxr.ResampleStream(rate_in_hz, rate_out_hz, 1, "float32", "HQ")
        self.seconds_held = 0.0 if same else self._HELD / min(rate_in_hz, rate_out_hz)

    def push(self, samples: Floats) -> Floats:
        """The samples that are ready, float32 [m]."""
        return samples if self._stream is None else self._stream.resample_chunk(samples)

    def close(self) -> Floats:
        """The samples that the filter still holds."""
        return _NO_SAMPLES if self._stream is None else self._stream.resample_chunk(_NO_SAMPLES, last=True)


class AudioReader:
    """The audio of a video or audio file, read from the start in blocks.

    `end` is None until all blocks have been read, since headers only estimate it; then it is the end of the audio in
    ticks, which may be before or after the end of the video. `warnings` lists problems of a file that can be read
    nevertheless.

    Args:
        source: a path, or a `MediaFile` that was opened to see whether it has audio.
        rate_hz: sample rate of the output.
    Raises:
        MediaError: the file cannot be read, or has no audio.
        SettingsError: the rate is below 1.
    """

    def __init__(self, source: str | os.PathLike[str] | MediaFile, *, rate_hz: int = 16000) -> None:
        check_sample_rate(rate_hz, "AudioReader")
        self._file = MediaFile.of(source)
        self.path = self._file.path
        self.rate_hz = rate_hz
        self.end: int | None = None
        self.warnings: list[str] = []
        self._opened: tuple[InputContainer, AudioStream] | None = self._open()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened[0].close()

    def blocks(self, seconds: float = 1.0) -> Iterator[AudioBlock]:
        """Contiguous blocks of this length from clip time 0; the last one is shorter. Each call reads from the start.

        A file whose audio cannot be decoded yields no block, and a warning.

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
                yield AudioBlock(samples[:size], sample_time(done, self.rate_hz), self.rate_hz)
                samples, done = samples[size:], done + size
            waiting, held = [samples], len(samples)
        if held:
            yield AudioBlock(np.concatenate(waiting), sample_time(done, self.rate_hz), self.rate_hz)
        self.end = sample_time(done + held, self.rate_hz)
        if not self.end:
            warn(self.warnings, "none of the audio could be decoded")

    def _resampled(self) -> Iterator[Floats]:
        """Pieces at the output rate, within [-1, 1]: lossy codecs and the filter overshoot a little."""
        rate, resampler = 0, None
        for samples, rate_in in chain(self._mono(), [(_NO_SAMPLES, 0)]):
            if rate_in != rate:  # also at the end, where the filter returns what it holds
                if resampler is not None:
                    yield np.clip(resampler.close(), -1, 1)
                resampler, rate = Resampler(rate_in, self.rate_hz) if rate_in else None, rate_in
            if resampler is not None:
                yield np.clip(resampler.push(samples), -1, 1)

    def _mono(self) -> Iterator[tuple[Floats, int]]:
        """Mono samples and their rate, in step with the clock: gaps are filled, overlaps trimmed."""
        rate = reached = shift = 0  # reached: samples so far, at `rate`; shift: ticks, after restarts
        opened, self._opened = self._opened, None
        container, stream = opened or self._open()
        with closing(container):
            zero, unit = clock_zero(container), stream.time_base or Fraction(1, TICKS_PER_SECOND)
            slack = max(_SLACK, round(unit * TICKS_PER_SECOND * 3 / 2))
            for frame in self._decoded(container, stream):
                first, samples, gap = not rate, _mean_of_channels(frame), 0
                if frame.sample_rate != rate:
                    reached, rate = reached * frame.sample_rate // (rate or 1), frame.sample_rate
                if frame.pts is not None:
                    late = tick_of(frame.pts, unit) - zero + shift - sample_time(reached, rate)
                    if late < -_RESTART:
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
            warn(self.warnings, f"{damaged} audio packets could not be decoded")

    def _open(self) -> tuple[InputContainer, AudioStream]:
        container = self._file.take_container()
        stream = audio_stream(container)
        if stream is not None:
            return container, stream
        with closing(container):
            reason = "has no audio. Give a recording with audio, or use its video alone."
            if container.streams.audio:
                reason = "its audio is in an unknown format. Convert it to WAV or AAC."
            raise MediaError(f"{printable(self.path)}: {reason}")


def check_sample_rate(rate_hz: int, where: str) -> None:
    """Check that a sample rate is at least 1.

    Raises:
        SettingsError: it is not; the message begins with `where`.
    """
    if rate_hz < 1:
        raise SettingsError(f"{where}: the sample rate is {rate_hz} Hz; give 1 or more, e.g. 16000.")


def _mean_of_channels(frame: av.AudioFrame) -> Floats:
    """float32 [n], full scale at 1, from any sample format and layout."""
    channels = frame.layout.nb_channels
    dtype = np.dtype(_SAMPLE_TYPES[frame.format.name.removesuffix("p")])
    count = frame.samples * (1 if frame.format.is_planar else channels)
    rows: NDArray[Any] = np.stack([np.frombuffer(memoryview(plane), dtype, count) for plane in frame.planes])
    if not frame.format.is_planar:
        rows = rows.reshape(-1, channels).T
    mean = rows[0] if channels == 1 else rows.mean(axis=0)
    if dtype.kind == "f":
        return finite(mean)  # damaged data can decode to NaN, which would spread through the filter
    full = 2.0 ** (8 * dtype.itemsize - 1)
    middle = full if dtype.kind == "u" else 0
    return np.asarray((mean - middle) / full, np.float32)
