"""Videos whose frames are drawn over: H.264 with the times of the original frames, and the original packets of audio.

Memory does not grow with the length of the video. Decoding and drawing each have a thread beside the encoder's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from emofuse.core.files import atomic, printable
from emofuse.core.prefetch import prefetch
from emofuse.core.time import TICKS_PER_SECOND, Ints, from_pts, tick_of
from emofuse.errors import MediaError
from emofuse.media.container import MediaFile, audio_stream, clock_zero, open_container, packets, video_stream
from emofuse.media.images import Image
from emofuse.media.video import Frame, VideoReader

# Codecs of audio that MP4 players play; others become AAC.
_COPIED = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"})
_FINEST = 1_000_000  # units per second of the clock of the file, which MP4 players support
_BT709 = "colorprim=bt709:transfer=bt709:colormatrix=bt709"
# Without B-frames decoding and presentation times are equal, and no edit list is needed.
_OPTIONS = {"crf": "20", "preset": "veryfast", "bf": "0", "x264-params": _BT709}
# Without a thread pool for each frame, and without the default filter, which takes twice the time at an equal size.
_CONVERSION: dict[str, Any] = {"dst_colorspace": "ITU709", "dst_color_range": "MPEG", "threads": 1}
_CONVERSION |= {"interpolation": "BILINEAR"}
_THREADS = 2  # fixed, not taken from the machine: the bytes of x264 depend on it


@dataclass(frozen=True)
class VideoPart:
    """A part of a video. start, end: ticks, clip time; end is None for the end of the file.

    turn: degrees by which frames are turned clockwise, on top of what the file states.
    video, audio: indices of the streams; None for those that players would play.
    """

    start: int = 0
    end: int | None = None
    turn: int = 0
    video: int | None = None
    audio: int | None = None


def rewrite_video(
    source: Path,
    target: Path,
    draw: Callable[[Frame, Image], None],
    *,
    part: VideoPart | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Write a video to an MP4 file, each frame drawn over, completely or not at all.

    Frames are upright, with square pixels, in the size of the first one without an odd last row or column. The audio
    that players would play keeps its packets, or becomes AAC if MP4 players do not play its codec.

    Args:
        draw: draws over a frame; the image is uint8 RGB [height, width, 3].
        part: what is written of the video, and how it is turned. Default: all of it, as the file states.
        progress: called with the fraction that is done, 0 to 1.
    Raises:
        MediaError: the video cannot be read, or the encoder refuses its size.
        OutputError: the file cannot be written.
    """
    with ExitStack() as stack:
        file = stack.enter_context(MediaFile(source))
        part = part or VideoPart()
        video = stack.enter_context(VideoReader(file, track=part.video))
        video.turn(part.turn)
        size = video.info.width // 2 * 2, video.info.height // 2 * 2
        if min(size) < 2:
            raise MediaError(f"{printable(source)}: its frames are {video.info.width} x {video.info.height} pixels.")
        partial = stack.enter_context(atomic(target))
        original = stack.enter_context(closing(open_container(source)))
        unit = _time_base(video.timeline.start, video_stream(original, part.video))
        try:
            with av.open(str(partial), "w", format="mp4", options={"fflags": "+bitexact"}) as output:
                stream = output.add_stream("libx264", rate=video.info.rate_hz or Fraction(25))
                context = stream.codec_context
                context.width, context.height, context.pix_fmt, context.time_base = *size, "yuv420p", unit
                context.thread_count, context.options = _THREADS, {**_OPTIONS, "flags": "+bitexact"}
                audio = _Audio.of(original, output, part)
                images = stack.enter_context(closing(prefetch(_images(video, size, part), 2)))
                drawn = stack.enter_context(closing(prefetch(_drawn(images, draw), 2)))
                end = video.end if part.end is None else min(video.end, part.end)
                _write(output, stream, drawn, audio, part.start, end, progress)
        except (av.error.InvalidDataError, av.error.ArgumentError, av.error.ExternalError) as error:
            raise MediaError(f"{printable(source)}: the encoder refused {size[0]}x{size[1]} ({error}).") from error


