"""Frames of a video file, each with its time: decoded once, in order, and converted to RGB only on demand.

Clip time 0 is the earliest stream start of the container, so that video and audio stay in sync; the times of the
frames come from the stream (`emofuse.media.frame_index`).
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, islice
from typing import Any, NamedTuple
from weakref import WeakSet

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from emofuse.core.files import printable
from emofuse.core.time import Ints, Timeline
from emofuse.errors import MediaError, ShapeError
from emofuse.media.container import (
    MediaFile,
    audio_stream,
    has_undecodable_video,
    open_container,
    other_videos,
    packets,
    position_of,
    rewind,
    seek_before,
    video_stream,
    warn,
)
from emofuse.media.frame_image import Look, Looks, first_look
from emofuse.media.frame_index import H26X, FrameIndex, audio_end
from emofuse.media.images import Image, check_rgb, luma_of, reduced
from emofuse.media.planes import Area

_LATE = 250  # number of a frame from which on it is worth while to seek to it


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video.

    index: its number in presentation order among all frames of the stream, from 0.
    start, end: ticks, clip time.

    Frames of one video may differ in size, where that changes on the way.
    """

    index: int
    start: int
    end: int
    _image: av.VideoFrame | Image = field(repr=False)
    _look: Look | None = field(default=None, repr=False)

    @classmethod
    def from_rgb(cls, image: Image, *, index: int, start: int, end: int) -> Frame:
        """A frame of an image in memory, uint8 [height, width, 3], from a webcam or a test.

        Raises:
            ShapeError: the image has another shape or type.
        """
        check_rgb(image, "Frame")
        return cls(index, start, end, image)

    def rgb(self) -> Image:
        """The upright image with square pixels, uint8 [height, width, 3], contiguous. Each call converts it again."""
        if isinstance(self._image, np.ndarray):
            return np.ascontiguousarray(self._image)
        assert self._look is not None
        return self._look.image(self._image)

    def luma(self) -> Image:
        """The luma of the upright image, uint8 [height, width], contiguous: grey levels from 0 to 255.

        Where the format allows, these are the samples of the decoder, without a conversion of colours. They differ from
        a weighted sum of red, green and blue by at most 4 levels where no colour is clipped.
        """
        if isinstance(self._image, np.ndarray):
            return luma_of(self._image)
        assert self._look is not None
        return self._look.luma(self._image)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright image."""
        if isinstance(self._image, np.ndarray):
            return self._image.shape[1], self._image.shape[0]
        assert self._look is not None
        return self._look.size

    def region(self, x: int, y: int, width: int, height: int) -> Image:
        """`rgb()[y : y + height, x : x + width]`; where the format allows, nothing else is converted.

        Args:
            x, y, width, height: a rectangle within the image.
        """
        if isinstance(self._image, np.ndarray):
            return self._image[y : y + height, x : x + width]
        assert self._look is not None
        return self._look.region(self._image, x, y, width, height)

    def luma_region(self, area: Area, size: tuple[int, int]) -> Image:
        """A rectangle of the luma, reduced to a width and height, uint8 [height, width].

        Where the format allows, nothing else is converted. The rectangle is (left, top, width, height). Levels differ
        from those of `luma()` by rounding.
        """
        x, y, width, height = area
        if isinstance(self._image, np.ndarray):
            return luma_of(np.asarray(reduced(self._image[y : y + height, x : x + width], size), np.uint8))
        assert self._look is not None
        return self._look.luma_region(self._image, area, size)


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video: width and height of its first frame in square pixels, after rotation; its clockwise
    rotation in degrees, by the file and by `turn`; average frame rate, if known; codec; whether the file has audio."""

    width: int
    height: int
    rotation: int
    rate_hz: Fraction | None
    codec: str
    has_audio: bool


class _Decoded(NamedTuple):
    """A decoded frame, the number of it in the timeline, and what turns frames of its pass into images."""

    number: int
    frame: av.VideoFrame
    looks: Looks


