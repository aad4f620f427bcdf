"""Smoothing over time: weighted means of neighbouring rows.

The width is a time, not a number of rows, so it is the same for any frame rate, and across gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.time import Ints, seconds
from emofuse.errors import ShapeError

_BLOCK = 256  # moments at a time, which bounds the memory for the weights


@dataclass(frozen=True)
class Triangle:
    """Weights that fall linearly from 1 at a moment to 0 at `reach` ticks before and after it.

    `reach` is also the lookahead.

    Raises:
        ShapeError: reach is below one tick.

    >>> Triangle(4)(np.array([0, -1, 2, 4, 9])).tolist()
    [1.0, 0.75, 0.5, 0.0, 0.0]
    """

    reach: int

    def __post_init__(self) -> None:
        if self.reach < 1:
            raise ShapeError(f"smoothing over {seconds(self.reach):g} s: give a time above 0.")

    def __call__(self, distance: Ints) -> NDArray[np.float64]:
        """Weights float64 of rows at these distances in ticks."""
        return np.maximum(1 - np.abs(distance) / self.reach, 0)


def smoothed(values: NDArray[Any], times: Ints, at: Ints, kernel: Triangle) -> NDArray[np.float32]:
    """The weighted mean of the rows within reach of each moment, float32 [moments, ...].

    Args:
        values: [n, ...], valid rows only.
        times: int64 [n], ticks of the rows, sorted.
        at: int64 [moments], ticks, sorted, each with a row within reach.
    Raises:
        ShapeError: the lengths differ, or a moment has no row within reach.

    >>> smoothed(np.array([[0.0], [4.0]]), np.array([0, 2]), np.array([0, 2]), Triangle(4)).ravel().tolist()
    [1.3333333730697632, 2.6666667461395264]
    """
    if len(values) != len(times):
        raise ShapeError(f"smoothed: {len(values)} values, {len(times)} times; give one time for each row.")
    out = np.empty((len(at), *values.shape[1:]), np.float32)
    flat = values.reshape(len(values), -1)
    for n in range(0, len(at), _BLOCK):
        moments = at[n : n + _BLOCK]
        first = np.searchsorted(times, moments[0] - kernel.reach, side="right")
        last = np.searchsorted(times, moments[-1] + kernel.reach, side="left")
        weights = kernel(times[None, first:last] - moments[:, None])
        total = weights.sum(axis=1, keepdims=True)
        if not np.all(total > 0):
            raise ShapeError("smoothed: a moment has no row within reach; use only moments near rows.")
        out[n : n + _BLOCK] = (weights / total @ flat[first:last]).reshape(len(moments), *values.shape[1:])
    return out