def _images(video: VideoReader, size: tuple[int, int], part: VideoPart) -> Iterator[tuple[Frame, Image]]:
    """The frames of a part and their images, of one size (width, height)."""
    for frame in video.frames(np.arange(len(video.timeline))[video.timeline.during(part.start, part.end)]):
        image = frame.rgb()
        if (image.shape[1] // 2 * 2, image.shape[0] // 2 * 2) != size:
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        yield frame, np.ascontiguousarray(image[: size[1], : size[0]])


def _drawn(
    images: Iterator[tuple[Frame, Image]], draw: Callable[[Frame, Image], None]
) -> Iterator[tuple[Frame, av.VideoFrame]]:
    for frame, image in images:
        draw(frame, image)
        picture = av.VideoFrame.from_ndarray(image, format="rgb24")
        yield frame, picture.reformat(format="yuv420p", **_CONVERSION)


def _write(
    output: OutputContainer,
    stream: VideoStream,
    images: Iterator[tuple[Frame, av.VideoFrame]],
    audio: _Audio | None,
    start: int,
    end: int,
    progress: Callable[[float], None],
) -> None:
    """Encode the frames, and write the audio between them; time 0 of the file is `start` (ticks)."""
    unit, lengths = stream.codec_context.time_base or Fraction(1, _FINEST), dict[int, int]()

    def mux(encoded: list[Packet[Any]]) -> None:
        for packet in encoded:
            packet.duration = lengths.pop(packet.pts or 0)
            output.mux(packet)

    for frame, picture in images:
        picture.pts, picture.time_base = _units(max(frame.start - start, 0), unit), unit
        lengths[picture.pts] = max(1, _units(min(frame.end, end) - start, unit) - picture.pts)
        if audio is not None:
            audio.write_until(frame.start)
        mux(stream.encode(picture))
        progress((min(frame.end, end) - start) / (end - start))
    mux(stream.encode(None))
    if audio is not None:
        audio.write_until(None)


def _time_base(start: Ints, stream: VideoStream | None) -> Fraction:
    """The unit of the original timestamps, if all times of frames are whole numbers of it, else a fine one."""
    unit = None if stream is None else stream.time_base
    if unit is not None and unit.numerator == 1 and unit.denominator <= _FINEST:
        times = np.rint(start / float(unit * TICKS_PER_SECOND)).astype(np.int64)
        if np.abs(from_pts(times, unit) - start).max(initial=0) <= 1:
            return unit
    return Fraction(1, _FINEST)


def _units(time: int, unit: Fraction) -> int:
    return round(Fraction(time, TICKS_PER_SECOND) / unit)


@dataclass
class _Audio:
    """The audio of a file on its way into another one; live state.

    written: yields the end of each packet that was written, in ticks of the new file. start: its time 0 in the clip.
    """

    written: Iterator[int]
    start: int
    reached: int = 0

    @classmethod
    def of(cls, container: InputContainer, output: OutputContainer, part: VideoPart) -> _Audio | None:
        stream = audio_stream(container, part.audio)
        if stream is None:
            return None
        unit, zero = stream.time_base or Fraction(1, stream.rate), clock_zero(container)
        start = _units(zero + part.start, unit) if part.start else None
        end = None if part.end is None else _units(zero + part.end, unit)
        read = _AudioPart(start, end, _units(zero, unit) if start is None else start)
        copied = stream.codec_context.codec.canonical_name in _COPIED
        written = _copied if copied else _encoded
        return cls(written(container, stream, output, read), part.start)

    def write_until(self, time: int | None) -> None:
        """Write the packets up to a time in ticks, or all that are left."""
        while time is None or self.reached <= time - self.start:
            reached = next(self.written, None)
            if reached is None:
                self.reached = 2**63
                return
            self.reached = reached


class _AudioPart(NamedTuple):
    """Which timestamps of audio are written, in units of the stream, and the one that becomes 0."""

    start: int | None
    end: int | None
    zero: int

    def has(self, pts: int) -> bool:
        """Whether a packet or frame with this timestamp is written; without a start also those before time 0."""
        return (self.start is None or pts >= self.start) and (self.end is None or pts < self.end)


def _copied(container: InputContainer, stream: AudioStream, output: OutputContainer, part: _AudioPart) -> Iterator[int]:
    target = output.add_stream_from_template(stream)
    for packet in packets(container, stream, []):
        if packet.dts is None or packet.pts is None or not part.has(packet.pts):
            continue
        packet.pts, packet.dts = packet.pts - part.zero, packet.dts - part.zero
        reached = tick_of(packet.pts + (packet.duration or 0), packet.time_base)
        packet.stream = target
        output.mux(packet)
        yield reached


def _encoded(
    container: InputContainer, stream: AudioStream, output: OutputContainer, part: _AudioPart
) -> Iterator[int]:
    target = output.add_stream("aac", rate=stream.rate, layout="mono" if stream.channels == 1 else "stereo")
    for packet in chain(packets(container, stream, []), (None,)):
        try:
            frames = stream.decode(packet)
        except av.error.FFmpegError:  # damaged data
            continue
        for frame in frames:
            if frame.pts is None or not part.has(frame.pts):
                continue
            frame.pts -= part.zero
            reached = tick_of(frame.pts, frame.time_base or Fraction(1, stream.rate))
            output.mux(target.encode(frame))
            yield reached
    output.mux(target.encode(None))
