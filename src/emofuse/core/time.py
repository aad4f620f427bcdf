"""The clock: int64 ticks, 705,600,000 per second, and intervals on it.

Every common frame rate (including 30000/1001 and 24000/1001) and sample rate has a period of a whole number of ticks,
so times are compared and added without rounding. Seconds appear only in user interfaces and tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emofuse.errors import ShapeError

TICKS_PER_SECOND = 705_600_000

Ints = NDArray[np.int64]


def ticks(seconds: float | Fraction) -> int:
    """Seconds to ticks, rounded to the nearest tick.

    >>> ticks(Fraction(1001, 30000))
    23543520
    """
    return round(Fraction(seconds) * TICKS_PER_SECOND)


def seconds(time: int) -> float:
    """Ticks to seconds, for user interfaces and tables."""
    return int(time) / TICKS_PER_SECOND


def period(rate_hz: Fraction | float) -> Fraction:
    """Ticks between two steps of a rate; a Fraction, since not every rate divides the clock.

    Raises:
        ShapeError: the rate is not positive, or not finite.

    >>> period(Fraction(30000, 1001))
    Fraction(23543520, 1)
    """
    if not math.isfinite(rate_hz):
        raise ShapeError(f"rate {rate_hz} Hz: a rate must be a number.")
    rate = Fraction(rate_hz).limit_denominator(1_000_000)
    if rate <= 0:
        raise ShapeError(f"rate {rate_hz} Hz: a rate must be above 0.")
    return TICKS_PER_SECOND / rate


def from_pts(pts: ArrayLike, time_base: Fraction) -> Ints:
    """Stream timestamps (int, in units of `time_base` seconds) to ticks, rounded to the nearest tick.

    Exact for any stream length: the product is never formed where it could overflow.

    Raises:
        ShapeError: the timestamps are not integers, or beyond the range of the clock (about 400 years).

    >>> from_pts([0, 1001, 2002], Fraction(1, 30000))
    array([       0, 23543520, 47087040])
    """
    scale = time_base * TICKS_PER_SECOND
    stamps = np.asarray(pts)
    if stamps.size and stamps.dtype.kind not in "iu":
        raise ShapeError(f"from_pts: the timestamps have type {stamps.dtype}; give integers.")
    if stamps.size:
        _refuse_beyond(int(stamps.min()), int(stamps.max()), time_base)
    whole, rest = np.divmod(stamps.astype(np.int64), np.int64(scale.denominator))
    remainder: Ints = (rest * scale.numerator + scale.denominator // 2) // scale.denominator
    return whole * scale.numerator + remainder


def tick_of(pts: int, time_base: Fraction) -> int:
    """One stream timestamp in ticks: the same as `from_pts`, but many times faster.

    Raises:
        ShapeError: it is beyond the range of the clock.

    >>> tick_of(1001, Fraction(1, 30000))
    23543520
    """
    _refuse_beyond(pts, pts, time_base)
    numerator, denominator = _ticks_of(time_base)
    return (pts * numerator + denominator // 2) // denominator


@lru_cache
def _ticks_of(time_base: Fraction) -> tuple[int, int]:
    """Numerator and denominator of a time base in ticks; fractions are slow, and are few."""
    scale = time_base * TICKS_PER_SECOND
    return scale.numerator, scale.denominator


def _refuse_beyond(first: int, last: int, time_base: Fraction) -> None:
    if max(abs(first), abs(last)) * TICKS_PER_SECOND * time_base.numerator >= (2**63 - 1) * time_base.denominator:
        raise ShapeError(
            f"from_pts: timestamps {first} to {last} of {time_base} s are beyond the range of the clock; "
            "leave out frames without a timestamp."
        )


@dataclass(frozen=True, eq=False)
class Timeline:
    """Half-open intervals [start, end) in ticks, sorted by time; they may overlap or leave gaps.

    start, end: int64 [n], both non-decreasing, end > start; copied and read-only.

    Raises:
        ShapeError: the arrays differ in length, are not integers, or are not sorted.

    >>> Timeline.steps(Fraction(5), end=ticks(0.5))
    Timeline(3 intervals, 0.000 s to 0.500 s)
    """

    start: Ints
    end: Ints

    def __post_init__(self) -> None:
        start, end = _frozen(self.start, "start"), _frozen(self.end, "end")
        if len(start) != len(end):
            raise ShapeError(f"Timeline: {len(start)} starts, but {len(end)} ends; give one end for each start.")
        if np.any(end <= start):
            n = int(np.argmax(end <= start))
            raise ShapeError(f"Timeline: interval {n} ends at {end[n]}, not after its start {start[n]}.")
        if np.any(np.diff(start) < 0) or np.any(np.diff(end) < 0):
            raise ShapeError("Timeline: the intervals are not sorted by time; sort them first.")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", end)

    @classmethod
    def empty(cls) -> Timeline:
        """A timeline without intervals."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))

    @classmethod
    def steps(cls, rate_hz: Fraction | float, *, end: int, start: int = 0) -> Timeline:
        """Intervals at a constant rate that tile [start, end); the last one is cut at `end`.

        >>> [int(e - s) for s, e in zip(*(lambda t: (t.start, t.end))(Timeline.steps(2, end=ticks(1))))]
        [352800000, 352800000]
        """
        return cls.windows(period(rate_hz), period(rate_hz), end=end, start=start)

    @classmethod
    def windows(cls, width: Fraction | int, step: Fraction | int, *, end: int, start: int = 0) -> Timeline:
        """Windows of `width` ticks every `step` ticks that begin in [start, end), each cut at `end`.

        With step <= width they cover [start, end).

        Raises:
            ShapeError: width or step is below one tick.
        """
        width, step, start, end = Fraction(width), Fraction(step), int(start), int(end)
        if width < 1 or step < 1:
            raise ShapeError(f"windows of {width} every {step} ticks: both must be at least one tick.")
        if end <= start:
            return cls.empty()
        count = -((start - end) // step)  # ceiling
        starts = _multiples(step, count) + start
        # The end of a step is exactly the start of the next one, even if the period is not a whole number of ticks.
        ends = _multiples(step, count, offset=width) + start
        return cls(starts, np.minimum(ends, end))

    @classmethod
    def whole_windows(cls, width: int, step: int, *, end: int) -> Timeline:
        """Windows of [0, end), all `width` ticks long, every `step` ticks; one cut window if `end` is below `width`.

        The last window is moved back to end with the clip, so every moment is in a window and none is padded; a live
        session can only know this when it closes.

        Raises:
            ShapeError: width or step is below one tick.

        >>> [(s, e) for s, e in Timeline.whole_windows(4, 2, end=9)]
        [(0, 4), (2, 6), (4, 8), (5, 9)]
        >>> [(s, e) for s, e in Timeline.whole_windows(4, 2, end=3)]
        [(0, 3)]
        """
        if width < 1 or step < 1:
            raise ShapeError(f"windows of {width} every {step} ticks: both must be at least one tick.")
        if end <= 0:
            return cls.empty()
        start = np.arange(0, max(end - width, 0) + 1, step, dtype=np.int64)
        if end > start[-1] + width:
            start = np.append(start, end - width)
        return cls(start, np.minimum(start + width, end))

    def __len__(self) -> int:
        return len(self.start)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.start.tolist(), self.end.tolist(), strict=True)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Timeline:
        return Timeline(self.start[rows], self.end[rows])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Timeline):
            return NotImplemented
        return np.array_equal(self.start, other.start) and np.array_equal(self.end, other.end)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if not len(self):
            return "Timeline(0 intervals)"
        return f"Timeline({len(self)} intervals, {seconds(self.start[0]):.3f} s to {seconds(self.end[-1]):.3f} s)"

    def at(self, time: int) -> int:
        """Index of the last interval that contains `time` (ticks), or -1.

        >>> Timeline.steps(5, end=ticks(1)).at(ticks(0.2))
        1
        """
        n = int(np.searchsorted(self.start, time, side="right")) - 1
        return n if n >= 0 and time < self.end[n] else -1

    def during(self, start: int, end: int | None = None) -> slice:
        """The rows that begin before `end`, from the last one that begins at or before `start` on (ticks).

        >>> Timeline(np.array([0, 10, 20, 30]), np.array([10, 20, 30, 40])).during(15, 30)
        slice(1, 3, None)
        """
        first = max(int(np.searchsorted(self.start, start, side="right")) - 1, 0)
        return slice(first, len(self) if end is None else int(np.searchsorted(self.start, end)))

    def members(self, moments: Timeline) -> tuple[Ints, Ints]:
        """For each interval the range [first, last) of the rows of `moments` that start in it.

        Intervals that tile the time contain each moment exactly once.
        """
        first = np.searchsorted(moments.start, self.start, side="left")
        last = np.searchsorted(moments.start, self.end, side="left")
        return first.astype(np.int64), last.astype(np.int64)


def _frozen(values: ArrayLike, name: str) -> Ints:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ShapeError(
            f"Timeline: {name} has shape {array.shape} and type {array.dtype}; give one row of integer ticks."
        )
    array = array.astype(np.int64)  # always a copy, so that the caller cannot modify it
    array.flags.writeable = False
    return array


def _multiples(step: Fraction, count: int, *, offset: Fraction = Fraction(0)) -> Ints:
    """floor(n * step + offset) for n < count, exact in int64: whole and fractional parts are computed separately."""
    denominator = math.lcm(step.denominator, offset.denominator)
    if (count + 1) * denominator >= 2**63:  # only for unrealistic rates
        return np.array([math.floor(n * step + offset) for n in range(count)], np.int64)
    whole, part = divmod(step, 1)
    offset_whole, offset_part = divmod(offset, 1)
    n = np.arange(count, dtype=np.int64)
    fraction = n * int(part * denominator) + int(offset_part * denominator)
    return n * int(whole) + int(offset_whole) + fraction // denominator
