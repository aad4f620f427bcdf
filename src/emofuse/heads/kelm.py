"""Kernel extreme learning machine: ridge regression of +1/-1 targets in the space of a kernel.

Rows are float32 or float64 [n, features]; float32 is computed in float32 unless rounding would matter beside the ridge.
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
from emofuse.core.registry import nearest
from emofuse.errors import SettingsError, ShapeError
from emofuse.heads.checks import Rows, known, restored, training
from emofuse.heads.kernels import Expansion, Kernel
from emofuse.heads.normalise import Normaliser, steps
from emofuse.heads.regression import Limits, Problem, solve

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

KERNELS = ("rbf", "linear")


class KernelELM(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Kernel ELM: scores k(x, X) (K + W^-1 / C)^-1 T, with targets +1 for the class of a row and -1 for the others.

    Args:
        kernel: "rbf", exp(-|x - y|^2 / g), or "linear".
        g: width of "rbf", above 0; None for the mean squared distance of two training rows.
        C: above 0; how much errors count beside the smoothness of the scores.
        normalisation: of the features, learned in `fit`: steps joined by "+" (`emofuse.heads.normalise`).
        class_weight, mu: weights of the classes, as in `emofuse.core.class_weights.class_weights`.
        probability: also fit `predict_proba`, on exact held-out scores; about doubles the time to fit.
        landmarks: rows of a Nystroem approximation; None for the exact solution, and where that would need more than
            `memory_mb` for as many landmarks as it holds, up to 2,000.
        memory_mb: what fitting may take at most beside the features, in MB.
        seed: chooses the landmarks.
    Attributes:
        classes_, n_features_in_: as in scikit-learn.
        g_: the width that was used.
        landmarks_: how many landmarks were used, 0 if the solution is exact.
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
            groups: [n], rows of one video or person; probabilities are then fitted on scores that a row would have
                had without its whole group. None: without the row itself.
        Raises:
            ShapeError: the arrays do not fit, a feature is not finite, or there are fewer than two classes.
            SettingsError: a parameter makes no sense, or the memory limit is too low for landmarks too.
        """
        check_settings(self)
        rows = training(self, X, y, groups)
        weights = class_weights(self.classes_, rows.counts, self.class_weight, self.mu)
        self.normaliser_, features = Normaliser.fit(rows.features, self.normalisation)
        self.g_ = width(features) if self.g is None else float(self.g)
        problem = Problem(
            self._form(),
            features,
            targets=np.where(rows.codes[:, None] == np.arange(len(self.classes_)), 1.0, -1.0),
            penalties=1 / (self.C * weights[rows.codes]),
            groups=_held_together(rows) if self.probability else None,
        )
        limits = Limits(self.landmarks, self.memory_mb, self.seed)
        self.expansion_, self.landmarks_, held = solve(problem, limits)
        self.calibration_: Any = None if held is None else DecisionCalibration.fit(held, rows.codes)
        return self

    def decision_function(self, X: Any) -> Doubles:  # noqa: N803
        """Scores float64 [n, classes], near +1 for the class of a row; [n] of two classes, positive for the second.

        Raises:
            ShapeError: other features than in `fit`, or one that is not finite.
        """
        scores = self._scores(X)
        return scores[:, 1] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The class of the highest score, [n]; errors as in `decision_function`."""
        best: Array = self._scores(X).argmax(axis=1)
        return np.asarray(self.classes_)[best]

    @available_if(lambda self: self.probability)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Doubles:  # noqa: N803
        """Calibrated probabilities float64 [n, classes]; errors as in `decision_function`.

        They say how often a class is right, so class weights move `predict` and not these.
        """
        scores = self._scores(X)
        calibration: DecisionCalibration = self.calibration_
        return calibration(scores)

    def _form(self) -> Kernel:
        return Kernel("linear") if self.kernel == "linear" else Kernel("rbf", gamma=1 / self.g_)

    def _scores(self, X: Any) -> Doubles:  # noqa: N803
        check_is_fitted(self)
        return self.expansion_(self.normaliser_(known(self, X)))

    def arrays(self) -> dict[str, Array]:
        """Everything that was fitted, by name; `restore` takes it back. Errors as in `Expansion.arrays`."""
        check_is_fitted(self)
        learned = {f"normalisation.{n}": numbers for n, numbers in enumerate(self.normaliser_.numbers)}
        return {
            "classes": self.classes_,
            "g": np.array([self.g_]),
            "landmarks": np.array([self.landmarks_]),
            **learned,
            **self.expansion_.arrays(),
            **({} if self.calibration_ is None else self.calibration_.arrays()),
        }

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], params: Mapping[str, Any]) -> KernelELM:
        """The head that gave these arrays and parameters.

        Raises:
            ShapeError: an array is missing or does not fit.
            SettingsError: a parameter makes no sense.
        """
        head = cls(**params)
        check_settings(head)
        try:
            head.classes_ = arrays["classes"]
            head.g_, head.landmarks_ = float(arrays["g"][0]), int(arrays["landmarks"][0])
            count = sum(name.startswith("normalisation.") for name in arrays)
            numbers = tuple(arrays[f"normalisation.{n}"] for n in range(count))
            head.expansion_ = Expansion.restore(arrays, head._form())
            head.normaliser_ = Normaliser(head.normalisation, numbers)
            head.calibration_ = DecisionCalibration.restore(arrays) if head.probability else None
        except KeyError as error:
            raise ShapeError(f"KernelELM: no array {error} among {', '.join(arrays) or 'none'}.") from None
        restored(head, outputs=len(head.classes_))
        if any(n.shape[1] not in (0, head.n_features_in_) for n in numbers):
            raise ShapeError(f"KernelELM: normalisation and vectors of {head.n_features_in_} features do not fit.")
        return head


def width(features: Array) -> float:
    """Mean squared distance of two rows drawn from [n, d]: a width of "rbf" that fits the scale of the features.

    >>> width(np.array([[0.0], [2.0]]))
    2.0
    """
    return float(2 * features.var(axis=0, dtype=np.float64).sum()) or 1.0


def _held_together(rows: Rows) -> Ints:
    return np.arange(len(rows.codes)) if rows.groups is None else rows.groups


def check_settings(head: KernelELM) -> None:
    """Raises SettingsError where a parameter of a head makes no sense."""
    if head.kernel not in KERNELS:
        guess = nearest(str(head.kernel), KERNELS)
        raise SettingsError(f"KernelELM: kernel {head.kernel!r}: unknown{guess}; choose {', '.join(KERNELS)}.")
    for name in ("g", "C", "landmarks", "memory_mb"):
        value = getattr(head, name)
        if value is not None and not (np.isfinite(value) and value > 0):
            raise SettingsError(f"KernelELM: {name} is {value}; give a number above 0.")
    steps(head.normalisation)
