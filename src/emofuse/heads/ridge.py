"""Weighted ridge regression of targets, by rows (kernel) or by columns (features), with exact held-out values.

Both minimise |B|^2 + C sum over rows of w_i |t_i - f(x_i)|^2. What the regression would say of a group of rows had it
been fitted without them follows from the one decomposition, so calibration needs no second fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.heads import cholesky

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCK = 4096


def by_rows(kernel: Array, targets: Array, penalties: Array, groups: Ints | None) -> tuple[Array, Doubles | None]:
    """Coefficients (K + diag(penalties))^-1 T, [n, k], and the values of rows held out, float64 [n, k].

    The kernel matrix is overwritten.

    Args:
        kernel: [n, n], lower half.
        targets: [n, k].
        penalties: 1 / (C w_i), [n].
        groups: int [n], rows that are held out together; None where held-out values are not wanted (None is given).
    Raises:
        SettingsError: the matrix is not positive definite as rounded.
    Source: Huang et al. 2012 and, weighted, Zong et al. 2013: (I/C + W K)^-1 W T is the same. Held out: with
        H = K + diag(penalties), t - f_without(x) = ((H^-1)_gg)^-1 (H^-1 T)_g for a group g.
    """
    kernel[np.diag_indices(len(kernel))] += penalties.astype(kernel.dtype)
    lower = cholesky.factor(kernel)
    coefficients = cholesky.solve(lower, targets)
    if groups is None:
        return coefficients, None
    upper = cholesky.inverse(lower)  # U with U' U = H^-1
    held = np.empty(targets.shape)
    alone, together = _parts(groups)
    diagonal = np.zeros(len(upper))
    for start in range(0, len(upper), _BLOCK):
        diagonal += np.einsum("ij,ij->j", upper[start : start + _BLOCK], upper[start : start + _BLOCK])
    held[alone] = targets[alone] - coefficients[alone] / diagonal[alone, None]
    for rows in together:
        block = upper[rows[0] :, rows]  # above its first row there are only zeros
        share = (block.T @ block).astype(np.float64)
        held[rows] = targets[rows] - np.linalg.solve(share, coefficients[rows].astype(np.float64))
    return coefficients, held


def by_columns(
    features: Array, targets: Array, penalties: Array, groups: Ints | None
) -> tuple[Doubles, Doubles | None]:
    """Coefficients (F' W F + I)^-1 F' W T, float64 [d, k], W = 1 / penalties; the rest as in `by_rows`, K = F F'.

    Cheaper than `by_rows` where there are fewer features [n, d] than rows.
    """
    weights = 1 / penalties.astype(np.float64)
    moments, right = np.eye(features.shape[1]), np.zeros((features.shape[1], targets.shape[1]))
    for block, weight in _blocks(features, weights):
        scaled = features[block] * weight[:, None].astype(features.dtype)
        moments += scaled.T @ features[block]
        right += scaled.T @ targets[block].astype(features.dtype)
    lower = cholesky.factor(moments)
    coefficients = cholesky.solve(lower, right)
    if groups is None:
        return coefficients, None
    inverse = cholesky.inverse(lower).T.astype(features.dtype)
    whitened = np.concatenate([features[block] @ inverse for block, _ in _blocks(features, weights)])
    residuals = targets - features @ coefficients.astype(features.dtype)
    held = np.empty(targets.shape)
    alone, together = _parts(groups)
    leverages = weights * np.einsum("nd,nd->n", whitened, whitened)
    least = float(np.finfo(features.dtype).eps)  # a row of great weight is met exactly, up to rounding
    held[alone] = targets[alone] - residuals[alone] / np.maximum(1 - leverages[alone, None], least)
    for rows in together:
        part = whitened[rows].astype(np.float64)
        apart = (1 + least) * np.eye(len(rows)) - (part @ part.T) * weights[rows]
        held[rows] = targets[rows] - np.linalg.solve(apart, residuals[rows].astype(np.float64))
    return coefficients, held


def _parts(groups: Ints) -> tuple[Ints, list[Ints]]:
    """Rows that are a group of their own, and the rows of each other group."""
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    alone = np.sort(np.array([part[0] for part in parts if len(part) == 1], np.int64))
    return alone, [part for part in parts if len(part) > 1]


def _blocks(features: Array, weights: Doubles) -> Iterator[tuple[slice, Doubles]]:
    for start in range(0, len(features), _BLOCK):
        yield slice(start, start + _BLOCK), weights[start : start + _BLOCK]
