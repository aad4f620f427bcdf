"""Between frames and windows: pool (frames to windows), spread (windows to frames), hold (fill gaps).

A frame belongs to the windows that hold its start. Arrays have one row for each interval of their
timeline; `valid` is false where a row says nothing, and such rows never enter a mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.time import Timeline
from emofuse.errors import ShapeError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pooled:
    """Mean and population standard deviation float32 [windows, ...]; valid where a window held a valid frame."""

    mean: Floats
    std: Floats
    valid: Bools

    def functionals(self) -> Floats:
        """Mean and deviation side by side, float32 [windows, 2 * features]."""
        return np.concatenate([self.mean, self.std], axis=1)


def pool(values: NDArray[Any], frames: Timeline, windows: Timeline, *, valid: Bools) -> Pooled:
    """Mean and standard deviation of the valid frames in each window.

    Args:
        values: [frames, ...] numbers.
        valid: bool [frames].
    Raises:
        ShapeError: a length does not fit, or valid is not bool.

    >>> from emofuse.core.time import Timeline, ticks
    >>> frames = Timeline.steps(4, end=ticks(1))
    >>> pool(np.array([1.0, 3.0, 5.0, 5.0]), frames, Timeline.steps(2, end=ticks(1)), valid=np.ones(4, bool)).mean
    array([2., 5.], dtype=float32)
    """
    _fits("pool", values, valid, frames)
    shape = (len(windows), *values.shape[1:])
    mean, std = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    held = np.zeros(len(windows), bool)
    for n, (first, last) in enumerate(zip(*windows.members(frames), strict=True)):
        rows = values[first:last][valid[first:last]]
        if len(rows):
            mean[n], std[n], held[n] = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64), True
    return Pooled(mean, std, held)


def spread(values: NDArray[Any], windows: Timeline, frames: Timeline, *, valid: Bools) -> tuple[Floats, Bools]:
    """Mean over all valid windows that hold the start of each frame, and where there was one.

    Args:
        values: [windows, ...] numbers.
        valid: bool [windows].
    Returns:
        float32 [frames, ...] (zeros where no valid window holds the frame) and bool [frames].
    Raises:
        ShapeError: a length does not fit, or valid is not bool.
    """
    _fits("spread", values, valid, windows)
    # Starts and ends are both sorted, so the windows over a moment are a range of rows.
    first = np.searchsorted(windows.end, frames.start, side="right")
    last = np.searchsorted(windows.start, frames.start, side="right")
    out = np.zeros((len(frames), *values.shape[1:]), np.float32)
    covered = np.zeros(len(frames), bool)
    for n in np.flatnonzero(last > first):
        rows = values[first[n] : last[n]][valid[first[n] : last[n]]]
        if len(rows):
            out[n], covered[n] = rows.mean(axis=0, dtype=np.float64), True
    return out, covered


def hold(values: NDArray[Any], valid: Bools) -> NDArray[Any]:
    """Fill rows that are not valid with the last valid one, and those before the first with the first.

    Source: the authors' code, for frames without a face (docs/deviations.md). Without any valid row
    the values come back unchanged.

    >>> hold(np.array([0, 1, 0, 2]), np.array([False, True, False, True]))
    array([1, 1, 1, 2])
    """
    if len(values) != len(valid):
        raise ShapeError(f"hold: {len(values)} rows, but valid has {len(valid)}; give one flag for each row.")
    if not valid.any():
        return values
    last = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), -1))
    return values[np.where(last < 0, np.argmax(valid), last)]


def _fits(what: str, values: NDArray[Any], valid: Bools, timeline: Timeline) -> None:
    if not len(values) == len(valid) == len(timeline):
        raise ShapeError(
            f"{what}: {len(values)} values, {len(valid)} flags, {len(timeline)} intervals; "
            "give one of each per interval."
        )
    if valid.dtype != np.bool_:  # integers would pick rows by number
        raise ShapeError(f"{what}: valid has type {valid.dtype}; give booleans.")
