"""Video and sound files before decoding: opening them, their streams, when their frames are shown, what may be wrong.

Every problem with a file is a `MediaError` of one line that begins with its path. libav prints nothing: PyAV keeps
its log to itself unless a program asks for it.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from array import array
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from emofuse.core.files import printable
from emofuse.core.time import TICKS_PER_SECOND, Ints, Timeline, from_pts, period, seconds, tick_of, ticks
from emofuse.errors import MediaError

# Tags in another encoding than they claim are no reason not to read a file; from PyAV 19 on they never are.
_ANY_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
NO_TIME = int(np.iinfo(np.int64).min)
H26X = {"h264", "hevc"}  # AVI does not tell the order of their frames; frames that none refers to can be skipped
WITH_LENGTH = re.compile("mov|matroska|avi|asf")  # containers whose header says how long the picture is
AUDIO_SUFFIXES = frozenset(  # of files that hold sound alone
    {".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".wma", ".amr", ".mka", ".weba"}
)
COVERS = Disposition.attached_pic | Disposition.timed_thumbnails
MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"pnot", b"moof", b"sidx", b"styp"}


def media_streams(path: str | os.PathLike[str]) -> tuple[bool, bool]:
    """Whether a file holds (picture, sound) that can be decoded; cover art is not a picture. Reads the header only.

    Raises:
        MediaError: the file cannot be opened.
    """
    with closing(open_media(path)) as container:
        return video_stream(container) is not None, audio_stream(container) is not None


def open_media(path: str | os.PathLike[str]) -> InputContainer:
    """The opened file; close it after use.

    Raises:
        MediaError: the file is missing, a folder, empty, may not be read, or is no video or sound.
    """
    path = Path(path)
    check_readable(path)
    try:
        # Absolute, so that libav never takes the start of a name such as "talk:2.mp4" for a protocol.
        container: InputContainer = av.open(str(path.absolute()), **_ANY_TAGS)
    except av.error.FFmpegError as error:
        raise _unreadable(path, error) from None
    if not (container.streams.video or container.streams.audio):
        container.close()
        raise _unreadable(path)
    return container


def video_stream(container: InputContainer) -> VideoStream | None:
    """The moving picture that players would show, or None. Cover art and thumbnails do not count."""
    streams = [s for s in container.streams.video if not s.disposition & COVERS and s.codec_context is not None]
    best = container.streams.best("video")
    return next((s for s in streams if best is not None and s.index == best.index), streams[0] if streams else None)


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The sound that players would play, or None."""
    streams = [s for s in container.streams.audio if s.codec_context is not None]
    best = container.streams.best("audio")
    return next((s for s in streams if best is not None and s.index == best.index), streams[0] if streams else None)


def clock_zero(container: InputContainer) -> int:
    """Ticks, on the container's clock, of clip time 0: the earliest start of a picture or sound stream."""
    streams: list[Stream] = [s for s in container.streams.video if not s.disposition & COVERS]
    streams += container.streams.audio
    starts = [
        tick_of(s.start_time, s.time_base) for s in streams if s.start_time is not None and s.time_base is not None
    ]
    return min(starts, default=0)


