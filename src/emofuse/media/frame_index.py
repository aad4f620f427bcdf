"""When each frame of a video stream is shown, from its packets alone.

Times are the timestamps of the stream (pts), never a frame count times a rate. Where a file stores none (raw H.264,
H.264 in AVI) or its clock restarts (joined recordings), frames are taken in the order in which the decoder returns
them, with the decoding timestamps (dts) as their times, or the nominal rate where these are missing or restart too.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from emofuse.core.time import TICKS_PER_SECOND, Ints, Timeline, from_pts, period, seconds, tick_of, ticks
from emofuse.media.container import clock_zero, warn

H26X = {"h264", "hevc"}  # AVI does not store the order of their frames; non-reference frames need no decoding
_NO_TIME = int(np.iinfo(np.int64).min)
_STORES_DURATION = re.compile("mov|matroska|avi|asf")  # containers whose header says how long the video is


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames of a video stream in presentation order.

    pts: int64 [n], sorted, in units of the stream; None where they do not determine the order of the frames.
    timeline: n intervals, clip time. rate_hz: average, or nominal where the times are derived from it.
    damaged: whether the file is cut off or cannot be read to its end.
    """

    pts: Ints | None
    timeline: Timeline
    rate_hz: Fraction | None
    damaged: bool

    @classmethod
    def of(
        cls, container: InputContainer, stream: VideoStream, packets: Iterable[Packet[Any]], warnings: list[str]
    ) -> FrameIndex:
        """The index of all packets of a stream; problems are added to `warnings`."""
        pts_list, dts_list, last, damaged = array("q"), array("q"), (_NO_TIME, 0), False
        for packet in packets:
            damaged |= packet.is_corrupt
            if packet.is_discard or _is_hidden(packet, stream):
                continue
            pts_list.append(_NO_TIME if packet.pts is None else packet.pts)
            dts_list.append(_NO_TIME if packet.dts is None else packet.dts)
            last = max(last, (pts_list[-1], packet.duration or 0))
        pts, dts = np.array(pts_list, np.int64), np.array(dts_list, np.int64)
        unit, zero, rate = stream.time_base or Fraction(1, TICKS_PER_SECOND), clock_zero(container), stream.average_rate
        # AVI stores no pts. libav derives them from dts, for H.264 and H.265 without regard to B-frames.
        invented = container.format.name == "avi" and stream.codec_context.name in H26X
        restarts = _restarts(dts, unit)
        times, ordered = pts, not (invented or restarts or _NO_TIME in pts)
        if not ordered and not restarts and _NO_TIME not in dts:
            known = pts[(pts != _NO_TIME) & (not invented)]
            times = dts + (known.min() - dts.min() if known.size else 0)
        elif not ordered:
            rate = stream.guessed_rate or rate or Fraction(25)
            times, unit, zero = np.arange(len(pts), dtype=np.int64), 1 / rate, 0
        times = np.sort(times)
        last_length = int(from_pts(last[1], unit)) if ordered else 0
        timeline = _timeline(np.maximum(from_pts(times, unit) - zero, 0), last_length, rate)
        if restarts:
            warn(warnings, "the clock of the file restarts: the times of its frames follow the nominal rate")
        _warn_if_cut_off(timeline, _duration_in_header(container, stream), warnings)
        return cls(times if ordered else None, timeline, rate, damaged or bool(warnings))

    def position(self, pts: int | None, after: int) -> int:
        """Index of the frame that the decoder returned with `pts`; it comes after frame number `after`."""
        if self.pts is None or pts is None:
            return after + 1
        return max(after + 1, int(np.searchsorted(self.pts, pts)))


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
    """Whether the clock jumps back by more than a second, as in recordings that were joined byte by byte."""
    known = dts[dts != _NO_TIME]
    return bool(np.any(np.diff(known) * float(unit) < -1))


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
    if stream.duration is not None and stream.time_base is not None:
        return tick_of((stream.start_time or 0) + stream.duration, stream.time_base) - zero
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))  # Matroska
    return ticks(int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])) - zero if tag else None


def _is_hidden(packet: Packet[Any], stream: VideoStream) -> bool:
    """Whether a VP8 packet is a reference that is never shown (its show_frame bit is off)."""
    return stream.codec_context.name == "vp8" and not memoryview(packet)[0] & 0x10
