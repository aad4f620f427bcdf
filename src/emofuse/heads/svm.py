"""Support vector machine: libsvm's solver on a kernel matrix by matrix product, and prediction by matrix product.

Rows are float32 or float64 [n, features], multiplied in their own precision. There is one binary machine for each pair
of classes (i, j), i < j, in scikit-learn's order: (0, 1), (0, 2), ... (1, 2), ...; positive values are for class i.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import SVC
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from emofuse.core.calibration import DecisionCalibration
from emofuse.core.class_weights import ClassWeight, class_weights
from emofuse.errors import SettingsError, ShapeError
from emofuse.heads.checks import check_restored, checked_features, training_rows
from emofuse.heads.folds import assign_folds
from emofuse.heads.kernels import Kernel, KernelSum, centre_of, centred, gram, kernel_blocks

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


class SVM(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Pairwise support vector machine, equal to scikit-learn's `SVC` and many times faster.

    Args:
        kernel: "poly" (gamma <x, y> + coef0)^degree, "rbf" exp(-gamma |x - y|^2), or "linear". The defaults are those
            of the paper.
        degree, gamma, coef0: parameters of the kernel.
        C: above 0; cost of an error.
        class_weight, mu: weights of the classes, as in `emofuse.core.class_weights.class_weights`.
        probability: also fit `predict_proba`, on held-out decision values.
        folds: number of folds for these; each costs one more fit on the same kernel matrix.
        cache_mb: cache of libsvm, in MB.
        memory_mb: limit for kernel matrices, in MB; with more rows libsvm computes the kernel, slowly, with the same
            result.
        seed: of the folds.
    Attributes:
        classes_, n_features_in_: as in scikit-learn.
        support_: int64 [vectors], rows that are support vectors, in ascending order; only after `fit`.
    Source: paper, sec. 3.1.2; Chang and Lin 2011, LIBSVM.

    >>> rows, labels = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0], [1.0, 0.1]]), np.array([0, 0, 1, 1])
    >>> SVM(gamma=1.0).fit(rows, labels).predict([[0.2, 0.9], [0.8, 0.0]]).tolist()
    [0, 1]
    """

    def __init__(
        self,
        kernel: str = "poly",
        degree: int = 3,
        gamma: float = 0.1,
        coef0: float = 0.0,
        C: float = 3.0,  # noqa: N803  the name in the literature and in scikit-learn
        class_weight: ClassWeight = None,
        mu: float | None = None,
        probability: bool = False,
        folds: int = 5,
        cache_mb: float = 500,
        memory_mb: float = 4096,
        seed: int = 0,
    ) -> None:
        self.kernel = kernel
        self.degree = degree
        self.gamma = gamma
        self.coef0 = coef0
        self.C = C
        self.class_weight = class_weight
        self.mu = mu
        self.probability = probability
        self.folds = folds
        self.cache_mb = cache_mb
        self.memory_mb = memory_mb
        self.seed = seed

    def fit(self, X: Any, y: Any, groups: Any = None) -> SVM:  # noqa: N803
        """Fit on rows [n, features] with a label each.

        Args:
            groups: [n], such as videos or subjects; rows of a group stay in one fold.
        Raises:
            ShapeError: the arrays do not fit, a feature is not finite, or there are fewer than two classes.
            SettingsError: a parameter is out of range, or there is only one group.
        """
        kernel = _kernel_of(self)
        rows = training_rows(self, X, y, groups)
        weights = class_weights(self.classes_, rows.counts, self.class_weight, self.mu)
        centre = centre_of(rows.features, kernel)
        features = centred(rows.features, centre)
        # In float64 libsvm takes the same steps, to the same support vectors, as with its own kernel values.
        matrix = gram(features.astype(np.float64), kernel) if self._has_room(len(features)) else None
        problem = PairwiseProblem(features, rows.codes, kernel, self.C * weights, self.cache_mb, matrix)
        solution = problem.solve()
        self.support_ = solution.support
        self.calibration_: Any = None
        if self.probability:
            fold = assign_folds(rows.codes, groups=rows.groups, count=self.folds, seed=self.seed)
            held_out = mean_margins(problem.held_out(fold, solution), len(self.classes_))
            self.calibration_ = DecisionCalibration.fit(held_out, rows.codes)
        vectors = features[solution.support]
        self.function_ = KernelSum.of(kernel, vectors, solution.coefficients, offset=solution.offset, centre=centre)
        return self

    def _has_room(self, rows: int) -> bool:
        matrices = 1 + ((1 - 1 / self.folds) ** 2 if self.probability else 0.0)  # each fold copies a part of the matrix
        return matrices * rows**2 * 8 <= self.memory_mb * (1 << 20)

    def decision_function(self, X: Any) -> Doubles:  # noqa: N803
        """Values float64 [n, classes] as of `SVC`: votes of the pairs, with ties broken by their decision values.

        For two classes [n], the distance from the decision boundary, positive for the second.

        Raises:
            ShapeError: another number of features than in `fit`, or a feature that is not finite.
        """
        values = self._values(X)
        return -values[:, 0] if len(self.classes_) == 2 else votes_of(values, len(self.classes_))

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The class with the highest value, [n], as `SVC(break_ties=True)`; errors as in `decision_function`."""
        best: Array = votes_of(self._values(X), len(self.classes_)).argmax(axis=1)
        return np.asarray(self.classes_)[best]

    @available_if(lambda self: self.probability)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Doubles:  # noqa: N803
        """Calibrated probabilities float64 [n, classes]; errors as in `decision_function`.

        They estimate how often each class is correct; class weights change `predict` and not these.
        """
        values = self._values(X)
        calibration: DecisionCalibration = self.calibration_
        return calibration(mean_margins(values, len(self.classes_)))

    def _values(self, X: Any) -> Doubles:  # noqa: N803
        check_is_fitted(self)
        return self.function_(checked_features(self, X))

    def arrays(self) -> dict[str, Array]:
        """All arrays that prediction needs, by name, for `restore`."""
        check_is_fitted(self)
        calibration = {} if self.calibration_ is None else self.calibration_.arrays()
        return {"classes": self.classes_, **self.function_.arrays(), **calibration}

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], params: Mapping[str, Any]) -> SVM:
        """The head that returned these arrays and parameters, without `support_`.

        Raises:
            ShapeError: an array is missing or does not fit.
            SettingsError: a parameter is out of range.
        """
        head = cls(**params)
        kernel = _kernel_of(head)
        try:
            head.classes_ = arrays["classes"]
            head.function_ = KernelSum.restore(arrays, kernel)
            head.calibration_ = DecisionCalibration.restore(arrays) if head.probability else None
        except KeyError as error:
            raise ShapeError(f"SVM: the array {error} is missing.") from None
        check_restored(head, outputs=len(head.classes_) * (len(head.classes_) - 1) // 2)
        return head


def _kernel_of(head: SVM) -> Kernel:
    """The kernel of a head; raises SettingsError if a parameter is out of range."""
    for name, least in (("C", 0.0), ("cache_mb", 0.0), ("memory_mb", 0.0), ("folds", 1.0)):
        value = getattr(head, name)
        if not (np.isfinite(value) and value > least):
            raise SettingsError(f"SVM: {name} is {value}; give a number above {least:g}.")
    return Kernel(head.kernel, head.gamma, head.coef0, head.degree)


# -- pairs of classes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PairwiseSVM:
    """Solution: support vectors int64 [m], ascending rows; coefficients [m, pairs] and offset [pairs], float64."""

    support: Ints
    coefficients: Doubles
    offset: Doubles

    @classmethod
    def of(cls, solved: SVC, rows: Ints, codes: Ints) -> PairwiseSVM:
        """The solution of scikit-learn on `rows`; `codes` are the class indices of all rows."""
        support = rows[solved.support_]
        side, dual = codes[support], solved.dual_coef_
        count = len(dual) + 1
        table = np.zeros((len(support), count * (count - 1) // 2))
        for pair, (i, j) in enumerate(combinations(range(count), 2)):
            table[:, pair] = np.where(side == i, dual[j - 1], np.where(side == j, dual[i], 0.0))
        sign = -1.0 if count == 2 else 1.0  # scikit-learn inverts the sign for two classes
        order = np.argsort(support)
        return cls(support[order], sign * table[order], sign * np.asarray(solved.intercept_, np.float64))


@dataclass(frozen=True, eq=False)
class PairwiseProblem:
    """Features [n, d], class indices [n] and the cost C of each class, float64 [classes].

    gram: kernel matrix float64 [n, n]; None where it does not fit into memory, and libsvm computes kernel values.
    """

    features: Array
    codes: Ints
    kernel: Kernel
    costs: Doubles
    cache_mb: float
    gram: Doubles | None

    def solve(self, rows: Ints | None = None) -> PairwiseSVM:
        """The solution on all rows, or on some that contain every class."""
        chosen = np.arange(len(self.codes)) if rows is None else rows
        settings: dict[str, Any] = {"C": 1.0, "cache_size": self.cache_mb, "class_weight": dict(enumerate(self.costs))}
        if self.gram is not None:
            inputs = self.gram if rows is None else self.gram[np.ix_(rows, rows)]
            settings["kernel"] = "precomputed"
        else:
            k, inputs = self.kernel, self.features[chosen]
            settings.update(kernel=k.name, gamma=k.gamma, coef0=k.coef0, degree=int(k.degree))
        return PairwiseSVM.of(SVC(**settings).fit(inputs, self.codes[chosen]), chosen, self.codes)

    def values(self, solution: PairwiseSVM, rows: Ints) -> Doubles:
        """Decision values of each pair for some rows, [rows, pairs]."""
        if self.gram is not None:
            return self.gram[np.ix_(rows, solution.support)] @ solution.coefficients + solution.offset
        values = np.empty((len(rows), len(solution.offset)))
        for block_rows, block in kernel_blocks(self.features[rows], self.features[solution.support], self.kernel):
            values[block_rows] = block @ solution.coefficients
        return values + solution.offset

    def held_out(self, fold: Ints, whole: PairwiseSVM) -> Doubles:
        """Decision values of each row by solutions of the other folds, [n, pairs].

        Rows of a class that occurs in a single fold are never held out; they get the values of the fit on all rows.
        """
        count = int(fold.max()) + 1
        spread = np.zeros((len(self.costs), count), np.bool_)
        spread[self.codes, fold] = True
        kept = (spread.sum(axis=1) < 2)[self.codes]
        values = np.empty((len(fold), len(whole.offset)))
        values[kept] = self.values(whole, np.flatnonzero(kept)) if kept.any() else 0.0
        for n in range(count):
            out = (fold == n) & ~kept
            if out.any():
                values[out] = self.values(self.solve(np.flatnonzero(~out)), np.flatnonzero(out))
        return values


def mean_margins(values: Array, classes: int) -> Doubles:
    """Mean decision value of the pairs of each class, float64 [n, classes].

    >>> mean_margins(np.array([[1.0, 3.0, -2.0]]), 3)
    array([[ 2. , -1.5, -0.5]])
    """
    ends = np.zeros((values.shape[1], classes))
    for pair, (i, j) in enumerate(combinations(range(classes), 2)):
        ends[pair, [i, j]] = 1.0, -1.0
    return np.asarray(values @ ends / (classes - 1), np.float64)


def votes_of(values: Array, classes: int) -> Doubles:
    """Votes of the pairs, with ties broken by the decision values, float64 [n, classes], as scikit-learn's "ovr".

    >>> votes_of(np.array([[1.0, 3.0, -2.0]]), 3).round(3)
    array([[ 2.267, -0.25 ,  0.833]])
    """
    total = mean_margins(values, classes) * (classes - 1)
    votes = (mean_margins(np.where(values < 0, -1.0, 1.0), classes) + 1) * (classes - 1) / 2
    return np.asarray(votes + total / (3 * (np.abs(total) + 1)))
