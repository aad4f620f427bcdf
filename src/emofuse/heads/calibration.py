"""Scores to probabilities: softmax(slope * score + bias of the class), fitted on scores of rows held out.

One slope for all classes and a bias for each: few enough numbers for a class with a handful of rows. On pairwise
decision values of an SVM it was as good as Platt scaling of each pair with pairwise coupling, or better, and it keeps
the order of the scores of two classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from emofuse.errors import ShapeError

Doubles = NDArray[np.float64]

_PULL = 1e-4  # of the biases to zero, beside the mean loss of a row


@dataclass(frozen=True, eq=False)
class Calibration:
    """Probabilities of scores; slope is above 0, bias float64 [classes].

    Raises:
        ShapeError: the slope is not above 0, or a bias is not finite.

    >>> Calibration(1.0, np.zeros(2))(np.array([[0.0, np.log(3)]]))
    array([[0.25, 0.75]])
    """

    slope: float
    bias: Doubles

    def __post_init__(self) -> None:
        if not (np.isfinite(self.slope) and self.slope > 0) or self.bias.ndim != 1 or not np.isfinite(self.bias).all():
            raise ShapeError(f"calibration: slope {self.slope}, bias {self.bias.tolist()}; fit the head again.")

    def __call__(self, scores: NDArray[Any]) -> Doubles:
        """float64 [rows, classes], each row summing to one."""
        logits = self.slope * scores + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The numbers by name; `restore` takes them back."""
        return {"slope": np.array([self.slope]), "bias": self.bias}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Calibration:
        """The calibration that gave these arrays.

        Raises:
            KeyError: an array is missing.
            ShapeError: a number makes no sense.
        """
        return cls(float(arrays["slope"][0]), arrays["bias"])

    @classmethod
    def fit(cls, scores: Doubles, labels: NDArray[np.int64]) -> Calibration:
        """The slope and biases of least cross entropy; rows count alike, whatever weights the head was fitted with.

        Targets are a little less than certain, (n_c + 1) / (n_c + 2), so that classes without overlap do not drive
        the slope to infinity.

        Args:
            scores: float64 [rows, classes], of rows that the scoring head has not seen.
            labels: int [rows], class indices.
        Source: Guo et al. 2017 (temperature and bias); Platt 1999 (targets).
        """
        classes = scores.shape[1]
        sure = 1 - 1 / (np.bincount(labels, minlength=classes)[labels] + 2)
        targets = np.repeat(((1 - sure) / max(classes - 1, 1))[:, None], classes, axis=1)
        targets[np.arange(len(labels)), labels] = sure
        spread = float(scores.std()) or 1.0  # so that the first step is of the right size

        def loss(numbers: Doubles) -> tuple[float, Doubles]:
            slope, bias = np.exp(numbers[0]) / spread, numbers[1:]
            logits = slope * scores + bias
            logits -= logits.max(axis=1, keepdims=True)
            logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            apart = (np.exp(logs) - targets) / len(labels)
            gradient = np.append(slope * (apart * scores).sum(), apart.sum(axis=0) + _PULL * bias)
            return float(-(targets * logs).sum() / len(labels) + _PULL * (bias**2).sum() / 2), gradient

        bounds = [(-10.0, 10.0), *[(None, None)] * classes]  # scores that say nothing would send the slope to 0
        numbers = minimize(loss, np.zeros(classes + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
        return cls(float(np.exp(numbers[0]) / spread), numbers[1:])
