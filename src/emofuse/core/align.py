"""Values and labels brought from one timeline onto another.

For values: `pool` (frames to windows), `spread` (windows to frames), `fill_gaps`. For labels: `sample` (by time) and
`majority` (one label for each window). A frame belongs to the windows that contain its start. Arrays have one row for
each interval of their timeline; rows that are not `valid` never enter a mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import UNLABELLED
from emofuse.core.time import Ints, Timeline
from emofuse.errors import ShapeError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pooled:
    """Mean and population standard deviation float32 [windows, ...]; valid where a window contains a valid frame."""

    mean: Floats
    std: Floats
    valid: Bools

    def functionals(self) -> Floats:
        """Mean and deviation concatenated, float32 [windows, 2 * features]."""
        return np.concatenate([self.mean, self.std], axis=1)


def pool(values: NDArray[Any], frames: Timeline, windows: Timeline, *, valid: Bools) -> Pooled:
    """Mean and standard deviation of the valid frames in each window.

    Args:
        values: [frames, ...] numbers.
        valid: bool [frames].
    Raises:
        ShapeError: lengths differ, or valid is not bool.

    >>> from emofuse.core.time import Timeline, ticks
    >>> frames = Timeline.steps(4, end=ticks(1))
    >>> pool(np.array([1.0, 3.0, 5.0, 5.0]), frames, Timeline.steps(2, end=ticks(1)), valid=np.ones(4, bool)).mean
    array([2., 5.], dtype=float32)
    """
    _fits("pool", values, valid, frames)
    shape = (len(windows), *values.shape[1:])
    mean, std = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    found = np.zeros(len(windows), bool)
    for n, (first, last) in enumerate(zip(*windows.members(frames), strict=True)):
        rows = values[first:last][valid[first:last]]
        if len(rows):
            mean[n], std[n], found[n] = *_moments(rows), True
    return Pooled(mean, std, found)


def functionals_of(rows: NDArray[Any]) -> Floats:
    """Mean and population standard deviation of rows [n, features], concatenated as by `pool`, float32 [2 * features].

    >>> functionals_of(np.array([[1.0], [3.0]]))
    array([2., 1.], dtype=float32)
    """
    return np.concatenate(_moments(rows)).astype(np.float32)


def _moments(rows: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)


def spread(values: NDArray[Any], windows: Timeline, frames: Timeline, *, valid: Bools) -> tuple[Floats, Bools]:
    """For each frame the mean of all valid windows that contain its start, and whether there is any.

    Args:
        values: [windows, ...] numbers.
        valid: bool [windows].
    Returns:
        float32 [frames, ...] (zeros where no valid window contains the frame) and bool [frames].
    Raises:
        ShapeError: lengths differ, or valid is not bool.
    """
    _fits("spread", values, valid, windows)
    # Starts and ends are both sorted, so the windows over a moment are a range of rows; of valid rows too.
    before = np.concatenate([[0], np.cumsum(valid)])
    first = before[np.searchsorted(windows.end, frames.start, side="right")]
    last = before[np.searchsorted(windows.start, frames.start, side="right")]
    rows, count = values[valid], np.maximum(last - first, 0)
    out = np.zeros((len(frames), *values.shape[1:]), np.float32)
    out[count == 1] = rows[first[count == 1]]
    several = np.flatnonzero(count > 1)
    if len(several):
        bounds = np.stack([first[several], last[several]], axis=1).ravel()
        padded = np.concatenate([rows, np.zeros_like(rows[:1])]).astype(np.float64)  # ranges may end at its end
        sums = np.add.reduceat(padded, bounds, axis=0)[::2]
        out[several] = sums / count[several].reshape(-1, *[1] * (values.ndim - 1))
    return out, count > 0


def fill_gaps(values: NDArray[Any], valid: Bools) -> NDArray[Any]:
    """Replace rows that are not valid by the last valid one, and those before the first by the first.

    Without any valid row the values are returned unchanged.
    Source: the authors' code, for frames without a face (docs/deviations.md).

    >>> fill_gaps(np.array([0, 1, 0, 2]), np.array([False, True, False, True]))
    array([1, 1, 1, 2])
    """
    if len(values) != len(valid):
        raise ShapeError(f"fill_gaps: {len(values)} rows, but valid has {len(valid)}; give one flag for each row.")
    if not valid.any():
        return values
    last = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), -1))
    return values[np.where(last < 0, np.argmax(valid), last)]


def sample(labels: Ints, frames: Timeline, moments: Timeline) -> Ints:
    """The label at the start of each moment, int64 [moments]; -1 where no frame contains it.

    At 5 Hz the result is that of the authors' code, which repeats labels to 3,000 Hz and takes every 600th, but
    without its rounding of times (docs/deviations.md).

    >>> from emofuse.core.time import Timeline, ticks
    >>> sample(np.array([0, 0, 2, 2]), Timeline.steps(4, end=ticks(1)), Timeline.steps(2, end=ticks(2)))
    array([ 0,  2, -1, -1])
    """
    _same(labels, frames, "sample")
    if not len(frames):
        return np.full(len(moments), UNLABELLED, np.int64)
    row = np.searchsorted(frames.start, moments.start, side="right") - 1
    covered = (row >= 0) & (moments.start < frames.end[row])
    return np.where(covered, labels[row], UNLABELLED).astype(np.int64)


def majority(labels: Ints, frames: Timeline, windows: Timeline) -> Ints:
    """The most frequent label among the frames of each window, int64 [windows].

    Unlabelled frames (-1) do not count, so a window is -1 only if all its frames are, or it has none. Of equally
    frequent labels the first class is taken.
    Source: the authors' code for the SVM's windows (docs/deviations.md).

    >>> from emofuse.core.time import Timeline, ticks
    >>> majority(np.array([-1, 3, 3, 1, -1, -1]), Timeline.steps(6, end=ticks(1)), Timeline.steps(1.5, end=ticks(1)))
    array([ 3, -1])
    """
    _same(labels, frames, "majority")
    votes = labels[:, None] == np.arange(max(int(labels.max(initial=0)) + 1, 1))
    total = np.concatenate([np.zeros((1, votes.shape[1]), np.int64), np.cumsum(votes, axis=0)])
    first, last = windows.members(frames)
    votes_per_window = total[np.maximum(last, first)] - total[first]
    return np.where(votes_per_window.any(axis=1), votes_per_window.argmax(axis=1), UNLABELLED).astype(np.int64)


def _same(labels: Ints, frames: Timeline, what: str) -> None:
    if len(labels) != len(frames):
        raise ShapeError(f"{what}: {len(labels)} labels, {len(frames)} intervals; give one label for each.")


def _fits(what: str, values: NDArray[Any], valid: Bools, timeline: Timeline) -> None:
    if not len(values) == len(valid) == len(timeline):
        raise ShapeError(
            f"{what}: {len(values)} values, {len(valid)} flags, {len(timeline)} intervals; "
            "give one of each per interval."
        )
    if valid.dtype != np.bool_:  # integers would pick rows by number
        raise ShapeError(f"{what}: valid has type {valid.dtype}; give booleans.")
