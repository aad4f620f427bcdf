"""When each frame of a video stream is shown, from its packets alone.

Times are the timestamps of the stream (pts), never a frame count times a rate. Where a file stores none (raw H.264,
H.264 in AVI) or its clock restarts (joined recordings), frames are taken in the order in which the decoder returns
them, with the decoding timestamps (dts) as their times, or the nominal rate where these are missing or restart too.
Timestamps that contradict the order of the packets are replaced (`emofuse.media.timestamps`).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from emofuse.core.time import TICKS_PER_SECOND, Ints, Timeline, from_pts, period, seconds, tick_of, ticks
from emofuse.media.container import audio_stream, clock_zero, packets, warn
from emofuse.media.timestamps import (
    MAX_REORDER,
    believable_length,
    is_doubtful,
    longest_run,
    misplaced,
    placed,
    unconfirmed,
    within_clock,
)

H26X = {"h264", "hevc"}  # AVI does not store the order of their frames; non-reference frames need no decoding
_NO_TIME = int(np.iinfo(np.int64).min)
_SPLITS_FIELDS = re.compile("mpeg|h264")  # formats whose packets libav finds in the coded data
_FIELD_CODECS = {"h264", "mpeg2video", "vc1"}
_MPEG4_FRAME = b"\0\0\1\xb6"
_STORES_DURATION = re.compile("mov|matroska|avi|asf")  # containers whose header says how long the video is


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames of a video stream in presentation order.

    pts: int64 [n], sorted, in units of the stream; None where they do not determine the order of the frames.
    timeline: n intervals, clip time. rate_hz: average, or nominal where the times are derived from it.
    damaged: whether the file is cut off or cannot be read to its end.
    corrections: by number of the packet, from 0, the pts that takes the place of a wrong one.
    paired: whether two packets, one for each field, decode to one frame.
    """

    pts: Ints | None
    timeline: Timeline
    rate_hz: Fraction | None
    damaged: bool
    corrections: Mapping[int, int] = field(default_factory=dict)
    paired: bool = False

    @classmethod
    def of(
        cls,
        container: InputContainer,
        stream: VideoStream,
        read: Iterable[Packet[Any]],
        warnings: list[str],
        audio_end: Callable[[], int | None] = lambda: None,
    ) -> FrameIndex:
        """The index of all packets of a stream; problems are added to `warnings`.

        audio_end: returns the end of the audio, ticks of clip time, if there is any; called only in doubt.
        """
        listed = _Listed.of(stream, read)
        unit, zero, rate = stream.time_base or Fraction(1, TICKS_PER_SECOND), clock_zero(container), stream.average_rate
        paired, listed = _without_second_fields(container, stream, listed)
        pts, dts, reordered = listed.pts, listed.dts, bool(stream.codec_context.has_b_frames)
        # AVI stores no pts. libav derives them from dts, for H.264 and H.265 without regard to B-frames.
        invented = container.format.name == "avi" and stream.codec_context.name in H26X
        restarts = _restarts(dts, unit)
        invented |= listed.packed  # the decoder mixes up the pts of frames that share a packet
        times, ordered, wrong = pts, not (invented or restarts or _NO_TIME in pts), np.empty(0, np.int64)
        if ordered:
            times = within_clock(pts, unit)
            wrong = misplaced(times, reordered=reordered)
            times = placed(times, wrong, reordered=reordered)
        elif not restarts and _NO_TIME not in dts:
            known = pts[(pts != _NO_TIME) & (not invented)]
            dts = within_clock(dts, unit)
            dts = placed(dts, misplaced(dts, reordered=False), reordered=False)
            times = dts + (known.min() - dts.min() if known.size else 0)
        else:
            rate = stream.guessed_rate or rate or Fraction(25)
            times, unit, zero = np.arange(len(pts), dtype=np.int64), 1 / rate, 0
        corrections = {int(listed.numbers[k]): int(times[k]) for k in wrong}
        times = np.sort(times)
        start = from_pts(times, unit) - zero
        if len(wrong) and audio_stream(container) is None:
            start -= start[0]  # the start of the stream may be one of the wrong timestamps
        last_length = int(from_pts(listed.last_length, unit)) if ordered else 0
        early = int(np.sum(start < -ticks(Fraction(1, 2)))) if ordered else 0  # before the clip begins
        start, last_length, closed = _bounded(np.maximum(start, 0), last_length, audio_end)
        closed += early
        timeline = _timeline(start, last_length, rate)
        if restarts:
            warn(warnings, "the clock of the file restarts: the times of its frames follow the nominal rate")
        if not (len(wrong) or closed):
            _warn_if_cut_off(timeline, _duration_in_header(container, stream), warnings)
        damaged = listed.damaged or bool(warnings)
        if len(wrong) or closed:
            count = f"{len(wrong) + closed} of {len(pts)} timestamps of its video are wrong"
            warn(warnings, f"{count}: the times of these frames follow the frames beside them")
        return cls(times if ordered else None, timeline, rate, damaged, corrections, paired)

    def position(self, pts: int | None, after: int) -> int:
        """Index of the frame that the decoder returned with `pts`; it comes after frame number `after`."""
        if self.pts is None or pts is None:
            return after + 1
        return max(after + 1, int(np.searchsorted(self.pts, pts)))