def packets(container: InputContainer, stream: Stream, warnings: list[str]) -> Iterator[Packet[Any]]:
    """Packets of one stream to the end of the file, or to where it cannot be read on: that is a warning, no error."""
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all  # lets the demuxer leap over them
    try:
        for packet in container.demux(stream):
            if packet.size:  # the last packet is PyAV's own and empty
                yield packet
    except av.error.FFmpegError as error:
        warn(warnings, f"the file cannot be read to its end ({error.strerror}): it is damaged")


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames of a picture stream in presentation order, from its packets alone.

    pts: int64 [n], sorted, in units of the stream; None where they do not tell the order of the frames.
    timeline: n intervals, clip time. rate_hz: average, or nominal where the times rest on it.
    damaged: whether the file is cut off or cannot be read to its end.
    """

    pts: Ints | None
    timeline: Timeline
    rate_hz: Fraction | None
    damaged: bool

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream, warnings: list[str]) -> FrameIndex:
        """The index of a container that has just been opened; reads it to its end."""
        pts_list, dts_list, last, damaged = array("q"), array("q"), (NO_TIME, 0), False
        for packet in packets(container, stream, warnings):
            damaged |= packet.is_corrupt
            if packet.is_discard or _hidden(packet, stream):
                continue
            pts_list.append(NO_TIME if packet.pts is None else packet.pts)
            dts_list.append(NO_TIME if packet.dts is None else packet.dts)
            last = max(last, (pts_list[-1], packet.duration or 0))
        pts, dts = np.array(pts_list, np.int64), np.array(dts_list, np.int64)
        unit, zero, rate = stream.time_base or Fraction(1, TICKS_PER_SECOND), clock_zero(container), stream.average_rate
        # AVI stores no pts. libav makes some up from dts, for H.264 and H.265 without regard to B-frames.
        made_up = container.format.name == "avi" and stream.codec_context.name in H26X
        restarts = _restarts(dts, unit)
        times, ordered = pts, not (made_up or restarts or NO_TIME in pts)
        if not ordered and not restarts and NO_TIME not in dts:
            known = pts[(pts != NO_TIME) & (not made_up)]
            times = dts + (known.min() - dts.min() if known.size else 0)
        elif not ordered:
            rate = stream.guessed_rate or rate or Fraction(25)
            times, unit, zero = np.arange(len(pts), dtype=np.int64), 1 / rate, 0
        times = np.sort(times)
        last_length = int(from_pts(last[1], unit)) if ordered else 0
        timeline = _timeline(np.maximum(from_pts(times, unit) - zero, 0), last_length, rate)
        if restarts:
            warn(warnings, "the clock of the file restarts: the times of its frames follow the nominal rate")
        _warn_if_cut_off(timeline, _promised_end(container, stream), warnings)
        return cls(times if ordered else None, timeline, rate, damaged or bool(warnings))

    def place(self, pts: int | None, next_one: int) -> int:
        """Index of the frame that the decoder gives with `pts`, at or after `next_one`."""
        if self.pts is None or pts is None:
            return next_one
        return max(next_one, int(np.searchsorted(self.pts, pts)))


def _timeline(start: Ints, last_length: int, rate_hz: Fraction | None) -> Timeline:
    """Intervals that end where the next one begins; equal times are set apart by one tick."""
    if not len(start):
        return Timeline.empty()
    n = np.arange(len(start), dtype=np.int64)
    start = np.maximum.accumulate(start - n) + n
    if last_length <= 0 and len(start) > 1:
        last_length = int(np.median(np.diff(start)))
    elif last_length <= 0:
        last_length = round(period(rate_hz)) if rate_hz else ticks(Fraction(40, 1000))
    return Timeline(start, np.append(start[1:], start[-1] + last_length))


def _restarts(dts: Ints, unit: Fraction) -> bool:
    """Whether the clock jumps back by more than a second, as in recordings that were joined byte by byte."""
    known = dts[dts != NO_TIME]
    return bool(np.any(np.diff(known) * float(unit) < -1))


def _warn_if_cut_off(timeline: Timeline, promised: int | None, warnings: list[str]) -> None:
    if promised is None or not len(timeline):
        return
    reached = int(timeline.end[-1])
    if promised - reached > max(ticks(0.25), 2 * (reached // len(timeline))):
        warn(
            warnings,
            f"picture ends at {seconds(reached):.1f} s, the header promises {seconds(promised):.1f} s: "
            "the file is cut off",
        )


def _promised_end(container: InputContainer, stream: VideoStream) -> int | None:
    """Ticks, clip time, where the header says that the picture ends."""
    if not WITH_LENGTH.search(container.format.name):
        return None
    zero = clock_zero(container)
    if stream.duration is not None and stream.time_base is not None:
        return tick_of((stream.start_time or 0) + stream.duration, stream.time_base) - zero
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))  # Matroska
    return ticks(int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])) - zero if tag else None


def _hidden(packet: Packet[Any], stream: VideoStream) -> bool:
    """Whether a VP8 packet is a reference that is never shown (its show_frame bit is off)."""
    return stream.codec_context.name == "vp8" and not memoryview(packet)[0] & 0x10


def warn(warnings: list[str], line: str) -> None:
    """Adds a warning once, however often a file is read."""
    if line not in warnings:
        warnings.append(line)


def check_readable(path: Path) -> None:
    """Nothing, if `path` is a file with content that may be read.

    Raises:
        MediaError: it is missing, a folder, a device, empty, or may not be read.
    """
    name = printable(path)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise MediaError(f"{name}: is a folder, not a file. Name one of the videos in it.")
        if not stat.S_ISREG(found.st_mode):
            raise MediaError(f"{name}: is a pipe or device, not a file. Save the video to disk first.")
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError):
        raise MediaError(f"{name}: there is no such file. Check its name and folder.") from None
    except PermissionError:
        raise MediaError(f"{name}: you have no permission to read it. Change that, e.g. chmod +r.") from None
    except OSError as error:
        raise MediaError(f"{name}: cannot be read ({error.strerror}). Copy it to another disk and try again.") from None
    if found.st_size == 0:
        raise MediaError(f"{name}: is empty (0 bytes). Copy or record it again.")


def _unreadable(path: Path, error: av.error.FFmpegError | None = None) -> MediaError:
    name = printable(path)
    if _lacks_mp4_index(path):
        return MediaError(
            f"{name}: its index (moov) is missing: the recording or copy was cut off before its end. "
            "Copy it again, or repair it with a tool such as untrunc."
        )
    if error is None or isinstance(error, av.error.InvalidDataError):
        return MediaError(
            f"{name}: is no video or sound file, whatever its name says. Check that a media player opens it."
        )
    return MediaError(f"{name}: cannot be opened ({error.strerror}). Check that a media player opens it.")


def _lacks_mp4_index(path: Path) -> bool:
    """Whether an MP4 or QuickTime file has no whole `moov` box, from a walk over its outermost boxes."""
    size, position, kinds = path.stat().st_size, 0, set()
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8))
            if kind not in MP4_BOXES:
                break
            if length == 1:
                length = struct.unpack(">Q", file.read(8).rjust(8, b"\0"))[0]
            elif length == 0:
                length = size - position
            if kind == b"moov" and position + length <= size:
                return False
            kinds.add(kind)
            position += max(length, 8)
    return bool(kinds)


def can_decode(codec: str) -> bool:
    """Whether this build of libav has a decoder for a codec.

    >>> can_decode("h264")
    True
    """
    try:
        return av.Codec(codec, "r").is_decoder
    except av.codec.codec.UnknownCodecError:
        return False
