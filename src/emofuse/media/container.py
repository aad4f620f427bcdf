"""Media files before decoding: opening them, their streams, packets and clock, and what is wrong with a broken file.

Every problem with a file is a `MediaError` of one line that begins with its path. libav prints nothing: PyAV logs
only if a program asks it to.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, TypeVar

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from emofuse.core.files import printable
from emofuse.core.time import tick_of, ticks
from emofuse.errors import MediaError, ShapeError

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".divx", ".mpg", ".mpeg", ".mpe", ".mpv", ".m1v", ".m2v"}
    | {".mts", ".m2ts", ".m2t", ".ts", ".tp", ".trp", ".mod", ".tod", ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2"}
    | {".3gpp", ".ogv", ".ogm", ".mxf", ".vob", ".dv", ".dif", ".rm", ".rmvb", ".mjpg", ".mjpeg", ".h264", ".264"}
    | {".h265", ".265", ".hevc", ".ivf", ".y4m", ".nut", ".amv", ".wtv", ".insv", ".lrv", ".gif"}
)
AUDIO_SUFFIXES = frozenset(  # of audio-only files
    {".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".wma", ".amr", ".mka", ".weba"}
)
# Tags in another encoding than they claim do not make a file unreadable; from PyAV 19 on this is the default.
LENIENT_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_COVER_ART = Disposition.attached_pic | Disposition.timed_thumbnails
_STILL_IMAGES = frozenset({"mjpeg", "png", "bmp", "webp", "tiff", "gif"})
_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"pnot", b"moof", b"sidx", b"styp"}
# Formats with an index of their packets, which decode after a seek to the start exactly as they do when just opened.
_REWINDABLE = re.compile("mov|matroska")
# Formats without a list of streams: audio may begin a minute into the video. Where one of the two is missing, the file
# is searched this far, in bytes and microseconds.
_STREAMS_APPEAR_LATE = re.compile("mpeg|mpegts|flv")
_LONG_PROBE = {"probesize": "50000000", "analyzeduration": "3600000000"}
_SEEK_LEAD = 2  # seconds, so that no frame that is needed refers to one before the key frame
_LEAD = {"audio": ticks(Fraction(1, 2)), "video": ticks(10)}  # a stream that begins this much before others is checked

_Stream = TypeVar("_Stream", VideoStream, AudioStream)


@dataclass(frozen=True)
class TrackInfo:
    """A video or audio track of a file.

    stream: index of its stream. kind: `video` or `audio`. number: among the tracks of its kind, from 1.
    language: its code, such as `deu`, if the file states it. codec: "" if it is unknown.
    decodable: whether it can be decoded.
    """

    stream: int
    kind: str
    number: int
    language: str | None
    codec: str
    decodable: bool


class MediaFile:
    """An open media file and the kinds of streams that it holds.

    Give it to a `VideoReader` and an `AudioReader`, so that the file is opened only once for each: the first reader
    takes over the open container.

    has_video, has_audio: whether there is a decodable stream of the kind. Cover art is not video.
    audio_tracks: indices of the audio streams that can be decoded; the one that players would play comes first.
    undecodable_video: whether there is video, but none that can be decoded.
    tracks: of video and audio, without cover art.

    Raises:
        MediaError: the file is missing, a folder, empty, not readable, or not a media file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        container = open_container(self.path)
        self._options: dict[str, str] = {}
        self._has_edit_lists = "mov" in container.format.name
        self.has_video = video_stream(container) is not None
        self.audio_tracks = audio_tracks(container)
        self.has_audio = bool(self.audio_tracks)
        self.undecodable_video = has_undecodable_video(container)
        self.tracks = _tracks(_shown_streams(container)) + _tracks(container.streams.audio)
        self._container: InputContainer | None = container

    @classmethod
    def of(cls, source: str | os.PathLike[str] | MediaFile) -> MediaFile:
        """The media file of a path, or the one that is given."""
        return source if isinstance(source, MediaFile) else cls(source)

    def take_container(self) -> InputContainer:
        """A container positioned at its start, which the caller closes; the file is opened again from the second on."""
        container, self._container = self._container or open_container(self.path, self._options), None
        return container

    def ignore_edit_lists(self) -> bool:
        """Open the file without its edit lists from now on; returns whether that can change anything."""
        if not self._has_edit_lists or self._options:
            return False
        self._options = {"ignore_editlist": "1"}
        self.close()
        self._container = None
        return True

    def close(self) -> None:
        """Close the file, unless a reader has taken it over."""
        if self._container is not None:
            self._container.close()

    def __enter__(self) -> MediaFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_container(path: Path, options: dict[str, str] | None = None) -> InputContainer:
    """The opened file; close it after use. options: of libav's demuxer.

    Raises:
        MediaError: the file is missing, a folder, empty, not readable, or not a media file.
    """
    check_readable(path)
    try:
        # Absolute, so that libav never takes the start of a name such as "talk:2.mp4" for a protocol.
        container: InputContainer = av.open(str(path.absolute()), options=options or {}, **LENIENT_TAGS)
        if _STREAMS_APPEAR_LATE.fullmatch(container.format.name) and not _has_both(container):
            container.close()
            container = av.open(str(path.absolute()), options=_LONG_PROBE, **LENIENT_TAGS)
    except av.error.FFmpegError as error:
        raise _unreadable(path, error) from None
    kind, is_still, names = container.format.name, container.format.name.endswith("_pipe"), container.streams
    if is_still or not (names.video or names.audio):
        container.close()
        raise _still_image(path, kind) if is_still else _unreadable(path)
    return container


