"""Weighted kernel ridge regression with exact held-out values, solved in the way that fits its size.

All solutions minimise |B|^2 + sum over rows of |t_i - f(x_i)|^2 / penalty_i: by rows (kernel matrix), by features where
there are fewer of them and the kernel is linear, or on landmarks (Nystroem). The prediction for a group of rows by a
regression without them follows from the same decomposition, so calibration needs no second fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky
from scipy.linalg.lapack import get_lapack_funcs
from threadpoolctl import threadpool_limits

from emofuse.errors import SettingsError
from emofuse.heads.kernels import Kernel, KernelSum, centre_of, centred, gram, kernel_blocks, square_norms

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

_MAX_LANDMARKS = 2000  # where the kernel matrix does not fit: 60,000 rows in seconds, equal accuracy
_MIN_LANDMARKS = 50
_MIN_PENALTY = 20  # in rounding errors of the kernel matrix; smaller penalties need float64
_BLOCK = 4096
_MB = 1 << 20


@dataclass(frozen=True, eq=False)
class RidgeProblem:
    """Regression of targets [n, k] on features [n, d]. penalties: [n], 1 / (C weight).

    groups: int [n], rows that are held out together; None where held-out values are not needed.
    """

    kernel: Kernel
    features: Array
    targets: Array
    penalties: Doubles
    groups: Ints | None


@dataclass(frozen=True, eq=False)
class RidgeSolution:
    """The fitted function, its number of landmarks (0 if exact), and held-out values float64 [n, k]."""

    function: KernelSum
    landmarks: int
    held_out: Doubles | None


def solve(
    problem: RidgeProblem, *, landmarks: int | None = None, memory_mb: float = 4096, seed: int = 0
) -> RidgeSolution:
    """Solve a regression within a memory limit.

    Args:
        landmarks: number of rows to approximate with; default: exact where the memory suffices.
        seed: of the choice of landmarks.
    Raises:
        SettingsError: more memory is needed than allowed, or a matrix is not positive definite as rounded.
    """
    dtype = _precision(problem)
    problem = replace(problem, features=problem.features.astype(dtype, copy=False))
    rows, width = problem.features.shape
    size, memory = problem.features.itemsize, memory_mb * _MB
    if problem.kernel.is_linear and width < rows and landmarks is None:
        _check_memory(rows * width * size + 3 * width**2 * 8, memory_mb)
        return _by_features(problem)
    if landmarks is None and rows**2 * size <= memory:
        return _by_rows(problem)
    # Mapped rows [rows, count] twice and three matrices [count, count] in float64, with as large a count as fits.
    half = rows * size
    most = int((np.sqrt(half**2 + 24 * memory) - half) / 24)
    count = min(landmarks or max(min(_MAX_LANDMARKS, most), _MIN_LANDMARKS), rows)
    _check_memory(2 * rows * count * size + 24 * count**2, memory_mb)
    return _on_landmarks(problem, np.random.default_rng(seed).choice(rows, count, replace=False))


def _precision(problem: RidgeProblem) -> type[np.floating[Any]]:
    """float64 where float32 would round away the smallest penalty; else the type of the features."""
    features = problem.features
    # The trace bounds the largest eigenvalue, and thereby the rounding errors of the kernel matrix.
    norms = problem.kernel.needs_distances
    trace = len(features) if norms else float(square_norms(features).sum(dtype=np.float64))
    enough = float(problem.penalties.min()) >= _MIN_PENALTY * float(np.finfo(features.dtype).eps) * trace
    return features.dtype.type if enough else np.float64


def _check_memory(needed: float, memory_mb: float) -> None:
    if needed > memory_mb * _MB:
        raise SettingsError(
            f"KernelELM: needs {needed / _MB:.0f} MB, memory_mb allows {memory_mb:g}; "
            "raise memory_mb, give fewer landmarks (landmarks=500), or fewer rows."
        )


def _by_rows(problem: RidgeProblem) -> RidgeSolution:
    """Coefficients (K + diag(penalties))^-1 T.

    Source: Huang et al. 2012 and, weighted, Zong et al. 2013: (I/C + W K)^-1 W T is the same. Held out: with
        H = K + diag(penalties), t - f_without(x) = ((H^-1)_gg)^-1 (H^-1 T)_g for a group g.
    """
    targets, centre = problem.targets, centre_of(problem.features, problem.kernel)
    features = centred(problem.features, centre)
    matrix = gram(features, problem.kernel, lower=True)
    matrix[np.diag_indices(len(matrix))] += problem.penalties.astype(matrix.dtype)
    factor = cholesky_factor(matrix)
    coefficients = cholesky_solve(factor, targets)
    offset = np.zeros(targets.shape[1])
    function = KernelSum.of(problem.kernel, features, coefficients, offset=offset, centre=centre)
    if problem.groups is None:
        return RidgeSolution(function, 0, None)
    inverse = triangular_inverse(factor)  # H^-1 = inverse' inverse
    held_out = np.empty(targets.shape)
    single, larger = _split_groups(problem.groups)
    diagonal = np.zeros(len(inverse))
    for start in range(0, len(inverse), _BLOCK):
        block = inverse[start : start + _BLOCK]
        diagonal += np.einsum("ij,ij->j", block, block)
    held_out[single] = targets[single] - coefficients[single] / diagonal[single, None]
    for rows in larger:
        block = inverse[rows[0] :, rows]  # zero above its first row
        inner = (block.T @ block).astype(np.float64)
        held_out[rows] = targets[rows] - np.linalg.solve(inner, coefficients[rows].astype(np.float64))
    return RidgeSolution(function, 0, held_out)


def _by_features(problem: RidgeProblem) -> RidgeSolution:
    coefficients, held_out = _linear_ridge(problem.features, problem)
    rows = np.ascontiguousarray(coefficients.T.astype(problem.features.dtype))
    return RidgeSolution(KernelSum.linear(rows, np.zeros(len(rows))), 0, held_out)


def _on_landmarks(problem: RidgeProblem, chosen: Ints) -> RidgeSolution:
    """Source: Williams and Seeger 2001, Using the Nystroem Method to Speed Up Kernel Machines."""
    kernel, centre = problem.kernel, centre_of(problem.features, problem.kernel)
    features = centred(problem.features, centre)
    landmarks = features[np.sort(chosen)]
    matrix = gram(landmarks.astype(np.float64), kernel, lower=True)
    # Directions below the rounding error, of the features or of this matrix, would only add noise.
    rounding = max(10 * np.finfo(features.dtype).eps, 100 * len(landmarks) * np.finfo(np.float64).eps)
    matrix[np.diag_indices(len(landmarks))] += rounding * np.trace(matrix) / len(landmarks)
    inverse = triangular_inverse(cholesky_factor(matrix))
    mapped = np.empty((len(features), len(landmarks)), features.dtype)
    mapping = np.ascontiguousarray(inverse.T.astype(features.dtype))
    for rows, block in kernel_blocks(features, landmarks, kernel):
        mapped[rows] = block @ mapping
    coefficients, held_out = _linear_ridge(mapped, problem)
    offset = np.zeros(problem.targets.shape[1])
    function = KernelSum.of(kernel, landmarks, inverse.T @ coefficients, offset=offset, centre=centre)
    return RidgeSolution(function, len(landmarks), held_out)


def _linear_ridge(features: Array, problem: RidgeProblem) -> tuple[Doubles, Doubles | None]:
    """Coefficients (F' W F + I)^-1 F' W T, float64 [d, k], with W = 1 / penalties, and held-out values for K = F F'."""
    targets, weights = problem.targets, 1 / problem.penalties.astype(np.float64)
    moments, right = np.eye(features.shape[1]), np.zeros((features.shape[1], targets.shape[1]))
    for block in _blocks(len(features)):
        scaled = features[block] * weights[block, None].astype(features.dtype)
        moments += scaled.T @ features[block]
        right += scaled.T @ targets[block].astype(features.dtype)
    factor = cholesky_factor(moments)
    coefficients = cholesky_solve(factor, right)
    if problem.groups is None:
        return coefficients, None
    inverse = triangular_inverse(factor).T.astype(features.dtype)
    whitened = np.concatenate([features[block] @ inverse for block in _blocks(len(features))])
    residuals = targets - features @ coefficients.astype(features.dtype)
    held_out = np.empty(targets.shape)
    single, larger = _split_groups(problem.groups)
    leverages = weights * np.einsum("nd,nd->n", whitened, whitened)
    least = float(np.finfo(features.dtype).eps)  # a row of large weight is fitted exactly, up to rounding
    held_out[single] = targets[single] - residuals[single] / np.maximum(1 - leverages[single, None], least)
    for rows in larger:
        inner = whitened[rows].astype(np.float64)
        outer = (1 + least) * np.eye(len(rows)) - (inner @ inner.T) * weights[rows]
        held_out[rows] = targets[rows] - np.linalg.solve(outer, residuals[rows].astype(np.float64))
    return coefficients, held_out


def _split_groups(groups: Ints) -> tuple[Ints, list[Ints]]:
    """Rows that are a group of their own, and the rows of each larger group."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    single = np.sort(np.array([rows[0] for rows in members if len(rows) == 1], np.int64))
    return single, [rows for rows in members if len(rows) > 1]


def _blocks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _BLOCK):
        yield slice(start, start + _BLOCK)


# -- Cholesky decomposition -------------------------------------------------------------------------------------------

# With two OpenBLAS threads, LAPACK's decomposition crashes from about 16,000 rows on in float64 and 28,000 in float32.
# One thread does not, and takes less processor time.


def cholesky_factor(matrix: Array) -> Array:
    """Lower triangular L [n, n] with L L' = matrix, in its memory; only the lower half of the matrix is read.

    Raises:
        SettingsError: the matrix is not positive definite in its precision.

    >>> cholesky_factor(np.array([[4.0, 0.0], [2.0, 2.0]]))
    array([[2., 0.],
           [1., 1.]])
    """
    try:
        with threadpool_limits(1):
            factor = cholesky(matrix.T, lower=False, overwrite_a=True, check_finite=False).T
    except LinAlgError:
        factor = np.full((1, 1), np.nan)
    if not np.isfinite(np.diagonal(factor)).all():
        raise SettingsError(
            "the kernel matrix is not positive definite as rounded: C is too large for these features. "
            "Give a smaller C, normalise the features, or give them as float64."
        )
    return np.asarray(factor)


def cholesky_solve(factor: Array, targets: Array) -> Array:
    """X [n, k] with L L' X = targets."""
    with threadpool_limits(1):
        return np.asarray(cho_solve((factor.T, False), targets.astype(factor.dtype), check_finite=False))


def triangular_inverse(factor: Array) -> Array:
    """The inverse of L, in its memory."""
    (invert,) = get_lapack_funcs(("trtri",), (factor,))
    with threadpool_limits(1):
        return np.asarray(invert(factor.T, lower=0, overwrite_c=1)[0].T)
