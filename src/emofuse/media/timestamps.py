"""Timestamps that contradict the order of their packets, and gaps that no other stream confirms.

A timestamp is a claim: one that is wrong must not move, drop or hold the frames around it. Packets come in the order of
decoding, in which a frame is at most `MAX_REORDER` packets away from its place in presentation order.
"""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction

import numpy as np

from emofuse.core.time import TICKS_PER_SECOND, Ints, ticks

MAX_REORDER = 16  # of H.264 and H.265, the codecs that reorder most
_DOUBTFUL = ticks(10)  # a shorter gap before the last frames is believed without a look at the audio
_HOUR, _DAY = ticks(3600), 24 * ticks(3600)
_REST = 10  # a gap of an hour or a day is believed if the rest of the video lasts at least a tenth of it
_NONE = np.empty(0, np.int64)


def misplaced(times: Ints, *, reordered: bool) -> Ints:
    """Indices of the packets whose times contradict the order of the packets, int64 [m], increasing.

    A step that the times keep up, such as a pause of the recording, is no contradiction.

    Args:
        times: int64 [n] in the order of the packets.
        reordered: whether the codec may present frames in another order (B-frames).

    >>> misplaced(np.array([0, 1, 2, 60, 4, 5, 99, 100]), reordered=False)
    array([3])
    """
    n = np.arange(len(times))
    order, rank = np.argsort(times, kind="stable"), np.empty(len(times), np.int64)
    rank[order] = n
    allowed = MAX_REORDER if reordered else 0
    if np.abs(rank - n).max(initial=0) <= allowed:
        return _far_from_holes(times, order) if reordered else _NONE
    kept = _longest_rising(times)
    others = np.setdiff1d(n, kept)
    place = np.searchsorted(times[kept], times[others])
    before, after = kept[np.maximum(place - 1, 0)], kept[np.minimum(place, len(kept) - 1)]
    wrong: Ints = others[np.maximum(before - others, others - after) > allowed]
    if not reordered and len(wrong) > max(2, len(times) // 20):  # B-frames that the stream does not announce
        return misplaced(times, reordered=True)
    if reordered:
        rest = np.setdiff1d(n, wrong)
        far = rest[_far_from_holes(times[rest], np.argsort(times[rest], kind="stable"))]
        wrong = np.union1d(wrong, far).astype(np.int64)
    return wrong


def _far_from_holes(times: Ints, order: Ints) -> Ints:
    """The packets that claim a time far beyond the last frames, or before the first, but are decoded among them.

    With B-frames a frame may be decoded before its turn, and a pause may follow. But where the rate is constant and a
    place among the frames beside it in decoding is empty, the frame belongs there.
    """
    n, gaps = len(times), np.diff(times[order])
    spacing = np.median(gaps) if n > 3 * MAX_REORDER else 0
    regular = np.abs(gaps - spacing) <= spacing / 4
    wide = gaps > MAX_REORDER * spacing
    if spacing <= 0 or not wide.any() or regular.mean() < 0.9:
        return _NONE
    free = np.where(wide, 0, np.round(gaps / spacing) - 1)
    wrong = _NONE
    if len(last := np.flatnonzero(wide[-MAX_REORDER:])):
        at = len(gaps) - len(wide[-MAX_REORDER:]) + last[0]
        beyond, others = order[at + 1 :], order[: at + 1]
        if free[max(at - 2 * MAX_REORDER, 0) : at].sum() > 0:
            wrong = np.union1d(wrong, beyond[beyond < others.max()])
    if len(first := np.flatnonzero(wide[:MAX_REORDER])):
        at = first[-1]
        beyond, others = order[: at + 1], order[at + 1 :]
        if free[at + 1 : at + 2 * MAX_REORDER].sum() > 0:
            wrong = np.union1d(wrong, beyond[beyond > others.min()])
    return wrong


def placed(times: Ints, wrong: Ints, *, reordered: bool) -> Ints:
    """The times with those of the `wrong` packets replaced by free places among their neighbours."""
    corrected = times.copy()
    good = np.setdiff1d(np.arange(len(times)), wrong)
    if not len(good):
        return corrected
    spacing = max(int(np.median(np.diff(np.sort(times[good])))), 1) if len(good) > 1 else 1
    reach = MAX_REORDER if reordered else 1
    for group in np.split(wrong, np.flatnonzero(np.diff(wrong) > reach) + 1):
        if not len(group):
            continue
        first, last = np.searchsorted(good, [group[0], group[-1]])
        low, high = max(first - 2 * reach, 0), min(last + 2 * reach, len(good))
        near = np.sort(times[good[low:high]])
        slots = _free_places(near, len(group), spacing, at_start=first < reach, at_end=last > len(good) - reach)
        expected = (first + last) / 2 - low
        chosen = sorted(slots, key=lambda slot: slot[1] + abs(slot[2] - expected))[: len(group)]
        corrected[group[np.argsort(times[group], kind="stable")]] = sorted(time for time, _, _ in chosen)
    return corrected


def longest_run(indices: Ints) -> int:
    """The length of the longest run of consecutive integers in increasing indices."""
    runs = np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1)
    return max(len(run) for run in runs)


