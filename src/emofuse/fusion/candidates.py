"""Exact confusion matrices of many weight tables at once, as a search for fusion weights needs them.

Frames are sorted by label and by the set of valid systems, and laid out [systems, classes, frames]: within a run of
frames the label and the renormalised weights are constant, so only long sums over frames remain. Two engines compute
them, NumPy and numba (in the `train` extra), with the same operations in the same order: the counts are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from emofuse.core.cores import usable_cores
from emofuse.core.time import Ints
from emofuse.core.types import Bools, Floats
from emofuse.errors import ShapeError
from emofuse.fusion.system_scores import SystemScores
from emofuse.fusion.weighted import renormalised

_NUMBA_FROM = 1_000_000_000  # products of a search from which loading numba takes less time than it saves
_CHUNK = 8192  # frames times candidates per NumPy call: large enough to hide the call, small enough for the cache
_MAX_BLOCK = 250


@dataclass(frozen=True, eq=False)
class SortedFrames:
    """Labelled frames in runs with one label and one set of valid systems.

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
    def of(cls, scores: SystemScores, truth: Ints) -> SortedFrames:
        """The frames that have a label and at least one valid system.

        Raises:
            ShapeError: the truth does not fit the scores, or there is no such frame.
        """
        kept = np.flatnonzero(scores.fitting_frames(truth))
        validity, pattern = scores.patterns()
        cells = np.asarray(truth, np.int64)[kept] * len(validity) + pattern[kept]
        order = np.argsort(cells, kind="stable")
        cells, starts = np.unique(cells[order], return_index=True)
        values = np.empty((len(scores.systems), len(scores.label_set), len(kept)), np.float32)
        for m in range(len(scores.systems)):
            values[m] = scores.values[m, kept[order]].T
        return cls(
            values=values,
            starts=starts.astype(np.int64),
            stops=np.append(starts[1:], len(kept)).astype(np.int64),
            labels=cells // len(validity),
            patterns=cells % len(validity),
            validity=validity,
        )

    def confusions(self, tables: Floats, *, engine: Engine | None = None) -> Ints:
        """Confusion matrix of fusing with each weight table, int64 [candidates, classes, classes].

        Ties go to the first class.

        Args:
            tables: float32 [candidates, systems, classes].
            engine: default: the one that `fastest` returns. All engines return the same counts.
        Raises:
            ShapeError: the tables do not fit the systems and labels.

        >>> from emofuse.core.labels import LabelSet
        >>> values = np.array([[[0.9, 0.1], [0.8, 0.2]], [[0.6, 0.4], [0.0, 1.0]]], np.float32)
        >>> scores = SystemScores(values, np.ones((2, 2), bool), ("face", "voice"), LabelSet(("calm", "angry")))
        >>> tables = np.array([[[1, 1], [0, 0]], [[0.5, 0.5], [0.5, 0.5]]], np.float32)
        >>> SortedFrames.of(scores, np.array([0, 1])).confusions(tables).tolist()
        [[[1, 0], [1, 0]], [[1, 0], [0, 1]]]
        """
        systems, classes, _ = self.values.shape
        tables = np.asarray(tables)
        if tables.ndim != 3 or tables.shape[1:] != (systems, classes) or tables.dtype != np.float32:
            raise ShapeError(
                f"confusions: tables are {tables.dtype} {list(tables.shape)}; "
                f"give float32 [candidates, {systems} systems, {classes} classes]."
            )
        count = engine or self.fastest(len(tables))
        threads = usable_cores()
        size = min(_MAX_BLOCK, max(1, -(-len(tables) // threads)))
        blocks = [tables[n : n + size] for n in range(0, len(tables), size)]
        with ThreadPoolExecutor(threads) as pool:  # NumPy and numba both release the GIL
            counts = list(pool.map(lambda block: count(self, self._by_pattern(block)), blocks))
        return np.concatenate(counts) if counts else np.zeros((0, classes, classes), np.int64)

    def fastest(self, candidates: int) -> Engine:
        """The faster engine for this number of candidates: numba, if installed, for large searches; else NumPy."""
        large = self.values.size * candidates >= _NUMBA_FROM
        return count_with_numba if large and find_spec("numba") else count_with_numpy

    def _by_pattern(self, tables: Floats) -> Floats:
        """float32 [patterns, candidates, systems, classes]; zeros for a pattern without systems, which no run has."""
        rows = [renormalised(tables, valid) if valid.any() else np.zeros_like(tables) for valid in self.validity]
        return np.ascontiguousarray(np.stack(rows))


Engine = Callable[[SortedFrames, Floats], Ints]
"""Frames, and weights float32 [patterns, candidates, systems, classes] -> int64 [candidates, classes, classes]."""


def count_with_numpy(frames: SortedFrames, weights: Floats) -> Ints:
    """The engine for small searches; needs nothing but NumPy."""
    _, candidates, _, classes = weights.shape
    counts = np.zeros((candidates, classes, classes), np.int64)
    runs = zip(frames.starts, frames.stops, frames.labels, frames.patterns, strict=True)
    for start, stop, label, pattern in runs:
        for first in range(int(start), int(stop), _CHUNK):
            values = frames.values[:, :, first : min(first + _CHUNK, int(stop))]
            step = max(1, _CHUNK // values.shape[2])
            for k in range(0, candidates, step):
                counts[k : k + step, label] += _wins(values, weights[pattern, k : k + step])
    return counts


def _wins(values: Floats, weights: Floats) -> Ints:
    """Number of frames at which each class has the highest score, int64 [k, classes]; ties go to the first class.

    values: float32 [systems, classes, n]; weights: float32 [k, systems, classes].
    """
    candidates, systems, classes = weights.shape
    fused = weights[:, 0, :, None] * values[0]
    for m in range(1, systems):
        fused += weights[:, m, :, None] * values[m]
    best = fused.max(axis=1)
    reached = np.zeros_like(best, np.bool_)  # by this class or an earlier one
    so_far = np.zeros((candidates, classes + 1), np.int64)
    for c in range(classes):
        np.logical_or(reached, fused[:, c] == best, out=reached)
        so_far[:, c + 1] = [np.count_nonzero(row) for row in reached]  # many times faster than with axis
    return np.diff(so_far)


def count_with_numba(frames: SortedFrames, weights: Floats) -> Ints:
    """The engine for large searches; needs numba."""
    from emofuse.fusion import numba_kernel

    runs = frames.starts, frames.stops, frames.labels, frames.patterns
    return numba_kernel.count(frames.values, runs, weights)