class VideoReader:
    """A video file: its `info`, the `timeline` of all its frames, and the frames themselves, read from the start.

    Opening reads the whole file without decoding it (24 bytes per frame are kept) and decodes one frame. `warnings`
    lists problems of a file that can be read nevertheless; reading adds to it. `track` is the index of its stream.

    Args:
        source: a path, or a `MediaFile` that was opened to see what it holds.
        threads: of the decoder; 0 lets it choose.
        track: index of the video stream; default: the one that players would show.
    Raises:
        MediaError: the file cannot be read, or has no video that can be decoded.
    """

    def __init__(
        self, source: str | os.PathLike[str] | MediaFile, *, threads: int = 0, track: int | None = None
    ) -> None:
        self._file, self._track = MediaFile.of(source), track
        self.path = self._file.path
        self.warnings: list[str] = []
        self._threads, self._turn = threads, 0
        self._readings: WeakSet[Generator[Frame, None, None]] = WeakSet()
        self._rewound: tuple[InputContainer, VideoStream] | None = None  # ready for one pass with frame threads
        info = self._prepare()
        if info is None and self._file.ignore_edit_lists():
            self.warnings[:] = ["its edit list leaves no frame to show, so edit lists are ignored"]
            info = self._prepare()
        if info is None:
            raise MediaError(
                f"{printable(self.path)}: no frame of its video can be decoded. It is damaged: copy or record it again."
            )
        self.info = info

    def _prepare(self) -> VideoInfo | None:
        """Index the file and decode one frame; None if no frame can be decoded."""
        container, stream = self._open(frame_threads=True)
        try:
            first_packet, frames = list[tuple[int | None, ...]](), list[av.VideoFrame]()
            read = self._packets_until_first_frame(container, stream, first_packet, frames)
            self.track = stream.index
            self._index = FrameIndex.of(container, stream, read, self.warnings, self._audio_end)
            has_audio = audio_stream(container) is not None
            looks = [first_look(stream, frame) for frame in frames]
            if others := other_videos(container, stream):
                warn(self.warnings, others)
            if first_packet and not self._index.damaged and rewind(container, stream, first_packet[0]):
                self._rewound = container, stream
        finally:
            if self._rewound is None:
                container.close()
        if not looks and len(self._index.timeline):
            with closing(self._decoded(None)) as decoded:
                looks = [found.looks.of(found.frame) for found in islice(decoded, 1)]
        if not looks:
            self.close()
            self._rewound = None
            return None
        codec = stream.codec_context.codec.canonical_name
        return VideoInfo(*looks[0].size, looks[0].rotation, self._index.rate_hz, codec, has_audio)

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

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all iterations over frames that are in progress, and close the file."""
        for reading in list(self._readings):
            reading.close()
        if self._rewound is not None:
            self._rewound[0].close()

    def turn(self, degrees: int) -> None:
        """Turn all frames of later passes clockwise, by a multiple of 90 degrees, on top of what the file states."""
        info, self._turn = self.info, (self._turn + degrees) % 360
        size = (info.height, info.width) if degrees % 180 else (info.width, info.height)
        self.info = replace(info, width=size[0], height=size[1], rotation=(info.rotation + degrees) % 360)

    def frames(self, wanted: Ints | None = None) -> Iterator[Frame]:
        """Frames in presentation order, from the start on each call. Frames that cannot be decoded are left out.

        Args:
            wanted: int64 [n], strictly increasing indices of the frames to return, equal to those of a full pass;
                others are not converted and, where the codec allows, not decoded; most of those before the first one
                are skipped. Default: every frame.
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
        total = len(self.timeline) if wanted is None else len(wanted)
        returned = position = 0
        looks: Looks | None = None
        with closing(self._decoded(wanted)) as decoded:
            # The decoder is not asked for more than is wanted, so what follows the last wanted frame is not read.
            while position < total and (found := next(decoded, None)) is not None:
                index, frame, looks = found
                if wanted is not None:
                    position += int(np.searchsorted(wanted[position:], index))
                    if position == total or wanted[position] != index:
                        continue
                    position += 1
                returned += 1
                yield Frame(index, int(start[index]), int(end[index]), frame, looks.of(frame))
        if looks is not None:
            looks.warn(self.warnings)
        if returned < total:
            warn(self.warnings, f"{total - returned} of {total} frames could not be decoded")

    def _decoded(self, wanted: Ints | None) -> Generator[_Decoded, None, None]:
        """Decoded frames in order; with `wanted`, some others may be among them."""
        last = len(self.timeline) - 1 if wanted is None else int(wanted[-1])
        reached, intact = -1, not self._index.damaged
        for found in self._decoded_once(wanted, frame_threads=intact):
            reached = found.number
            yield found
        if reached < last and intact:
            # PyAV stops at the first error while it flushes the decoder, so with frame threads good frames after a
            # damaged one near the end are lost. Without them each error is raised at its own packet.
            for found in self._decoded_once(wanted, frame_threads=False):
                if found.number > reached:
                    yield found

    def _decoded_once(self, wanted: Ints | None, *, frame_threads: bool) -> Generator[_Decoded, None, None]:
        index, last = self._index, -1
        rewound, self._rewound = (self._rewound, None) if frame_threads else (None, self._rewound)
        container, stream = rewound or self._open(frame_threads=frame_threads)
        if (target := self._seek_target(wanted)) is not None and not seek_before(container, stream, target):
            container.close()
            container, stream = self._open(frame_threads=frame_threads)
        with closing(container):
            context, looks = stream.codec_context, Looks(stream, turn=self._turn)
            # Pts of the packets that must be decoded; the decoder may skip others if no frame refers to them.
            skips = context.name in H26X and not index.paired
            needed = None if wanted is None or index.pts is None or not skips else index.pts[wanted]
            for n, packet in enumerate(chain(packets(container, stream, self.warnings), (None,))):
                if packet is not None and n in index.corrections:
                    packet.pts = index.corrections[n]
                if needed is not None and packet is not None:
                    context.skip_frame = "DEFAULT" if _contains(needed, packet.pts) else "NONREF"
                for frame in _decode(stream, packet):
                    looks.follow(frame)
                    number = index.position(frame.pts, last)
                    if number < len(index.timeline):
                        last = number
                        yield _Decoded(number, frame, looks)
                    else:
                        warn(self.warnings, "the video has more frames than timestamps; those beyond are left out")

    def _seek_target(self, wanted: Ints | None) -> int | None:
        """The timestamp of the first wanted frame, if it is worth while to seek to it, and can be relied on."""
        index = self._index
        if wanted is None or not len(wanted) or wanted[0] < _LATE or index.pts is None:
            return None
        return None if index.damaged or index.corrections else int(index.pts[wanted[0]])

    def _packets_until_first_frame(
        self,
        container: InputContainer,
        stream: VideoStream,
        first_packet: list[tuple[int | None, ...]],
        frames: list[av.VideoFrame],
    ) -> Iterator[Packet[Any]]:
        """All packets; those up to the first frame are decoded, which is put into `frames`."""
        for packet in packets(container, stream, self.warnings):
            if not first_packet:
                first_packet.append(position_of(packet))
            if not frames:
                frames += _decode(stream, packet)[:1]
            yield packet
        if not frames:
            frames += _decode(stream, None)[:1]

    def _audio_end(self) -> int | None:
        """End of the audio according to its packets, ticks of clip time; None where there is no audio."""
        with closing(open_container(self.path)) as container:
            return audio_end(container)

    def _open(self, *, frame_threads: bool) -> tuple[InputContainer, VideoStream]:
        container = self._file.take_container()
        stream = video_stream(container, self._track)
        if stream is None:
            with closing(container):
                raise MediaError(f"{printable(self.path)}: {_reason_without_video(container)}")
        stream.codec_context.thread_type = "AUTO" if frame_threads else "SLICE"
        stream.codec_context.thread_count = self._threads
        return container, stream


def _reason_without_video(container: InputContainer) -> str:
    if has_undecodable_video(container):
        return "its video is in a format that cannot be decoded here. Convert it to MP4 (H.264)."
    if audio_stream(container) is not None:
        return "holds only audio, no video. Give a video, or use its audio alone."
    return "holds neither video nor audio. Give a video."


def _contains(needed: Ints, pts: int | None) -> bool:
    if pts is None:
        return True
    position = int(np.searchsorted(needed, pts))
    return position < len(needed) and int(needed[position]) == pts


def _decode(stream: VideoStream, packet: Packet[Any] | None) -> list[av.VideoFrame]:
    try:
        return stream.decode(packet)
    except av.error.FFmpegError:  # damaged data; the frame count shows that this frame is missing
        return []
