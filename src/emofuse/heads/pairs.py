"""One support vector machine for each pair of classes: libsvm's solution as one table, and what its values say.

Pairs (i, j), i < j, are in scikit-learn's order: (0, 1), (0, 2), ... (1, 2), ...; a value above 0 speaks for i.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from emofuse.heads.kernels import Kernel, between

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Machine:
    """Support vectors int64 [m], rows in ascending order, coefficients [m, pairs] and offset [pairs], float64."""

    support: Ints
    coefficients: Doubles
    offset: Doubles

    @classmethod
    def of(cls, solved: SVC, rows: Ints, codes: Ints) -> Machine:
        """What scikit-learn solved on some rows of all, where `codes` are the classes of all."""
        support = rows[solved.support_]
        side, dual = codes[support], solved.dual_coef_
        count = len(dual) + 1
        table = np.zeros((len(support), count * (count - 1) // 2))
        for pair, (i, j) in enumerate(combinations(range(count), 2)):
            table[:, pair] = np.where(side == i, dual[j - 1], np.where(side == j, dual[i], 0.0))
        sign = -1.0 if count == 2 else 1.0  # scikit-learn turns the sign of two classes round
        order = np.argsort(support)
        return cls(support[order], sign * table[order], sign * np.asarray(solved.intercept_, np.float64))


@dataclass(frozen=True, eq=False)
class Task:
    """What to solve: features [n, d], class indices [n], the cost of each class, float64 [classes].

    gram: float64 [n, n], all kernel values; None where they do not fit, and libsvm computes them.
    """

    features: Array
    codes: Ints
    kernel: Kernel
    costs: Doubles
    cache_mb: float
    gram: Doubles | None

    def priced(self, costs: Doubles) -> Task:
        """The same task at other costs, on the same kernel matrix."""
        return replace(self, costs=costs)

    def solve(self, rows: Ints | None = None) -> Machine:
        """The machines of all rows, or of some, among which every class must be."""
        every = np.arange(len(self.codes)) if rows is None else rows
        settings: dict[str, Any] = {"C": 1.0, "cache_size": self.cache_mb, "class_weight": dict(enumerate(self.costs))}
        if self.gram is not None:
            inputs = self.gram if rows is None else self.gram[np.ix_(rows, rows)]
            settings["kernel"] = "precomputed"
        else:
            k, inputs = self.kernel, self.features[every]
            settings.update(kernel=k.name, gamma=k.gamma, coef0=k.coef0, degree=int(k.degree))
        return Machine.of(SVC(**settings).fit(inputs, self.codes[every]), every, self.codes)

    def values(self, machine: Machine, rows: Ints) -> Doubles:
        """Values of each pair for some of the rows, [rows, pairs]."""
        if self.gram is not None:
            return self.gram[np.ix_(rows, machine.support)] @ machine.coefficients + machine.offset
        values = np.empty((len(rows), len(machine.offset)))
        for part, block in between(self.features[rows], self.features[machine.support], self.kernel):
            values[part] = block @ machine.coefficients
        return values + machine.offset

    def held_out(self, fold: Ints, whole: Machine) -> Doubles:
        """Values of each row from machines of the other folds, [n, pairs].

        A class that occurs in one fold alone stays in the fits of the others, and gets the values of the whole fit.
        """
        count = int(fold.max()) + 1
        spread = np.zeros((len(self.costs), count), np.bool_)
        spread[self.codes, fold] = True
        stays = (spread.sum(axis=1) < 2)[self.codes]
        values = np.empty((len(fold), len(whole.offset)))
        values[stays] = self.values(whole, np.flatnonzero(stays)) if stays.any() else 0.0
        for n in range(count):
            out = (fold == n) & ~stays
            if out.any():
                values[out] = self.values(self.solve(np.flatnonzero(~out)), np.flatnonzero(out))
        return values


def strengths(values: Array, classes: int) -> Doubles:
    """How far each class is ahead of the others in the mean of its pairs, float64 [n, classes].

    >>> strengths(np.array([[1.0, 3.0, -2.0]]), 3)
    array([[ 2. , -1.5, -0.5]])
    """
    ends = np.zeros((values.shape[1], classes))
    for pair, (i, j) in enumerate(combinations(range(classes), 2)):
        ends[pair, [i, j]] = 1.0, -1.0
    return np.asarray(values @ ends / (classes - 1), np.float64)


def decisions(values: Array, classes: int) -> Doubles:
    """Votes of the pairs, ties broken by how sure they are, float64 [n, classes]: scikit-learn's "ovr" shape.

    >>> decisions(np.array([[1.0, 3.0, -2.0]]), 3).round(3)
    array([[ 2.267, -0.25 ,  0.833]])
    """
    total = strengths(values, classes) * (classes - 1)
    votes = (strengths(np.where(values < 0, -1.0, 1.0), classes) + 1) * (classes - 1) / 2
    return np.asarray(votes + total / (3 * (np.abs(total) + 1)))
