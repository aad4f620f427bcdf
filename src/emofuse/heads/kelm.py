"""Kernel extreme learning machine: kernel ridge regression of +1/-1 targets.

Rows are float32 or float64 [n, features]; float32 is used for float32 unless rounding errors are too large for C.
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
from emofuse.core.registry import find
from emofuse.errors import SettingsError, ShapeError
from emofuse.heads.checks import check_restored, checked_features, training_rows
from emofuse.heads.kernels import Kernel, KernelSum
from emofuse.heads.normalisation import Normaliser, steps
from emofuse.heads.ridge import RidgeProblem, solve

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

KERNELS = {name: Kernel(name) for name in ("rbf", "linear")}


class KernelELM(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Kernel ELM: scores k(x, X) (K + W^-1 / C)^-1 T, with targets +1 for the class of a row and -1 for the others.

    Args:
        kernel: "rbf", exp(-|x - y|^2 / g), or "linear".
        g: width of "rbf", above 0; None for the mean squared distance between training rows.
        C: above 0; cost of errors relative to the penalty on the coefficients.
        normalisation: of the features, fitted on the training rows: steps joined by "+" (see `Normaliser`).
        class_weight, mu: weights of the classes, as in `emofuse.core.class_weights.class_weights`.
        probability: also fit `predict_proba`, on exact held-out scores; about doubles the time of `fit`.
        landmarks: number of rows of a Nystroem approximation; None for the exact solution or, where that exceeds
            `memory_mb`, for as many landmarks as fit, up to 2,000.
        memory_mb: limit for `fit` in addition to the features, in MB.
        seed: of the choice of landmarks.
    Attributes:
        classes_, n_features_in_: as in scikit-learn.
        g_: the width.
        landmarks_: number of landmarks, 0 for the exact solution.
    Source: Huang et al. 2012, Extreme Learning Machine for Regression and Multiclass Classification; weighted: Zong et
        al. 2013; the grids and normalisations are in the authors' code (docs/deviations.md).

    >>> rows, labels = np.array([[0.0], [0.2], [1.0], [1.2]]), np.array([0, 0, 1, 1])
    >>> KernelELM(C=10.0).fit(rows, labels).predict([[0.3], [0.9]]).tolist()
    [0, 1]
    """

    def __init__(
        self,
        kernel: str = "rbf",
        g: float | None = None,
        C: float = 1.0,  # noqa: N803  the name in the literature and in scikit-learn
        normalisation: str = "none",
        class_weight: ClassWeight = None,
        mu: float | None = None,
        probability: bool = False,
        landmarks: int | None = None,
        memory_mb: float = 4096,
        seed: int = 0,
    ) -> None:
        self.kernel = kernel
        self.g = g
        self.C = C
        self.normalisation = normalisation
        self.class_weight = class_weight
        self.mu = mu
        self.probability = probability
        self.landmarks = landmarks
        self.memory_mb = memory_mb
        self.seed = seed

    def fit(self, X: Any, y: Any, groups: Any = None) -> KernelELM:  # noqa: N803
        """Fit on rows [n, features] with a label each.

        Args:
            groups: [n], such as videos or subjects; probabilities are then fitted on the scores of each row without
                its group. None: without the row itself.
        Raises:
            ShapeError: the arrays do not fit, a feature is not finite, or there are fewer than two classes.
            SettingsError: a parameter is out of range, or the memory limit is too low even for landmarks.
        """
        _check_settings(self)
        rows = training_rows(self, X, y, groups)
        weights = class_weights(self.classes_, rows.counts, self.class_weight, self.mu)
        self.normaliser_, features = Normaliser.fit(rows.features, self.normalisation)
        self.g_ = mean_squared_distance(features) if self.g is None else float(self.g)
        groups = np.arange(len(rows.codes)) if rows.groups is None else rows.groups
        problem = RidgeProblem(
            self._kernel(),
            features,
            targets=np.where(rows.codes[:, None] == np.arange(len(self.classes_)), 1.0, -1.0),
            penalties=1 / (self.C * weights[rows.codes]),
            groups=groups if self.probability else None,
        )
        solution = solve(problem, landmarks=self.landmarks, memory_mb=self.memory_mb, seed=self.seed)
        self.function_, self.landmarks_, held_out = solution.function, solution.landmarks, solution.held_out
        self.calibration_: Any = None if held_out is None else DecisionCalibration.fit(held_out, rows.codes)
        return self

    def decision_function(self, X: Any) -> Doubles:  # noqa: N803
        """Scores float64 [n, classes], near +1 for the class of a row; for two classes [n], positive for the second.

        Raises:
            ShapeError: another number of features than in `fit`, or a feature that is not finite.
        """
        scores = self._scores(X)
        return scores[:, 1] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The class with the highest score, [n]; errors as in `decision_function`."""
        best: Array = self._scores(X).argmax(axis=1)
        return np.asarray(self.classes_)[best]

    @available_if(lambda self: self.probability)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Doubles:  # noqa: N803
        """Calibrated probabilities float64 [n, classes]; errors as in `decision_function`.

        They estimate how often each class is correct; class weights change `predict` and not these.
        """
        scores = self._scores(X)
        calibration: DecisionCalibration = self.calibration_
        return calibration(scores)

    def _kernel(self) -> Kernel:
        return Kernel("linear") if self.kernel == "linear" else Kernel("rbf", gamma=1 / self.g_)

    def _scores(self, X: Any) -> Doubles:  # noqa: N803
        check_is_fitted(self)
        return self.function_(self.normaliser_(checked_features(self, X)))

    def arrays(self) -> dict[str, Array]:
        """All fitted arrays by name, for `restore`."""
        check_is_fitted(self)
        normalisation = {f"normalisation.{n}": values for n, values in enumerate(self.normaliser_.parameters)}
        return {
            "classes": self.classes_,
            "g": np.array([self.g_]),
            "landmarks": np.array([self.landmarks_]),
            **normalisation,
            **self.function_.arrays(),
            **({} if self.calibration_ is None else self.calibration_.arrays()),
        }

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], params: Mapping[str, Any]) -> KernelELM:
        """The head that returned these arrays and parameters.

        Raises:
            ShapeError: an array is missing or does not fit.
            SettingsError: a parameter is out of range.
        """
        head = cls(**params)
        _check_settings(head)
        try:
            head.classes_ = arrays["classes"]
            head.g_, head.landmarks_ = float(arrays["g"][0]), int(arrays["landmarks"][0])
            count = sum(name.startswith("normalisation.") for name in arrays)
            parameters = tuple(arrays[f"normalisation.{n}"] for n in range(count))
            head.function_ = KernelSum.restore(arrays, head._kernel())
            head.normaliser_ = Normaliser(head.normalisation, parameters)
            head.calibration_ = DecisionCalibration.restore(arrays) if head.probability else None
        except KeyError as error:
            raise ShapeError(f"KernelELM: the array {error} is missing.") from None
        check_restored(head, outputs=len(head.classes_))
        if any(n.shape[1] not in (0, head.n_features_in_) for n in parameters):
            raise ShapeError(f"KernelELM: normalisation and vectors of {head.n_features_in_} features do not fit.")
        return head


def mean_squared_distance(features: Array) -> float:
    """Mean squared distance between two random rows of [n, d], a width of "rbf" on the scale of the features.

    >>> mean_squared_distance(np.array([[0.0], [2.0]]))
    2.0
    """
    return float(2 * features.var(axis=0, dtype=np.float64).sum()) or 1.0


def _check_settings(head: KernelELM) -> None:
    find(str(head.kernel), KERNELS, "KernelELM: kernel")
    for name in ("g", "C", "landmarks", "memory_mb"):
        value = getattr(head, name)
        if value is not None and not (np.isfinite(value) and value > 0):
            raise SettingsError(f"KernelELM: {name} is {value}; give a number above 0.")
    steps(head.normalisation)
