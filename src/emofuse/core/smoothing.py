"""Smoothing over time: rows become the mean of the rows near them, the nearer the heavier.

What is near is told by time and not by a number of rows, so gaps, variable frame rates and other rates of sampling
change nothing about the width. Rows that are not there have no weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.time import Ints, seconds
from emofuse.errors import ShapeError

_BLOCK = 256  # moments at a time, so that the weights of an hour are never there at once


@dataclass(frozen=True)
class Triangle:
    """Weights that fall evenly from 1 at a moment to 0 at `reach` ticks before and after it.

    reach: also how much of the future is needed.

    Raises:
        ShapeError: the reach is below one tick.

    >>> Triangle(4)(np.array([0, -1, 2, 4, 9])).tolist()
    [1.0, 0.75, 0.5, 0.0, 0.0]
    """

    reach: int

    def __post_init__(self) -> None:
        if self.reach < 1:
            raise ShapeError(f"smoothing over {seconds(self.reach):g} s: give a time above 0.")

    def __call__(self, distance: Ints) -> NDArray[np.float64]:
        """Weights float64 of rows that are so many ticks away."""
        return np.maximum(1 - np.abs(distance) / self.reach, 0)


def smoothed(values: NDArray[Any], times: Ints, at: Ints, kernel: Triangle) -> NDArray[np.float32]:
    """The weighted mean of the rows within reach of each moment, float32 [moments, ...].

    Args:
        values: [n, ...] numbers, of rows that are valid.
        times: int64 [n], their moments in ticks, in order.
        at: int64 [moments], in order, each with a row within reach.
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
            raise ShapeError("smoothed: a moment has no row within reach; ask only for moments of rows.")
        out[n : n + _BLOCK] = (weights / total @ flat[first:last]).reshape(len(moments), *values.shape[1:])
    return out
