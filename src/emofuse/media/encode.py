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
    writer = _Writer(rate_hz, first.shape[:2], audio, audio_rate_hz, encoding or Encoding())
    with atomic(path) as partial:
        # `atomic` turns av's errors about this very file into OutputError; they are OSErrors with its name.
        try:
            writer.write(partial, _FORMATS[path.suffix.lower()], chain([first], checked))
        except (av.error.InvalidDataError, av.error.ArgumentError, av.error.ExternalError) as error:
            raise MediaError(f"{path}: the encoder refused {first.shape[1]}x{first.shape[0]} ({error}).") from error


@dataclass(frozen=True)
class _Writer:
    rate_hz: Fraction
    shape: tuple[int, ...]
    audio: NDArray[np.float32] | None
    audio_rate_hz: int
    encoding: Encoding

    def write(self, path: Path, format_name: str, frames: Iterable[NDArray[np.uint8]]) -> None:
        # The format is explicit, whatever the suffix of the temporary name. `bitexact` leaves out version strings
        # and dates, which would make the bytes differ from one day or build to the next.
        with av.open(str(path), "w", format=format_name, options={"fflags": "+bitexact"}) as container:
            video = self._video_stream(container)
            audio: Any = None if self.audio is None else self._audio_stream(container)
            blocks: Iterator[Any] = iter(()) if audio is None else self._blocks()
            ahead = next(blocks, None)
            for n, image in enumerate(frames):
                while ahead is not None and Fraction(ahead.pts, self.audio_rate_hz) <= n / self.rate_hz:
                    container.mux(audio.encode(ahead))
                    ahead = next(blocks, None)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = n, 1 / self.rate_hz
                container.mux(video.encode(frame))
            for block in chain(() if ahead is None else (ahead,), blocks):
                container.mux(audio.encode(block))
            for stream in (video, audio):
                if stream is not None:
                    container.mux(stream.encode(None))

    def _video_stream(self, container: Any) -> Any:
        stream = container.add_stream("libx264", rate=self.rate_hz)
        stream.height, stream.width = self.shape
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = 1 / self.rate_hz
        context.thread_count = self.encoding.threads
        context.options = {"crf": str(self.encoding.crf), "preset": self.encoding.preset, "flags": "+bitexact"}
        return stream

    def _audio_stream(self, container: Any) -> Any:
        stream = container.add_stream("aac", rate=self.audio_rate_hz, layout="mono")
        stream.bit_rate = self.encoding.audio_bit_rate
        stream.codec_context.options = {"flags": "+bitexact"}
        return stream

    def _blocks(self) -> Iterator[Any]:
        assert self.audio is not None
        for start in range(0, len(self.audio), _AAC_FRAME):
            row = np.clip(self.audio[start : start + _AAC_FRAME], -1, 1).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(row[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = self.audio_rate_hz, start, Fraction(1, self.audio_rate_hz)
            yield frame


def _checked(path: Path, frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    shape = None
    for n, frame in enumerate(frames):
        shape = frame.shape if shape is None else shape
        if (
            frame.dtype != np.uint8
            or frame.ndim != 3
            or frame.shape[2] != 3
            or frame.shape[0] % 2
            or frame.shape[1] % 2
        ):
            raise ShapeError(
                f"{path}: frame {n} is {frame.dtype} {frame.shape}; give uint8 [height, width, 3] with even sides."
            )
        if frame.shape != shape:
            raise ShapeError(f"{path}: frame {n} is {frame.shape}, the first one was {shape}; give frames of one size.")
        yield np.ascontiguousarray(frame)
