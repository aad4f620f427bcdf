"""Scores of predictions as pure functions of label arrays, all fractions in [0, 1].

Arrays are int [n]; rows with truth -1 (unlabelled) are ignored everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emofuse.errors import ShapeError

Ints = NDArray[np.int64]


def confusion(truth: Ints, guess: Ints, *, classes: int) -> Ints:
    """Counts int64 [classes, classes]: row is the truth, column the guess.

    Raises:
        ShapeError: the lengths differ.

    >>> confusion(np.array([0, 0, 1, -1]), np.array([0, 1, 1, 0]), classes=2)
    array([[1, 1],
           [0, 1]])
    """
    if len(truth) != len(guess):
        raise ShapeError(f"confusion: truth has {len(truth)} rows, guess has {len(guess)}; give one guess for each.")
    labelled = truth >= 0
    cells = truth[labelled] * classes + guess[labelled]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def accuracy(counts: Ints) -> float:
    """Share of rows on the diagonal of a confusion matrix."""
    return float(np.trace(counts) / counts.sum())


def recalls(counts: Ints) -> NDArray[np.float64]:
    """Recall of each class, NaN for a class that does not occur."""
    total = counts.sum(axis=1)
    return np.where(total > 0, np.diag(counts) / np.maximum(total, 1), np.nan)


def uar(counts: Ints) -> float:
    """Unweighted average recall over the classes that occur."""
    return float(np.nanmean(recalls(counts)))


def calibration_error(truth: Ints, probabilities: NDArray[np.float32], *, bins: int = 15) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over equal-width bins.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks.
    """
    labelled = truth >= 0
    confidence = probabilities[labelled].max(axis=1).astype(np.float64)
    right = probabilities[labelled].argmax(axis=1) == truth[labelled]
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.abs(np.bincount(bin_of, right, bins) - np.bincount(bin_of, confidence, bins))
    return float(gap.sum() / max(labelled.sum(), 1))
