"""Calibration: probabilities from the logits of networks and from the decision values of heads.

Both are softmax(slope * value + bias), with one slope for all classes and one bias for each. Networks are calibrated
in float32 on a validation split; heads in float64 on held-out rows of small training sets, with Platt's targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from emofuse.errors import ShapeError

Doubles = NDArray[np.float64]

# L2 penalty; it fixes what cross-entropy leaves open, a bias common to all classes.
_PENALTY = 1e-4


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class LogitCalibration:
    """Probabilities from the logits of a network: softmax(logits / temperature + bias).

    >>> LogitCalibration(2.0, (0.0, 0.0))(np.log(np.array([[1, 9]], np.float32)))
    array([[0.25, 0.75]], dtype=float32)
    """

    temperature: float
    bias: tuple[float, ...]

    @classmethod
    def identity(cls, classes: int) -> LogitCalibration:
        """The plain softmax."""
        return cls(1.0, (0.0,) * classes)

    @classmethod
    def fit(cls, logits: NDArray[np.float32], labels: NDArray[np.int64], *, biased: bool = True) -> LogitCalibration:
        """The temperature and biases of least cross-entropy on labelled rows, rounded to four digits.

        Args:
            biased: False fits the temperature alone, which never changes the predicted class. Biases are for networks
                trained on soft targets, or on other class frequencies than those of the labels.
        Source: Guo et al. 2017, On Calibration of Modern Neural Networks.
        """
        values, rows, classes = logits.astype(np.float64), np.arange(len(labels)), logits.shape[1]

        def loss(p: Doubles) -> float:
            scaled = values * np.exp(-p[0]) + (p[1:] if biased else 0)
            return float(-log_softmax(scaled, axis=1)[rows, labels].mean() + _PENALTY * p @ p)

        temperature, *bias = minimize(loss, np.zeros(1 + classes if biased else 1)).x
        return cls(round(float(np.exp(temperature)), 4), tuple(round(float(b), 4) for b in bias or [0] * classes))

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits float32 [n, classes] to probabilities float32 [n, classes]."""
        scaled = logits / np.float32(self.temperature) + np.array(self.bias, np.float32)
        return np.asarray(_softmax(scaled), np.float32)


@dataclass(frozen=True, eq=False)
class DecisionCalibration:
    """Probabilities from the decision values of a head: softmax(slope * value + bias).

    On pairwise decision values of an SVM this was as good as Platt scaling of each pair with pairwise coupling, or
    better; it keeps the order of the decision values of two classes.

    slope: above 0. bias: float64 [classes].

    Raises:
        ShapeError: the slope is not above 0, or a bias is not finite.

    >>> DecisionCalibration(1.0, np.zeros(2))(np.array([[0.0, np.log(3)]]))
    array([[0.25, 0.75]])
    """

    slope: float
    bias: Doubles

    def __post_init__(self) -> None:
        if not (np.isfinite(self.slope) and self.slope > 0) or self.bias.ndim != 1 or not np.isfinite(self.bias).all():
            raise ShapeError(f"calibration: slope {self.slope}, bias {self.bias.tolist()}; fit the head again.")

    @classmethod
    def fit(cls, values: Doubles, labels: NDArray[np.int64]) -> DecisionCalibration:
        """The slope and biases of least cross-entropy; all rows have equal weight, whatever the class weights.

        Targets are (n_c + 1) / (n_c + 2) instead of 1, so that separable classes do not drive the slope to infinity.

        Args:
            values: float64 [rows, classes], decision values of rows that the head was not fitted on.
            labels: int [rows], class indices.
        Source: Guo et al. 2017 (temperature and bias); Platt 1999 (targets).
        """
        classes = values.shape[1]
        hit = 1 - 1 / (np.bincount(labels, minlength=classes)[labels] + 2)
        targets = np.repeat(((1 - hit) / max(classes - 1, 1))[:, None], classes, axis=1)
        targets[np.arange(len(labels)), labels] = hit
        scale = float(values.std()) or 1.0  # so that the first step has the right size

        def loss(p: Doubles) -> tuple[float, Doubles]:
            slope, bias = np.exp(p[0]) / scale, p[1:]
            logits = slope * values + bias
            logits -= logits.max(axis=1, keepdims=True)
            logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            residual = (np.exp(logs) - targets) / len(labels)
            gradient = np.append(slope * (residual * values).sum(), residual.sum(axis=0) + _PENALTY * bias)
            return float(-(targets * logs).sum() / len(labels) + _PENALTY * (bias**2).sum() / 2), gradient

        bounds = [(-10.0, 10.0), *[(None, None)] * classes]  # uninformative values would send the slope to 0
        p = minimize(loss, np.zeros(classes + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
        return cls(float(np.exp(p[0]) / scale), p[1:])

    def __call__(self, values: NDArray[Any]) -> Doubles:
        """Decision values [rows, classes] to probabilities float64 [rows, classes]."""
        return _softmax(self.slope * values + self.bias)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The parameters by name, for `restore`."""
        return {"slope": np.array([self.slope]), "bias": self.bias}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> DecisionCalibration:
        """The calibration that returned these arrays.

        Raises:
            KeyError: an array is missing.
            ShapeError: a value is out of range.
        """
        return cls(float(arrays["slope"][0]), arrays["bias"])
