"""Settings of a support vector machine by grouped cross-validation on one kernel matrix for each kernel.

Without coef0, gamma and C of "poly" are one parameter, (gamma, C) = (1, C gamma^degree): points of the grid that share
it share their fits, and all of them one kernel matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from emofuse.core.class_weights import class_weights
from emofuse.errors import SettingsError
from emofuse.heads.checks import Rows, training
from emofuse.heads.folds import deal
from emofuse.heads.kernels import Kernel, centre_of, centred, gram
from emofuse.heads.pairs import Task, decisions
from emofuse.heads.search import Measure, Search, Trial
from emofuse.heads.svm import SVM, check_settings

Ints = NDArray[np.int64]

_MB = 1 << 20


@dataclass(frozen=True)
class SVMGrid:
    """What to try; degrees are for "poly" alone, and gammas for all but "linear"."""

    Cs: tuple[float, ...] = (0.1, 1.0, 3.0, 10.0)
    gammas: tuple[float, ...] = (0.001, 0.01, 0.1)
    degrees: tuple[int, ...] = (1, 2, 3)
    kernels: tuple[str, ...] = ("poly",)
    folds: int = 5
    seed: int = 0

    def points(self) -> Iterator[dict[str, Any]]:
        """Parameters of `SVM` for each point, in the order in which they are tried."""
        for kernel in self.kernels:
            degrees = self.degrees if kernel == "poly" else self.degrees[:1]
            gammas = self.gammas if kernel != "linear" else self.gammas[:1]
            for degree, gamma, cost in product(degrees, gammas, self.Cs):
                yield {"kernel": kernel, "degree": degree, "gamma": gamma, "C": cost}


def svm_search(
    features: Any,
    labels: Any,
    *,
    measure: Measure,
    groups: ArrayLike | None = None,
    grid: SVMGrid | None = None,
    base: SVM | None = None,
) -> Search:
    """Every setting of the grid, judged by `predict` on rows held out, with rows of one group in one fold.

    Arguments and errors as in `emofuse.heads.grid_search`; `base` gives coef0, class weights and the memory limit. Each
    class has to occur in two groups or more.
    """
    grid, base = grid or SVMGrid(), clone(base or SVM())
    heads = [clone(base).set_params(**point) for point in grid.points()]
    if not heads:
        raise SettingsError("svm_search: the grid lacks a C, gamma, degree or kernel; give one of each.")
    for head in heads:
        check_settings(head)
    rows = training(base, features, labels, groups)
    _fits(base, rows)
    fold = deal(rows.codes, groups=rows.groups, count=grid.folds, seed=grid.seed)
    solved = _solved(heads, rows, fold)
    trials = ((point, solved[_identity(head)]) for point, head in zip(grid.points(), heads, strict=True))
    return Search(tuple(Trial(point, counts, float(measure(counts))) for point, counts in trials))


def _identity(head: SVM) -> tuple[Kernel, float]:
    """The kernel and cost that say all of a head; rounded, as 8 * 0.1^3 and 1 * 0.2^3 are the same."""
    kernel = check_settings(head)
    lean = kernel.lean()
    return lean, float(f"{head.C * (kernel.gamma**kernel.degree if lean != kernel else 1.0):.12g}")


def _solved(heads: list[SVM], rows: Rows, fold: Ints) -> dict[tuple[Kernel, float], Ints]:
    solved: dict[tuple[Kernel, float], Ints] = {}
    points = sorted({_identity(head) for head in heads}, key=str)  # so that each kernel comes in one go
    task: Task | None = None
    for kernel, cost in points:
        if task is None or task.kernel != kernel:
            values = centred(rows.features, centre_of(rows.features, kernel)).astype(np.float64)
            task = None  # its kernel matrix makes room for the next
            task = Task(values, rows.codes, kernel, np.ones(len(rows.counts)), heads[0].cache_mb, gram(values, kernel))
        solved[kernel, cost] = _counts(task, cost, heads[0], rows, fold)
    return solved


def _counts(task: Task, cost: float, base: SVM, rows: Rows, fold: Ints) -> Ints:
    size = len(rows.counts)
    counts = np.zeros(size * size, np.int64)
    for n in range(int(fold.max()) + 1):
        train, test = np.flatnonzero(fold != n), np.flatnonzero(fold == n)
        occurs = np.bincount(rows.codes[train], minlength=size)
        if not occurs.all():
            raise SettingsError(
                f"svm_search: the class at index {int(occurs.argmin())} occurs in one fold alone; give rows of it from "
                "more videos or persons, or fewer folds."
            )
        weights = class_weights(np.unique(rows.codes), occurs, base.class_weight, base.mu)
        machine = task.priced(cost * weights).solve(train)
        guess = decisions(task.values(machine, test), size).argmax(axis=1)
        counts += np.bincount(rows.codes[test] * size + guess, minlength=size * size)
    return counts.reshape(size, size)


def _fits(base: SVM, rows: Rows) -> None:
    needed = 1.7 * len(rows.codes) ** 2 * 8
    if needed > base.memory_mb * _MB:
        raise SettingsError(
            f"svm_search: needs {needed / _MB:.0f} MB for {len(rows.codes)} rows, memory_mb allows "
            f"{base.memory_mb:g}; raise memory_mb of `base`, or search on fewer rows."
        )
