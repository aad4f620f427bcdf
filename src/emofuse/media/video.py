"""Pictures of a video file, each with its time: decoded once, in order, and turned into RGB only when asked.

Clip time 0 is the earliest stream start of the container, so that picture and sound stay in step; times come from
the timestamps of the stream (pts), never from a frame counter times a rate. Where a file stores none (raw H.264,
H.264 in AVI) or its clock restarts (joined recordings), frames are taken in the order in which the decoder gives
them, with the decoding timestamps (dts) as their times, or the nominal rate where these are missing or restart too.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakSet

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from emofuse.core.files import printable
from emofuse.core.time import Ints, Timeline
from emofuse.errors import MediaError, ShapeError
from emofuse.media.container import (
    H26X,
    FrameIndex,
    audio_stream,
    media_streams,
    open_media,
    packets,
    video_stream,
    warn,
)

__all__ = ["Frame", "Image", "VideoInfo", "VideoReader", "media_streams"]

Image = NDArray[np.uint8]

UPRIGHT = (1, 0, 0, 1)


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video.

    index: its number in presentation order over all frames of the stream, from 0.
    start, end: ticks, clip time.
    """

    index: int
    start: int
    end: int
    _picture: av.VideoFrame | Image = field(repr=False)
    _matrix: tuple[int, int, int, int] = field(default=(1, 0, 0, 1), repr=False)  # how it is made upright

    @classmethod
    def from_rgb(cls, image: Image, *, index: int, start: int, end: int) -> Frame:
        """A frame of a picture that is at hand, uint8 [height, width, 3], from a webcam or a test.

        Raises:
            ShapeError: the picture has another shape or type.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ShapeError(
                f"Frame: the picture has shape {image.shape} and type {image.dtype}; give uint8 [height, width, 3]."
            )
        return cls(index, start, end, image)

    def rgb(self) -> Image:
        """The upright picture, uint8 [height, width, 3], contiguous. Converted anew at each call: keep it."""
        if isinstance(self._picture, np.ndarray):
            return np.ascontiguousarray(self._picture)
        # One thread: a pool of its own for every picture costs more than it gains.
        image = self._picture.to_ndarray(format="rgb24", threads=1)
        return np.ascontiguousarray(_turned(image, self._matrix), dtype=np.uint8)


@dataclass(frozen=True)
class VideoInfo:
    """What a file says of its picture: width, height (upright) in pixels; rotation that made it upright, degrees
    clockwise; average rate, if known; codec; whether there is sound."""

    width: int
    height: int
    rotation: int
    rate_hz: Fraction | None
    codec: str
    has_audio: bool


class VideoReader:
    """A video file: its `info`, the `timeline` of all its frames, and the frames themselves, read on from the start.

    Opening reads the file once without decoding it (8 + 16 bytes per frame are kept) and decodes one frame.
    `warnings` holds what is wrong with a file that can be read all the same; reading adds to it.

    Args:
        path: the file.
        threads: of the decoder; 0 lets it choose.
    Raises:
        MediaError: the file cannot be read, or holds no picture that can be decoded.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 0) -> None:
        self.path = Path(path)
        self.warnings: list[str] = []
        self._threads = threads
        self._readings: WeakSet[Generator[Frame, None, None]] = WeakSet()
        with closing(open_media(self.path)) as container:
            stream = self._stream(container)
            index = FrameIndex.of(container, stream, self.warnings)
            rate, has_audio = index.rate_hz, audio_stream(container) is not None
        if not len(index.timeline):
            raise self._undecodable()
        self._index = index
        with closing(self._decoded(None)) as pictures:
            first = next(pictures, None)
        if first is None:
            raise self._undecodable()
        # Asked of one frame only: a frame whose side data were looked at is freed by the garbage collector alone,
        # and megabytes of pictures would wait for it.
        _, _, c, d = self._matrix = _orientation(first[1])
        height, width = _turned(np.empty((first[1].height, first[1].width, 0)), self._matrix).shape[:2]
        rotation = {(0, 1): 0, (-1, 0): 90, (0, -1): 180, (1, 0): 270}[c, d]
        self.info = VideoInfo(width, height, rotation, rate, stream.codec_context.codec.canonical_name, has_audio)

    @property
    def timeline(self) -> Timeline:
        """When each frame is shown; an interval ends where the next one begins."""
        return self._index.timeline

    @property
    def end(self) -> int:
        """End of the last frame, ticks."""
        return int(self.timeline.end[-1])

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends readings that are still under way, and with them closes the file."""
        for reading in list(self._readings):
            reading.close()

    def frames(self, wanted: Ints | None = None) -> Iterator[Frame]:
        """Frames in presentation order; each call reads from the start. Frames that cannot be decoded are left out.

        Args:
            wanted: int64 [n], strictly increasing indices of the frames to give, the same pictures as without it;
                others are not converted and, where the codec allows, not decoded. None gives every frame.
        Raises:
            ShapeError: the indices are out of order or beyond the timeline.
        """
        if wanted is not None:
            wanted = np.asarray(wanted, np.int64)
            inside = wanted.ndim == 1 and (not wanted.size or (wanted[0] >= 0 and wanted[-1] < len(self.timeline)))
            if not inside or np.any(np.diff(wanted) <= 0):
                raise ShapeError(
                    f"{printable(self.path)}: the wanted frames must be increasing indices from 0 to "
                    f"{len(self.timeline) - 1}; sort them and leave out repeated ones."
                )
        reading = self._read(wanted)
        self._readings.add(reading)
        return reading

    def _read(self, wanted: Ints | None) -> Generator[Frame, None, None]:
        start, end = self.timeline.start, self.timeline.end
        asked = len(self.timeline) if wanted is None else len(wanted)
        given = position = 0
        with closing(self._decoded(wanted)) as pictures:
            # Asked for nothing more, the decoder is left alone: what comes after the last wanted frame is not read.
            while position < asked and (found := next(pictures, None)) is not None:
                index, picture = found
                if wanted is not None:
                    position += int(np.searchsorted(wanted[position:], index))
                    if position == asked or wanted[position] != index:
                        continue
                    position += 1
                given += 1
                yield Frame(index, int(start[index]), int(end[index]), picture, self._matrix)
        if given < asked:
            warn(self.warnings, f"{asked - given} of {asked} frames could not be decoded")

    def _decoded(self, wanted: Ints | None) -> Generator[tuple[int, av.VideoFrame], None, None]:
        """Pictures with their index, in order; with `wanted`, others may or may not be among them."""
        last = len(self.timeline) - 1 if wanted is None else int(wanted[-1])
        here, whole = -1, not self._index.damaged
        for here, picture in self._decode_through(wanted, frame_threads=whole):
            yield here, picture
        if here < last and whole:
            # PyAV stops at the first error while it empties the decoder, so with frame threads good pictures behind
            # a damaged one near the end are lost. Without them each error comes at its own packet.
            for again, picture in self._decode_through(wanted, frame_threads=False):
                if again > here:
                    yield again, picture

    def _decode_through(
        self, wanted: Ints | None, *, frame_threads: bool
    ) -> Generator[tuple[int, av.VideoFrame], None, None]:
        index, next_one = self._index, 0
        with closing(open_media(self.path)) as container:
            stream = self._stream(container)
            context = stream.codec_context
            context.thread_type = "AUTO" if frame_threads else "SLICE"
            context.thread_count = self._threads
            # Pts of the packets that must be decoded; the decoder may pass over others that no frame refers to.
            needed = None if wanted is None or index.pts is None or context.name not in H26X else index.pts[wanted]
            for packet in chain(packets(container, stream, self.warnings), (None,)):
                if needed is not None and packet is not None:
                    context.skip_frame = "DEFAULT" if _among(packet.pts, needed) else "NONREF"
                for picture in _decode(stream, packet):
                    here = index.place(picture.pts, next_one)
                    if here < len(index.timeline):
                        next_one = here + 1
                        yield here, picture
                    else:
                        warn(self.warnings, "the picture has more frames than timestamps; those beyond are left out")

    def _stream(self, container: InputContainer) -> VideoStream:
        stream = video_stream(container)
        if stream is not None:
            return stream
        if [s for s in container.streams.video if s.codec_context is None]:
            raise MediaError(f"{printable(self.path)}: its picture is in an unknown format. Convert it to MP4 (H.264).")
        if audio_stream(container) is not None:
            raise MediaError(
                f"{printable(self.path)}: holds only sound, no picture. Give a video, or use its sound alone."
            )
        raise MediaError(f"{printable(self.path)}: holds neither picture nor sound. Give a video.")

    def _undecodable(self) -> MediaError:
        return MediaError(
            f"{printable(self.path)}: no frame of its picture can be decoded. It is damaged: copy or record it again."
        )


def _among(pts: int | None, needed: Ints) -> bool:
    if pts is None:
        return True
    position = int(np.searchsorted(needed, pts))
    return position < len(needed) and int(needed[position]) == pts


def _decode(stream: VideoStream, packet: Packet[Any] | None) -> list[av.VideoFrame]:
    try:
        return stream.decode(packet)
    except av.error.FFmpegError:  # damaged data: that this frame is missing shows in the count
        return []


def _orientation(picture: av.VideoFrame) -> tuple[int, int, int, int]:
    """(a, b, c, d) of the display matrix, rounded to quarter turns: a point (x, y) is shown at (ax + cy, bx + dy)."""
    data: Any = picture.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    a, b, _, c, d = np.frombuffer(memoryview(data), np.int32)[:5].astype(np.int64).tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1), 0, 0, (-1 if d < 0 else 1)
    return 0, (-1 if b < 0 else 1), (-1 if c < 0 else 1), 0


def _turned(image: NDArray[Any], matrix: tuple[int, int, int, int]) -> NDArray[Any]:
    a, b, c, d = matrix
    if b:
        image = image.swapaxes(0, 1)
    return image[:: -1 if b + d < 0 else 1, :: -1 if a + c < 0 else 1]