@dataclass(frozen=True, eq=False)
class _Listed:
    """The packets of a stream that decode to frames: pts and dts (`_NO_TIME`: none) and numbers of the packets, each
    int64 [n]; the duration of the last one in presentation order; whether one is marked as corrupt; whether B-frames
    lie in the packets of the frames before them, and empty frames in their place (XviD and DivX in AVI)."""

    pts: Ints
    dts: Ints
    numbers: Ints
    last_length: int
    damaged: bool
    packed: bool

    @classmethod
    def of(cls, stream: VideoStream, read: Iterable[Packet[Any]]) -> _Listed:
        pts, dts, numbers, last, damaged = array("q"), array("q"), array("q"), (_NO_TIME, 0), False
        mpeg4, packed = stream.codec_context.name == "mpeg4", False
        for number, packet in enumerate(read):
            damaged |= packet.is_corrupt
            if packet.is_discard or _is_hidden(packet, stream):
                continue
            pts.append(_NO_TIME if packet.pts is None else packet.pts)
            dts.append(_NO_TIME if packet.dts is None else packet.dts)
            numbers.append(number)
            packed = packed or (mpeg4 and bytes(packet).count(_MPEG4_FRAME) > 1)
            last = max(last, (pts[-1], packet.duration or 0))
        return cls(
            np.array(pts, np.int64), np.array(dts, np.int64), np.array(numbers, np.int64), last[1], damaged, packed
        )


def _without_second_fields(container: InputContainer, stream: VideoStream, listed: _Listed) -> tuple[bool, _Listed]:
    """Whether frames are stored as two packets, one for each field, as in AVCHD; then the first ones only."""
    rate, unit, pts = stream.average_rate, stream.time_base, listed.pts
    if not (_SPLITS_FIELDS.search(container.format.name) and stream.codec_context.name in _FIELD_CODECS):
        return False, listed
    if not (rate and unit and len(pts) >= 4):
        return False, listed
    second = pts == _NO_TIME
    if not second.any():
        half = np.abs(np.diff(pts, prepend=_NO_TIME) - float(1 / (2 * rate * unit))) <= 1
        second = half & (np.arange(len(pts)) % 2 == 1)
    first = pts[~second]
    frames = float((first.max() - first.min()) * unit * rate) + 1 if first.size else 0.0
    if not len(pts) / 4 <= second.sum() <= len(pts) / 2 or abs(frames - len(first)) > max(len(first) / 20, 1):
        return False, listed
    return True, replace(listed, pts=first, dts=listed.dts[~second], numbers=listed.numbers[~second])


def _bounded(start: Ints, last_length: int, audio_end: Callable[[], int | None]) -> tuple[Ints, int, int]:
    """Starts without the gaps that nothing confirms, the length of the last frame, and how many claims were refused."""
    if not len(start):
        return start, last_length, 0
    end = audio_end() if is_doubtful(start, last_length) else None
    gaps = unconfirmed(start, audio_end=end)
    if len(gaps):
        lengths = np.diff(start)
        typical = int(np.median(lengths)) if len(lengths) > 2 else ticks(Fraction(40, 1000))
        lengths[gaps] = min(typical, ticks(1))
        start = start[0] + np.append(0, np.cumsum(lengths))
    length = believable_length(last_length, start, audio_end=end)
    return start, length, len(gaps) + (length != last_length)


def _timeline(start: Ints, last_length: int, rate_hz: Fraction | None) -> Timeline:
    """Intervals that end where the next one begins; equal times are moved apart by one tick."""
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
    """Whether the clock jumps back by more than a second and stays there, as in recordings that were joined byte by
    byte; after a few wrong timestamps it goes on as before."""
    known = dts[dts != _NO_TIME]
    if not np.any(np.diff(within_clock(known, unit)) * float(unit) < -1):
        return False
    wrong = misplaced(known, reordered=False)
    return not len(wrong) or longest_run(wrong) > MAX_REORDER


def _warn_if_cut_off(timeline: Timeline, promised: int | None, warnings: list[str]) -> None:
    if promised is None or not len(timeline):
        return
    reached = int(timeline.end[-1])
    if promised - reached > max(ticks(0.25), 2 * (reached // len(timeline))):
        times = f"video ends at {seconds(reached):.1f} s, the header promises {seconds(promised):.1f} s"
        warn(warnings, f"{times}: the file is cut off")


def _duration_in_header(container: InputContainer, stream: VideoStream) -> int | None:
    """End of the video according to the header, in ticks of clip time."""
    if not _STORES_DURATION.search(container.format.name):
        return None
    zero = clock_zero(container)
    # Matroska: libav may know nothing but the duration of the longest stream there.
    if tag := re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", "")):
        return ticks(int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])) - zero
    if stream.duration is None or stream.time_base is None:
        return None
    return tick_of((stream.start_time or 0) + stream.duration, stream.time_base) - zero


def audio_end(container: InputContainer) -> int | None:
    """Where the packets of the audio end, ticks of clip time; None where there is none."""
    stream = audio_stream(container)
    if stream is None or stream.time_base is None:
        return None
    read = [(p.pts, p.duration or 0) for p in packets(container, stream, []) if p.pts is not None]
    if not read:
        return None
    pts, lengths = within_clock(np.array(read, np.int64), stream.time_base).T
    right = np.setdiff1d(np.arange(len(pts)), misplaced(pts, reordered=False))
    return int(from_pts((pts + lengths)[right].max(), stream.time_base)) - clock_zero(container)


def _is_hidden(packet: Packet[Any], stream: VideoStream) -> bool:
    """Whether a VP8 packet is a reference that is never shown (its show_frame bit is off)."""
    return stream.codec_context.name == "vp8" and not memoryview(packet)[0] & 0x10
