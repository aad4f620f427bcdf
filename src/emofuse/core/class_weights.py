"""The logarithmic rule for the weights of classes, which nets and heads are trained by."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emofuse.errors import SettingsError, ShapeError

Doubles = NDArray[np.float64]


def log_weights(counts: ArrayLike, mu: float) -> Doubles:
    """Logarithmic class weights, float64 [classes]: max(1, ln(mu * N / n_c)).

    A class that does not occur weighs 1, as it would not be weighted at all.

    Args:
        counts: [classes], how often each class occurs.
        mu: above 0; 0.47 for the paper's SVM, 0.34 for its CNN. See `emofuse.heads.largest_mu` for the authors' rule.
    Raises:
        ShapeError: nothing occurs, a count is negative or not finite, or there is more than one row of counts.
        SettingsError: mu is not above 0.
    Source: paper, sec. 3.1.2 ("logarithmic weighting, r = 0.47"); the formula is in the authors' code.

    >>> log_weights([900, 90, 10, 0], mu=0.47).round(3)
    array([1.   , 1.653, 3.85 , 1.   ])
    """
    occurs = checked_counts(counts)
    if not (np.isfinite(mu) and mu > 0):
        raise SettingsError(f"log_weights: mu is {mu}; give a number above 0, such as the paper's 0.47.")
    present = np.where(occurs > 0, occurs, occurs.sum())
    return np.where(occurs > 0, np.maximum(1.0, np.log(mu * occurs.sum() / present)), 1.0)


def checked_counts(counts: ArrayLike) -> Doubles:
    """Counts as float64 [classes].

    Raises:
        ShapeError: nothing occurs, a count is negative or not finite, or there is more than one row of counts.
    """
    occurs = np.asarray(counts, np.float64)
    if occurs.ndim != 1 or not np.isfinite(occurs).all() or (occurs < 0).any() or not occurs.sum() > 0:
        raise ShapeError(f"class counts {np.asarray(counts).tolist()}: give one count for each class, not all zero.")
    return occurs
