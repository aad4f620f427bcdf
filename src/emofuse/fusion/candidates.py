"""Exact confusion counts of many weight tables at once, which is all that a search for weights needs.

Frames are sorted by label and by which systems are valid, and laid out [systems, classes, frames]: within a run of
frames the label and the renormalised weights are constants, and what is left is long sums over frames. Two engines
do them, NumPy and numba (part of the `train` extra), with the same operations in the same order: the counts are equal.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from emofuse.core.time import Ints
from emofuse.core.types import Bools, Floats
from emofuse.errors import ShapeError
from emofuse.fusion.system_scores import SystemScores
from emofuse.fusion.weighted import renormalised

# Products of a search below which NumPy is done before numba is loaded.
_FEW = 1_000_000_000
_CHUNK = 8192  # frames times candidates that NumPy takes at a time: many to hide its calls, few enough for the cache
_MOST_IN_BLOCK = 250


@dataclass(frozen=True, eq=False)
class SortedFrames:
    """Labelled frames in runs of one label and one set of valid systems, ready to try weights on.

    values: float32 [systems, classes, frames]; starts, stops, labels, patterns: int64 [runs], where `labels` is the
    truth of all frames of a run and `patterns` the row of `validity`, bool [patterns, systems].
    """

    values: Floats
    starts: Ints
    stops: Ints
    labels: Ints
    patterns: Ints
    validity: Bools

    @classmethod
    def of(cls, stack: SystemScores, truth: Ints) -> SortedFrames:
        """The frames of a stack that have a label and at least one valid system.

        Raises:
            ShapeError: the truth does not fit, or no frame is left.
        """
        kept = np.flatnonzero(stack.judged(truth))
        validity, pattern = stack.patterns()
        cells = np.asarray(truth, np.int64)[kept] * len(validity) + pattern[kept]
        order = np.argsort(cells, kind="stable")
        cells, starts = np.unique(cells[order], return_index=True)
        values = np.empty((len(stack.systems), len(stack.label_set), len(kept)), np.float32)
        for m in range(len(stack.systems)):
            values[m] = stack.values[m, kept[order]].T
        return cls(
            values=values,
            starts=starts.astype(np.int64),
            stops=np.append(starts[1:], len(kept)).astype(np.int64),
            labels=cells // len(validity),
            patterns=cells % len(validity),
            validity=validity,
        )

    def confusions(self, tables: Floats, *, engine: Engine | None = None) -> Ints:
        """Confusion counts of each weight table, int64 [candidates, classes, classes]; ties go to the first class.

        Args:
            tables: float32 [candidates, systems, classes].
            engine: what counts; by default the one that `fastest` names. All give the same counts.
        Raises:
            ShapeError: the tables do not fit the systems and labels.
        """
        systems, classes, _ = self.values.shape
        tables = np.asarray(tables)
        if tables.ndim != 3 or tables.shape[1:] != (systems, classes) or tables.dtype != np.float32:
            raise ShapeError(
                f"confusions: tables are {tables.dtype} {list(tables.shape)}; "
                f"give float32 [candidates, {systems} systems, {classes} classes]."
            )
        count, threads = engine or self.fastest(len(tables)), _threads()
        size = min(_MOST_IN_BLOCK, max(1, -(-len(tables) // threads)))
        blocks = [tables[n : n + size] for n in range(0, len(tables), size)]
        with ThreadPoolExecutor(threads) as pool:  # NumPy and numba both let go of the interpreter's lock
            counts = list(pool.map(lambda block: count(self, self._by_pattern(block)), blocks))
        return np.concatenate(counts) if counts else np.zeros((0, classes, classes), np.int64)

    def fastest(self, candidates: int) -> Engine:
        """numba for a search of so many candidates that loading it pays, if it is installed; else NumPy."""
        return with_numba if self.values.size * candidates >= _FEW and find_spec("numba") else with_numpy

    def _by_pattern(self, tables: Floats) -> Floats:
        """float32 [patterns, candidates, systems, classes]; zeros for a pattern without systems, which no run has."""
        rows = [renormalised(tables, valid) if valid.any() else np.zeros_like(tables) for valid in self.validity]
        return np.ascontiguousarray(np.stack(rows))


Engine = Callable[[SortedFrames, Floats], Ints]
"""Frames and weights float32 [patterns, candidates, systems, classes] -> counts int64 [candidates, ...]."""


def confusions(stack: SystemScores, truth: Ints, tables: Floats, *, engine: Engine | None = None) -> Ints:
    """Confusion counts int64 [candidates, classes, classes] of fusing a stack with each weight table.

    Frames without a label, or without a valid system, are left out. Errors as in `SortedFrames`.

    >>> from emofuse.core.labels import LabelSet
    >>> values = np.array([[[0.9, 0.1], [0.8, 0.2]], [[0.6, 0.4], [0.0, 1.0]]], np.float32)
    >>> stack = SystemScores(values, np.ones((2, 2), bool), ("face", "voice"), LabelSet(("calm", "angry")))
    >>> tables = np.array([[[1, 1], [0, 0]], [[0.5, 0.5], [0.5, 0.5]]], np.float32)
    >>> confusions(stack, np.array([0, 1]), tables).tolist()
    [[[1, 0], [1, 0]], [[1, 0], [0, 1]]]
    """
    return SortedFrames.of(stack, truth).confusions(tables, engine=engine)


def with_numpy(frames: SortedFrames, weights: Floats) -> Ints:
    """The engine that is always there."""
    _, candidates, _, classes = weights.shape
    counts = np.zeros((candidates, classes, classes), np.int64)
    runs = zip(frames.starts, frames.stops, frames.labels, frames.patterns, strict=True)
    for start, stop, label, pattern in runs:
        for first in range(int(start), int(stop), _CHUNK):
            values = frames.values[:, :, first : min(first + _CHUNK, int(stop))]
            together = max(1, _CHUNK // values.shape[2])
            for k in range(0, candidates, together):
                counts[k : k + together, label] += _wins(values, weights[pattern, k : k + together])
    return counts


def _wins(values: Floats, weights: Floats) -> Ints:
    """How often each class is the first of the best, int64 [k, classes].

    values: float32 [systems, classes, n]; weights: float32 [k, systems, classes].
    """
    candidates, systems, classes = weights.shape
    fused = weights[:, 0, :, None] * values[0]
    for m in range(1, systems):
        fused += weights[:, m, :, None] * values[m]
    best = fused.max(axis=1)
    reached = np.zeros_like(best, np.bool_)  # by this class or one before it
    so_far = np.zeros((candidates, classes + 1), np.int64)
    for c in range(classes):
        np.logical_or(reached, fused[:, c] == best, out=reached)
        so_far[:, c + 1] = [np.count_nonzero(row) for row in reached]  # per row it is many times faster than with axis
    return np.diff(so_far)


def with_numba(frames: SortedFrames, weights: Floats) -> Ints:
    """The fast engine; needs numba."""
    from emofuse.fusion import kernel

    return kernel.count(frames, weights)


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