def unconfirmed(start: Ints, *, audio_end: int | None) -> Ints:
    """Numbers of the gaps between frames (n: between frames n and n + 1) that are closed because nothing confirms them.

    A gap before the last few frames is confirmed by audio that reaches its end, other gaps by their size in
    comparison with the rest of the video.

    Args:
        start: int64 [n], sorted, ticks of clip time.
        audio_end: ticks of clip time; None where there is no audio.
    """
    gaps = np.diff(start)
    n = np.arange(len(gaps))
    few_after, few_before = len(gaps) - n <= MAX_REORDER, n < MAX_REORDER
    rest = int(start[-1] - start[0]) - gaps if len(gaps) else gaps
    huge = gaps > np.maximum(_REST * rest, np.where(few_after | few_before, _HOUR, _DAY))
    if audio_end is not None:
        beyond = (gaps > _DOUBTFUL) & (start[1:] > audio_end + _DOUBTFUL)
        huge = np.where(few_after, beyond, huge)
    return np.flatnonzero(huge)


def is_doubtful(start: Ints, last_length: int) -> bool:
    """Whether a gap before the last few frames, or the length of the last one, needs to be compared with the audio."""
    return bool(last_length > _DOUBTFUL or np.any(np.diff(start)[-MAX_REORDER:] > _DOUBTFUL))


def believable_length(claimed: int, start: Ints, *, audio_end: int | None) -> int:
    """The length of the last frame in ticks, 0 if unknown: it ends with the audio if it claims to last for long."""
    if claimed <= _DOUBTFUL:
        return claimed
    if audio_end is not None:
        return min(claimed, max(audio_end - int(start[-1]), 0))
    return 0 if claimed > max(_HOUR, _REST * int(start[-1] - start[0])) else claimed


def within_clock(times: Ints, unit: Fraction) -> Ints:
    """Times whose differences fit into the clock; those beyond, which only damaged files hold, become its bounds."""
    bound = min(int(2**60 / (unit * TICKS_PER_SECOND)), 2**61)
    return np.clip(times, -bound, bound)


def _longest_rising(times: Ints) -> Ints:
    """Indices of a longest subsequence that never falls."""
    tails, ends, previous = list[int](), list[int](), list[int]()  # of the best subsequence of each length
    for n, time in enumerate(times.tolist()):
        at = bisect_right(tails, time)
        tails[at : at + 1], ends[at : at + 1] = [time], [n]
        previous.append(ends[at - 1] if at else -1)
    chosen = [ends[-1]]
    while previous[chosen[-1]] >= 0:
        chosen.append(previous[chosen[-1]])
    return np.array(chosen[::-1], np.int64)


def _free_places(
    near: Ints, count: int, spacing: int, *, at_start: bool, at_end: bool
) -> list[tuple[int, float, float]]:
    """Candidates for `count` times among the sorted times `near`: (time, cost, position among `near`).

    Holes cost nothing, places beyond the ends a little; a place between two frames that follow each other is the last
    resort.
    """
    places = list[tuple[int, float, float]]()
    for position, (left, right) in enumerate(zip(near[:-1].tolist(), near[1:].tolist(), strict=True), 1):
        free = round((right - left) / spacing) - 1
        step = (right - left) / (free + 1) if 0 < free <= count else spacing
        places += [(left + round(step * k), 0.0, position) for k in range(1, min(free, count) + 1)]
        if free < 1:
            places += [(left + (right - left) * k // (count + 1), 1000.0, position) for k in range(1, count + 1)]
    if at_start:
        places += [(int(near[0]) - spacing * k, MAX_REORDER + k, 0) for k in range(1, count + 1)]
    if at_end or len(near) < 2:
        places += [(int(near[-1]) + spacing * k, MAX_REORDER + k, len(near)) for k in range(1, count + 1)]
    return places