def video_stream(container: InputContainer, track: int | None = None) -> VideoStream | None:
    """The video stream that players would show, or the one with this index; None if there is none to decode. Cover art
    and thumbnails do not count, nor do still images beside a video that are not marked as such."""
    streams = [s for s in _shown_streams(container) if track is None or s.index == track]
    videos = [s for s in streams if s.codec_context is not None and s.codec_context.name not in _STILL_IMAGES]
    return _preferred(videos or streams, container.streams.best("video"))


def other_videos(container: InputContainer, chosen: VideoStream) -> str | None:
    """What to report of a file with several video streams, of which one was chosen."""
    n, context = len(_shown_streams(container)), chosen.codec_context
    if n < 2:
        return None
    name = f"stream {chosen.index} ({context.name}, {context.width}x{context.height})"
    return f"has {n} video streams: only {name} was processed"


def has_undecodable_video(container: InputContainer) -> bool:
    """Whether there is a video stream, but none that this build of libav can decode."""
    streams = _shown_streams(container)
    return bool(streams) and all(s.codec_context is None for s in streams)


def _tracks(streams: Sequence[VideoStream | AudioStream]) -> list[TrackInfo]:
    contexts = [(s, s.codec_context) for s in streams]
    return [
        TrackInfo(s.index, s.type, n, _language(s), context.name if context else "", context is not None)
        for n, (s, context) in enumerate(contexts, start=1)
    ]


def _language(stream: Stream) -> str | None:
    code = stream.metadata.get("language", "")
    return code if code not in ("", "und") else None


def _shown_streams(container: InputContainer) -> list[VideoStream]:
    return [s for s in container.streams.video if not s.disposition & _COVER_ART]


def audio_stream(container: InputContainer, track: int | None = None) -> AudioStream | None:
    """The audio stream that players would play, or the one with this index; None if there is none to decode."""
    streams = [s for s in container.streams.audio if track is None or s.index == track]
    return _preferred(streams, container.streams.best("audio"))


def audio_tracks(container: InputContainer) -> tuple[int, ...]:
    """Indices of the audio streams that can be decoded; the one that players would play comes first."""
    default = audio_stream(container)
    decodable = [s.index for s in container.streams.audio if s.codec_context is not None]
    return tuple(sorted(decodable, key=lambda index: (default is None or index != default.index, index)))


def time_of(pts: int | None, time_base: Fraction) -> int | None:
    """A timestamp in ticks; None if it is missing or beyond the range of the clock."""
    try:
        return None if pts is None else tick_of(pts, time_base)
    except ShapeError:
        return None


def _preferred(streams: list[_Stream], best: Stream | None) -> _Stream | None:
    """The best stream if libav can decode it, else the first that it can decode."""
    decodable = [s for s in streams if s.codec_context is not None]
    first = decodable[0] if decodable else None
    return next((s for s in decodable if best is not None and s.index == best.index), first)


def clock_zero(container: InputContainer) -> int:
    """Clip time 0 on the container's clock, in ticks: the earliest start of a video or audio stream."""
    streams: list[Stream] = [s for s in container.streams.video if not s.disposition & _COVER_ART]
    starts = sorted((start, s.index, s.type) for s in [*streams, *container.streams.audio] for start in _starts(s))
    if not starts:
        return 0
    start, index, kind = starts[0]
    if len(starts) > 1 and starts[1][0] - start > _LEAD[kind]:
        return min(_confirmed_start(container, index, start), starts[1][0])
    return start


def _starts(stream: Stream) -> list[int]:
    """Start of a stream in ticks, if it is known."""
    start = None if stream.time_base is None else time_of(stream.start_time, stream.time_base)
    return [] if start is None else [start]


