"""The inner loop of the search for fusion weights, compiled by numba.

Importing this module needs numba; `candidates.py` imports it only for large searches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numba.extending
import numpy as np

from emofuse.core.time import Ints
from emofuse.core.types import Floats

TILE = 512  # frames that stay in the first two cache levels while all candidates are evaluated
UNROLLED = 4  # systems summed in one pass over a tile


def count(values: Floats, runs: tuple[Ints, Ints, Ints, Ints], weights: Floats) -> Ints:
    """Confusion matrices int64 [candidates, classes, classes] of weights [patterns, candidates, systems, classes].

    Args:
        values, runs: of `emofuse.fusion.candidates.SortedFrames`.
    """
    patterns, candidates, systems, classes = weights.shape
    # Systems are summed four at a time; the missing ones weigh zero, and adding zero changes no bit.
    padded = np.zeros((patterns, candidates, -(-systems // UNROLLED) * UNROLLED, classes), np.float32)
    padded[:, :, :systems] = weights
    counts = np.zeros((candidates, classes, classes), np.int64)
    _count(values, padded, runs, counts)
    return counts


def _compiled(function: Callable[..., Any]) -> Any:
    # Never fastmath: it would change the sums.
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # no writable folder for compiled code, as in a read-only installation
        return numba.njit(nogil=True, error_model="numpy")(function)


def _choose(_context: Any, condition: Any, this: Any, other: Any) -> Any:
    """Intrinsic: `this` where the condition holds, else `other`, without a branch."""

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        return builder.select(*values)

    return this(condition, this, other), generate


_chosen: Any = numba.extending.intrinsic(_choose)


def _guess_tile(values: Any, first: int, stop: int, table: Any, scratch: Any) -> Any:
    """Predicted class of each frame from `first` to `stop`, float32.

    values: [systems, classes, frames]; table: [4n, classes]. The best score and class so far are read from one row and
    written to another, without a branch: updating them in place compiles to masked stores, several times slower.
    """
    total, best, guess = scratch
    systems, classes, _ = values.shape
    final, last = len(table) - 4, systems - 1
    best[0, : stop - first] = np.float32(-1)
    for c in range(classes):
        if final > 0:
            total[: stop - first] = np.float32(0)
        for m in range(0, final, 4):
            w0, w1, w2, w3 = table[m, c], table[m + 1, c], table[m + 2, c], table[m + 3, c]
            v0, v1 = values[m, c, first:stop], values[m + 1, c, first:stop]
            v2, v3 = values[m + 2, c, first:stop], values[m + 3, c, first:stop]
            for f in range(stop - first):
                total[f] = (((total[f] + w0 * v0[f]) + w1 * v1[f]) + w2 * v2[f]) + w3 * v3[f]
        w0, w1, w2, w3 = table[final, c], table[final + 1, c], table[final + 2, c], table[final + 3, c]
        v0, v1 = values[final, c, first:stop], values[min(final + 1, last), c, first:stop]
        v2, v3 = values[min(final + 2, last), c, first:stop], values[min(final + 3, last), c, first:stop]
        old, new, this = c % 2, 1 - c % 2, np.float32(c)
        best_old, best_new, guess_old, guess_new = best[old], best[new], guess[old], guess[new]
        for f in range(stop - first):
            score = (((total[f] + w0 * v0[f]) + w1 * v1[f]) + w2 * v2[f]) + w3 * v3[f]
            better = score > best_old[f]
            best_new[f] = _chosen(better, score, best_old[f])
            guess_new[f] = _chosen(better, this, guess_old[f])
    return guess[classes % 2]


_guessed = _compiled(_guess_tile)


def _count_runs(values: Any, weights: Any, runs: Any, counts: Any) -> None:
    starts, stops, labels, patterns = runs
    scratch = np.zeros(TILE, np.float32), np.empty((2, TILE), np.float32), np.empty((2, TILE), np.float32)
    for run in range(len(starts)):
        for first in range(starts[run], stops[run], TILE):
            stop = min(first + TILE, stops[run])
            for k in range(weights.shape[1]):
                guessed = _guessed(values, first, stop, weights[patterns[run], k], scratch)
                for c in range(values.shape[1]):
                    this, wins = np.float32(c), np.int32(0)
                    for f in range(stop - first):
                        wins = np.int32(wins + np.int32(guessed[f] == this))
                    counts[k, labels[run], c] += wins


_count = _compiled(_count_runs)
