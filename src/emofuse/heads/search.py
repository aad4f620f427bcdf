"""Settings of a kernel ELM by grouped cross-validation, with each kernel matrix computed once for the whole grid.

The inner products are taken once for each normalisation (once for each fold where it is learned, so that held-out
rows have no part in it), every width of the kernel from them, and every C from one kernel matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from emofuse.core.class_weights import class_weights
from emofuse.errors import SettingsError
from emofuse.heads import cholesky
from emofuse.heads.checks import Rows, training
from emofuse.heads.folds import deal
from emofuse.heads.kelm import KernelELM, check_settings
from emofuse.heads.kernels import Kernel, centre_of, centred, gram, square_norms
from emofuse.heads.normalise import Normaliser, learns
from emofuse.heads.regression import precision

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Measure = Callable[[NDArray[Any]], NDArray[np.float64]]

_MB = 1 << 20


@dataclass(frozen=True)
class Grid:
    """What to try, by default the grids of the authors' code; "linear" has no width.

    Cs and gs are as in `KernelELM`, normalisations are names, `folds` and `seed` deal the rows.
    """

    Cs: tuple[float, ...] = tuple(10.0**n for n in range(-4, 2))
    gs: tuple[float, ...] = tuple(10.0**n for n in range(-2, 13))
    normalisations: tuple[str, ...] = ("none", "minmax", "znorm", "power", "l2")
    kernels: tuple[str, ...] = ("rbf", "linear")
    folds: int = 5
    seed: int = 0

    def points(self) -> Iterator[dict[str, Any]]:
        """Parameters of `KernelELM` for each point, in the order in which they are tried."""
        for normalisation, kernel in product(self.normalisations, self.kernels):
            for g, cost in product(self.gs if kernel == "rbf" else (None,), self.Cs):
                yield {"normalisation": normalisation, "kernel": kernel, "g": g, "C": cost}


@dataclass(frozen=True, eq=False)
class Trial:
    """A point of the grid: parameters of the head, counts int [classes, classes] of held-out rows, their value."""

    settings: Mapping[str, Any]
    counts: Ints
    value: float


@dataclass(frozen=True, eq=False)
class Search:
    """All trials in the order of the grid."""

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial of the highest value, the first of equals; NaN is lower than any."""
        return max(self.trials, key=lambda trial: -np.inf if np.isnan(trial.value) else trial.value)

    def table(self) -> list[dict[str, Any]]:
        """A row for each trial: its settings and value."""
        return [{**trial.settings, "value": trial.value} for trial in self.trials]


def grid_search(
    features: Any,
    labels: Any,
    *,
    measure: Measure,
    groups: ArrayLike | None = None,
    grid: Grid | None = None,
    base: KernelELM | None = None,
) -> Search:
    """Every setting of the grid, judged on rows held out, with rows of one group in one fold.

    Args:
        features: float [n, d]; labels: [n].
        measure: counts [..., classes, classes] (row truth, column guess) -> float [...], more is better, such as
            `emofuse.metrics.cpm_of`; it is given the counts of all folds together.
        groups: [n], videos or persons; None for each row alone.
        base: what the trials have in common: class weights and the memory limit.
    Raises:
        ShapeError: the arrays do not fit, or there are fewer than two classes.
        SettingsError: a setting makes no sense, there is one group only, or the matrices need more memory than allowed.
    """
    grid, base = grid or Grid(), clone(base or KernelELM())
    rows = training(base, features, labels, groups)
    _check(grid, base, rows)
    fold = deal(rows.codes, groups=rows.groups, count=grid.folds, seed=grid.seed)
    counts = [
        found
        for normalisation, kernel in product(grid.normalisations, grid.kernels)
        for of_width in _of_kernel(grid, base, rows, fold, (normalisation, kernel)).values()
        for found in of_width
    ]
    tried = zip(grid.points(), counts, strict=True)
    return Search(tuple(Trial(settings, found, float(measure(found))) for settings, found in tried))


def _of_kernel(grid: Grid, base: KernelELM, rows: Rows, fold: Ints, names: tuple[str, str]) -> dict[float | None, Ints]:
    """Counts int [Cs, classes, classes] for each width."""
    normalisation, kernel = names
    widths: tuple[float | None, ...] = grid.gs if kernel == "rbf" else (None,)
    size = len(rows.counts)
    counts = {g: np.zeros((len(grid.Cs), size, size), np.int64) for g in widths}
    every = list(range(int(fold.max()) + 1))
    for part in [[n] for n in every] if learns(normalisation) else [every]:
        seen = fold != part[0] if len(part) == 1 else np.ones(len(fold), np.bool_)
        values = Normaliser.fit(rows.features[seen], normalisation)[0](rows.features)
        for g, matrix in _matrices(values, kernel, widths, 1 / (max(grid.Cs) * _heaviest(base, rows))):
            for n in part:
                counts[g] += _counts(matrix, grid.Cs, base, rows, fold == n)
    return counts


def _heaviest(base: KernelELM, rows: Rows) -> float:
    return float(class_weights(base.classes_, rows.counts, base.class_weight, base.mu).max())


def _matrices(
    features: Array, kernel: str, widths: tuple[float | None, ...], penalty: float
) -> Iterator[tuple[float | None, Array]]:
    form = Kernel(kernel)
    features = features.astype(precision(features, form, penalty), copy=False)
    features = centred(features, centre_of(features, form))
    products = gram(features, Kernel("linear"))
    lengths = square_norms(features)
    for g in widths:
        yield g, products if g is None else Kernel("rbf", gamma=1 / g)(products.copy(), lengths, lengths)


def _counts(matrix: Array, costs: tuple[float, ...], base: KernelELM, rows: Rows, out: NDArray[np.bool_]) -> Ints:
    size = len(rows.counts)
    train, test = np.flatnonzero(~out), np.flatnonzero(out)
    codes, truth = rows.codes[train], rows.codes[test]
    weights = class_weights(base.classes_, np.bincount(codes, minlength=size), base.class_weight, base.mu)[codes]
    targets = np.where(codes[:, None] == np.arange(size), 1.0, -1.0)
    scores = _scores(matrix[np.ix_(train, train)], matrix[np.ix_(test, train)], targets, weights, costs)
    cells = [np.bincount(truth * size + s.argmax(axis=1), minlength=size * size) for s in scores]
    return np.reshape(cells, (len(costs), size, size))


def _scores(
    inner: Array, cross: Array, targets: Doubles, weights: Doubles, costs: tuple[float, ...]
) -> Iterator[Array]:
    """Scores of the test rows for each C, from kernel values [train, train] and [test, train]."""
    # One eigendecomposition would serve every C, but takes as long as 16 (1,000 rows) to 54 (2,500) Cholesky ones.
    diagonal = np.diag_indices(len(inner))
    for cost in costs:
        matrix = inner.copy()
        matrix[diagonal] += (1 / (cost * weights)).astype(inner.dtype)
        yield cross @ cholesky.solve(cholesky.factor(matrix), targets)


def _check(grid: Grid, base: KernelELM, rows: Rows) -> None:
    points = list(grid.points())
    if not points:
        raise SettingsError("grid_search: the grid lacks a C, width, normalisation or kernel; give one of each.")
    for point in points:
        check_settings(clone(base).set_params(**point))
    needed = 3.7 * len(rows.codes) ** 2 * rows.features.itemsize
    if needed > base.memory_mb * _MB:
        raise SettingsError(
            f"grid_search: needs {needed / _MB:.0f} MB for {len(rows.codes)} rows, memory_mb allows "
            f"{base.memory_mb:g}; raise memory_mb of `base`, or search on fewer rows."
        )
