"""Support vector machine: libsvm's solver on a kernel matrix made by matrix product, and prediction by matrix product.

Rows are float32 or float64 [n, features], multiplied in their own precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from emofuse.core.calibration import DecisionCalibration
from emofuse.core.class_weights import ClassWeight, class_weights
from emofuse.errors import SettingsError, ShapeError
from emofuse.heads.checks import Rows, known, restored, training
from emofuse.heads.folds import deal
from emofuse.heads.kernels import Expansion, Kernel, centre_of, centred, gram
from emofuse.heads.pairs import Machine, Task, decisions, strengths

Array = NDArray[Any]
Doubles = NDArray[np.float64]


class SVM(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Support vector machine of pairs of classes, the same as scikit-learn's `SVC` and many times faster.

    Args:
        kernel: "poly" (gamma <x, y> + coef0)^degree, "rbf" exp(-gamma |x - y|^2), or "linear". The defaults are the
            paper's.
        degree, gamma, coef0: of the kernel.
        C: above 0; how much an error costs.
        class_weight, mu: weights of the classes, as in `emofuse.core.class_weights.class_weights`.
        probability: also fit `predict_proba`, on values of held-out folds.
        folds: how many; each costs one more fit on the same kernel matrix.
        cache_mb: of libsvm, in MB.
        memory_mb: what kernel matrices may take at most, in MB; with more rows libsvm computes the kernel itself, with
            the same result, slowly.
        seed: deals the folds.
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
            groups: [n], rows of one video or person, which stay on one side of the folds for probabilities.
        Raises:
            ShapeError: the arrays do not fit, a feature is not finite, or there are fewer than two classes.
            SettingsError: a parameter makes no sense, or there is only one group.
        """
        kernel = check_settings(self)
        rows = training(self, X, y, groups)
        weights = class_weights(self.classes_, rows.counts, self.class_weight, self.mu)
        centre = centre_of(rows.features, kernel)
        features = centred(rows.features, centre)
        # In float64 the steps of libsvm, and so the support vectors, are those that it takes by itself.
        table = gram(features.astype(np.float64), kernel) if self._has_room(len(features)) else None
        task = Task(features, rows.codes, kernel, self.C * weights, self.cache_mb, table)
        machine = task.solve()
        self.support_ = machine.support
        self.calibration_: Any = self._calibration(task, machine, rows) if self.probability else None
        vectors = features[machine.support]
        self.expansion_ = Expansion.of(kernel, vectors, machine.coefficients, offset=machine.offset, centre=centre)
        return self

    def _has_room(self, rows: int) -> bool:
        share = 1 + ((1 - 1 / self.folds) ** 2 if self.probability else 0.0)  # folds copy their part of the matrix
        return share * rows**2 * 8 <= self.memory_mb * (1 << 20)

    def _calibration(self, task: Task, machine: Machine, rows: Rows) -> DecisionCalibration:
        fold = deal(rows.codes, groups=rows.groups, count=self.folds, seed=self.seed)
        return DecisionCalibration.fit(strengths(task.held_out(fold, machine), len(self.classes_)), rows.codes)

    def decision_function(self, X: Any) -> Doubles:  # noqa: N803
        """Values float64 [n, classes] as of `SVC`: votes of the pairs, ties broken by how sure they are.

        Of two classes [n], the distance from the border, positive for the second.

        Raises:
            ShapeError: other features than in `fit`, or one that is not finite.
        """
        values = self._values(X)
        return -values[:, 0] if len(self.classes_) == 2 else decisions(values, len(self.classes_))

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The class of the highest value, [n], as `SVC(break_ties=True)`; errors as in `decision_function`."""
        best: Array = decisions(self._values(X), len(self.classes_)).argmax(axis=1)
        return np.asarray(self.classes_)[best]

    @available_if(lambda self: self.probability)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Doubles:  # noqa: N803
        """Calibrated probabilities float64 [n, classes]; errors as in `decision_function`.

        They say how often a class is right, so class weights move `predict` and not these.
        """
        values = self._values(X)
        calibration: DecisionCalibration = self.calibration_
        return calibration(strengths(values, len(self.classes_)))

    def _values(self, X: Any) -> Doubles:  # noqa: N803
        check_is_fitted(self)
        return self.expansion_(known(self, X))

    def arrays(self) -> dict[str, Array]:
        """Everything that prediction needs, by name; `restore` takes it back."""
        check_is_fitted(self)
        calibration = {} if self.calibration_ is None else self.calibration_.arrays()
        return {"classes": self.classes_, **self.expansion_.arrays(), **calibration}

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], params: Mapping[str, Any]) -> SVM:
        """The head that gave these arrays and parameters, without `support_`.

        Raises:
            ShapeError: an array is missing or does not fit.
            SettingsError: a parameter makes no sense.
        """
        head = cls(**params)
        kernel = check_settings(head)
        try:
            head.classes_ = arrays["classes"]
            head.expansion_ = Expansion.restore(arrays, kernel)
            head.calibration_ = DecisionCalibration.restore(arrays) if head.probability else None
        except KeyError as error:
            raise ShapeError(f"SVM: no array {error} among {', '.join(arrays) or 'none'}.") from None
        restored(head, outputs=len(head.classes_) * (len(head.classes_) - 1) // 2)
        return head


def check_settings(head: SVM) -> Kernel:
    """The kernel of a head; raises SettingsError where a parameter makes no sense."""
    for name, least in (("C", 0.0), ("cache_mb", 0.0), ("memory_mb", 0.0), ("folds", 1.0)):
        value = getattr(head, name)
        if not (np.isfinite(value) and value > least):
            raise SettingsError(f"SVM: {name} is {value}; give a number above {least:g}.")
    return Kernel(head.kernel, head.gamma, head.coef0, head.degree)