def _confirmed_start(container: InputContainer, index: int, start: int) -> int:
    """Start of a stream, which is that of its second packet if the first one has a timestamp far before it."""
    with closing(open_container(Path(container.name))) as file:
        stream = file.streams[index]
        lead = _LEAD[stream.type]  # a stream must not be used once its file is closed
        times = (time_of(packet.pts, packet.time_base) for packet in packets(file, stream, []))
        first = sorted(islice((time for time in times if time is not None), 6))
    steps = [after - before for before, after in pairwise(first)]
    if len(steps) > 1 and steps[0] > lead and max(steps[1:]) < steps[0] / 8:
        return max(start, first[1] - max(steps[1:]))
    return start


def packets(container: InputContainer, stream: Stream, warnings: list[str]) -> Iterator[Packet[Any]]:
    """Packets of one stream up to the end of the file, or up to where it cannot be read, which adds a warning."""
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all  # lets the demuxer skip them
    try:
        for packet in container.demux(stream):
            if packet.size:  # the last packet is PyAV's own and empty
                yield packet
    except av.error.FFmpegError as error:
        warn(warnings, f"the file cannot be read to its end ({error.strerror}): it is damaged")
    except IndexError:  # PyAV, at the end of a file in which libav found another stream on the way
        warn(warnings, "a stream that begins later in the file is not used")


def position_of(packet: Packet[Any]) -> tuple[int | None, ...]:
    """What identifies a packet among those of its stream."""
    return packet.dts, packet.pts, packet.size, packet.pos


def rewind(container: InputContainer, stream: Stream, first: tuple[int | None, ...]) -> bool:
    """Seek back to the first packet of a stream, given its position; if this returns False, open the file again."""
    times = [time for time in first[:2] if time is not None]
    if not _REWINDABLE.search(container.format.name) or not times:
        return False
    try:
        container.seek(min(times), stream=stream)
        packet = next(container.demux(stream), None)
        container.seek(min(times), stream=stream)
    except av.error.FFmpegError:
        return False
    return packet is not None and position_of(packet) == first


def seek_before(container: InputContainer, stream: Stream, pts: int) -> bool:
    """Seek to a key frame two seconds or more before a timestamp; if this returns False, open the file again."""
    if not _REWINDABLE.search(container.format.name) or not stream.time_base:
        return False
    target = pts - round(_SEEK_LEAD / stream.time_base)
    try:
        container.seek(target, stream=stream)
        packet = next(container.demux(stream), None)
        container.seek(target, stream=stream)
    except av.error.FFmpegError:
        return False
    return packet is not None and packet.pts is not None and packet.pts <= pts


def warn(warnings: list[str], line: str) -> None:
    """Add a warning once, however often a file is read."""
    if line not in warnings:
        warnings.append(line)


def _has_both(container: InputContainer) -> bool:
    return bool(container.streams.video and container.streams.audio)


def check_readable(path: Path) -> None:
    """Check that a path is a file with content that may be read.

    Raises:
        MediaError: it is missing, a folder, a device, empty, or not readable.
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


def can_decode(codec: str) -> bool:
    """Whether this build of libav has a decoder for a codec.

    >>> can_decode("h264")
    True
    """
    try:
        return av.Codec(codec, "r").is_decoder
    except av.codec.codec.UnknownCodecError:
        return False


def _still_image(path: Path, kind: str) -> MediaError:
    kind = kind.removesuffix("_pipe")
    ending = ".jpg" if kind == "jpeg" else f".{kind}"
    name = printable(path.with_suffix(ending).name)
    return MediaError(f"{printable(path)}: is a photograph ({kind}) with the name of a video; rename it to {name}.")


def _unreadable(path: Path, error: av.error.FFmpegError | None = None) -> MediaError:
    name = printable(path)
    if _lacks_mp4_index(path):
        return MediaError(
            f"{name}: its index (moov) is missing: the recording or copy was cut off before its end. "
            "Copy it again, or repair it with a tool such as untrunc."
        )
    if error is None or isinstance(error, av.error.InvalidDataError):
        return MediaError(f"{name}: is not a video or audio file. Check that a media player opens it.")
    return MediaError(f"{name}: cannot be opened ({error.strerror}). Check that a media player opens it.")


def _lacks_mp4_index(path: Path) -> bool:
    """Whether an MP4 or QuickTime file has no complete `moov` box among its outermost boxes."""
    size, position, kinds = path.stat().st_size, 0, set()
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8))
            if kind not in _MP4_BOXES:
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
