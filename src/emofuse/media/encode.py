"""Write a video file: H.264 video and AAC audio with exact timestamps, the same bytes every time.

Memory does not grow with the length of the video: frames are taken one by one, and audio is interleaved with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import atomic
from emofuse.errors import MediaError, SettingsError, ShapeError

_AAC_FRAME = 1024  # samples
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}


@dataclass(frozen=True)
class Encoding:
    """Quality of video and audio. `threads` is fixed, not taken from the machine: the bytes of x264 depend on it."""

    crf: int = 20
    preset: str = "fast"
    audio_bit_rate: int = 96_000
    threads: int = 2


def write_video(
    path: str | Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    rate_hz: Fraction,
    audio: NDArray[np.float32] | None = None,
    audio_rate_hz: int = 48_000,
    encoding: Encoding | None = None,
) -> None:
    """Write frames and audio to `path` (.mp4, .m4v, .mov or .mkv), completely or not at all.

    Args:
        frames: uint8 RGB [height, width, 3], all of one size, width and height even.
        rate_hz: frames per second; frame n is shown from n / rate_hz.
        audio: float [samples] in [-1, 1], one channel; None for a video without audio.
    Raises:
        ShapeError: a frame or the audio has another shape or type; there is no frame.
        SettingsError: the suffix of the path is not a known format, or a rate is not positive.
        MediaError: the encoder refuses the sizes or rates.
        OutputError: the file cannot be written.
    """
    path, rate_hz = Path(path), Fraction(rate_hz)
    if path.suffix.lower() not in _FORMATS:
        raise SettingsError(f"{path}: unknown video format {path.suffix!r}; choose {', '.join(_FORMATS)}.")
    if rate_hz <= 0 or audio_rate_hz <= 0:
        raise SettingsError(f"{path}: {rate_hz} frames and {audio_rate_hz} samples per second; both must be above 0.")
    if audio is not None and (audio.ndim != 1 or audio.dtype.kind != "f" or not np.isfinite(audio).all()):
        raise ShapeError(f"{path}: audio is {audio.dtype} {audio.shape}; give one row of finite floats in [-1, 1].")
    checked = _checked(path, frames)
    first = next(checked, None)
    if first is None:
        raise ShapeError(f"{path}: there is no frame to write; give at least one.")
    writer = _Writer(rate_hz, audio, audio_rate_hz, encoding or Encoding())
    with atomic(path) as partial:
        # `atomic` turns av's errors about this very file into OutputError; they are OSErrors with its name.
        try:
            # The format is explicit, whatever the suffix of the temporary name. `bitexact` leaves out version strings
            # and dates, which would make the bytes differ from one day or build to the next.
            options = {"fflags": "+bitexact"}
            with av.open(str(partial), "w", format=_FORMATS[path.suffix.lower()], options=options) as container:
                writer.write(container, chain([first], checked), first.shape)
        except (av.error.InvalidDataError, av.error.ArgumentError, av.error.ExternalError) as error:
            raise MediaError(f"{path}: the encoder refused {first.shape[1]}x{first.shape[0]} ({error}).") from error


@dataclass(frozen=True)
class _Writer:
    rate_hz: Fraction
    audio: NDArray[np.float32] | None
    audio_rate_hz: int
    encoding: Encoding

    def write(self, container: Any, frames: Iterable[NDArray[np.uint8]], shape: tuple[int, ...]) -> None:
        video = container.add_stream("libx264", rate=self.rate_hz)
        video.height, video.width, video.pix_fmt = shape[0], shape[1], "yuv420p"
        video.codec_context.time_base = 1 / self.rate_hz
        video.codec_context.thread_count = self.encoding.threads
        settings = {"crf": str(self.encoding.crf), "preset": self.encoding.preset, "flags": "+bitexact"}
        video.codec_context.options = settings
        streams, blocks = [video], iter(self._audio_frames())
        if self.audio is not None:
            audio = container.add_stream("aac", rate=self.audio_rate_hz, layout="mono")
            audio.bit_rate, audio.codec_context.options = self.encoding.audio_bit_rate, {"flags": "+bitexact"}
            streams.append(audio)
        block = next(blocks, None)
        for n, image in enumerate(frames):
            while block is not None and Fraction(block.pts or 0, self.audio_rate_hz) <= n / self.rate_hz:
                container.mux(audio.encode(block))
                block = next(blocks, None)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = n, 1 / self.rate_hz
            container.mux(video.encode(frame))
        for rest in chain(() if block is None else (block,), blocks):
            container.mux(audio.encode(rest))
        for stream in streams:
            container.mux(stream.encode(None))

    def _audio_frames(self) -> Iterator[av.AudioFrame]:
        samples = np.zeros(0, np.float32) if self.audio is None else self.audio
        for start in range(0, len(samples), _AAC_FRAME):
            row = np.clip(samples[start : start + _AAC_FRAME], -1, 1).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(row[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = self.audio_rate_hz, start, Fraction(1, self.audio_rate_hz)
            yield frame


def _checked(path: Path, frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    first = None
    for n, frame in enumerate(frames):
        found = f"{path}: frame {n} is {frame.dtype} {frame.shape}"
        if frame.dtype != np.uint8 or frame.shape[2:] != (3,) or frame.shape[0] % 2 or frame.shape[1] % 2:
            raise ShapeError(f"{found}; give uint8 [height, width, 3] with even sides.")
        first = first or frame.shape
        if frame.shape != first:
            raise ShapeError(f"{found}, the first one was {first}; give frames of one size.")
        yield np.ascontiguousarray(frame)
