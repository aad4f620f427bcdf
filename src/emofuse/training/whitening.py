"""Whitening of identities: directions in which one person varies count less in their cosine.

Identities that were distilled for other purposes, or into a smaller network, share directions that tell more of light,
camera and expression than of the person. Their covariance within persons is estimated from photographs of people, and
divided out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RIDGE = 0.2  # added to the covariance within persons, in its mean variance


def whitening(
    identities: NDArray[np.float32], people: Sequence[str], *, ridge: float = RIDGE
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What to subtract from identities of length 1, float32 [d], and what to multiply them with then, [d, d].

    Args:
        identities: float32 [n, d]; people: whose each is. Those with one photograph count in the mean alone.
    Source: within-class covariance normalisation, Hatch, Kajarekar and Stolcke 2006, shrunk towards a multiple of the
        unit matrix.

    >>> mean, matrix = whitening(np.float32([[1, 0], [1, 0.1], [0, 1], [0.1, 1]]), ["a", "a", "b", "b"])
    >>> np.array_equal(mean, mean[::-1]), matrix.shape
    (True, (2, 2))
    """
    unit = identities.astype(np.float64) / np.linalg.norm(identities, axis=1, keepdims=True)
    mean, size = unit.mean(axis=0), unit.shape[1]
    of_person = np.unique(np.asarray(people), return_inverse=True)[1].reshape(-1)
    counts = np.bincount(of_person)
    sums = np.zeros((len(counts), size))
    np.add.at(sums, of_person, unit)
    apart = unit - (sums / counts[:, None])[of_person]
    freedom = int((counts - 1).sum())
    within = apart.T @ apart / max(freedom, 1)
    variance = np.trace(within) / size
    if variance <= 0:  # nobody has two photographs
        return mean.astype(np.float32), np.eye(size, dtype=np.float32)
    covariance = within + ridge * variance * np.eye(size)
    matrix = np.linalg.cholesky(np.linalg.inv(covariance)) * np.sqrt(variance)
    return mean.astype(np.float32), matrix.astype(np.float32)
