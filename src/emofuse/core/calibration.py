"""From a net's logits to probabilities that can be believed, and how to fit that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax


@dataclass(frozen=True)
class Calibration:
    """From logits to probabilities: softmax(logits / temperature + bias), one bias for each class."""

    temperature: float
    bias: tuple[float, ...]

    @classmethod
    def none(cls, classes: int) -> Calibration:
        """The softmax as it is."""
        return cls(1.0, (0.0,) * classes)

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits float32 [n, classes] -> probabilities float32 [n, classes]."""
        scaled = logits / np.float32(self.temperature) + np.array(self.bias, np.float32)
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def best_calibration(logits: NDArray[np.float32], labels: NDArray[np.int64], *, biased: bool = True) -> Calibration:
    """Temperature and bias per class that make the probabilities fit the labels best (least cross-entropy).

    Args:
        biased: without it the temperature alone, which leaves every answer what it was; a bias is for nets that
            learned classes in other shares than the labels have, or from soft targets.
    Source: temperature, Guo et al. 2017, On Calibration of Modern Neural Networks.
    """
    values, rows, classes = logits.astype(np.float64), np.arange(len(labels)), logits.shape[1]

    def loss(p: NDArray[np.float64]) -> float:
        scaled = values * np.exp(-p[0]) + (p[1:] if biased else 0)
        # The slight pull to zero fixes what cross-entropy leaves open: a bias common to all classes.
        return float(-log_softmax(scaled, axis=1)[rows, labels].mean() + 1e-4 * p @ p)

    temperature, *bias = minimize(loss, np.zeros(1 + classes if biased else 1)).x
    return Calibration(round(float(np.exp(temperature)), 4), tuple(round(float(b), 4) for b in bias or [0] * classes))
