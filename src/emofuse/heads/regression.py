"""The regression behind a kernel ELM, solved the way that fits its size: by rows, by features, or on landmarks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.errors import SettingsError
from emofuse.heads import cholesky, ridge
from emofuse.heads.kernels import Expansion, Kernel, between, centre_of, centred, gram, square_norms

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

_LANDMARKS = 2000  # where the kernel matrix does not fit: 60,000 rows in seconds, accuracy equal
_FEWEST_LANDMARKS = 50
_ROUNDINGS = 20  # a ridge below so many times the rounding error of the kernel matrix needs float64
_MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """How a regression may be approximated; landmarks: None for exact where it fits into the memory."""

    landmarks: int | None
    memory_mb: float
    seed: int


@dataclass(frozen=True, eq=False)
class Problem:
    """Features [n, d] to give targets [n, k]; penalties [n], 1 / (C w), as `emofuse.heads.ridge` takes them.

    groups: int [n], rows that held-out values leave out together; None where these are not wanted.
    """

    kernel: Kernel
    features: Array
    targets: Array
    penalties: Doubles
    groups: Ints | None


def precision(features: Array, kernel: Kernel, least_penalty: float) -> type[np.floating[Any]]:
    """float64 where float32 would round away the smallest ridge; else the type of the features."""
    trace = len(features) if kernel.needs_distances else float(square_norms(features).sum(dtype=np.float64))
    # It bounds the largest eigenvalue, and with it what rounding does to the kernel matrix.
    enough = least_penalty >= _ROUNDINGS * float(np.finfo(features.dtype).eps) * trace
    return features.dtype.type if enough else np.float64


def solve(problem: Problem, limits: Limits) -> tuple[Expansion, int, Doubles | None]:
    """The fitted sums, how many landmarks they stand on (0: exact), and values of rows held out, [n, k].

    Raises:
        SettingsError: more memory is needed than allowed, or a matrix is not positive definite as rounded.
    """
    dtype = precision(problem.features, problem.kernel, float(problem.penalties.min()))
    problem = replace(problem, features=problem.features.astype(dtype, copy=False))
    rows, width = problem.features.shape
    size = problem.features.itemsize
    if problem.kernel.is_linear and width < rows and limits.landmarks is None:
        _fits(rows * width * size + 3 * width**2 * 8, limits)
        return _by_features(problem)
    if limits.landmarks is None and rows**2 * size <= limits.memory_mb * _MB:
        return _exact(problem)
    # Mapped rows [rows, count] twice and three matrices [count, count] in float64: as many as the memory holds.
    half = rows * size
    most = int((np.sqrt(half**2 + 24 * limits.memory_mb * _MB) - half) / 24)
    count = min(limits.landmarks or max(min(_LANDMARKS, most), _FEWEST_LANDMARKS), rows)
    _fits(2 * rows * count * size + 24 * count**2, limits)
    return _on_landmarks(problem, np.random.default_rng(limits.seed).choice(rows, count, replace=False))


def _fits(needed: float, limits: Limits) -> None:
    if needed > limits.memory_mb * _MB:
        raise SettingsError(
            f"KernelELM: needs {needed / _MB:.0f} MB, memory_mb allows {limits.memory_mb:g}; "
            "raise memory_mb, give fewer landmarks (landmarks=500), or fewer rows."
        )


def _exact(problem: Problem) -> tuple[Expansion, int, Doubles | None]:
    centre = centre_of(problem.features, problem.kernel)
    features = centred(problem.features, centre)
    matrix = gram(features, problem.kernel, lower=True)
    coefficients, held = ridge.by_rows(matrix, problem.targets, problem.penalties, problem.groups)
    offset = np.zeros(problem.targets.shape[1])
    return Expansion.of(problem.kernel, features, coefficients, offset=offset, centre=centre), 0, held


def _by_features(problem: Problem) -> tuple[Expansion, int, Doubles | None]:
    coefficients, held = ridge.by_columns(problem.features, problem.targets, problem.penalties, problem.groups)
    rows = np.ascontiguousarray(coefficients.T.astype(problem.features.dtype))
    return Expansion.linear(rows, np.zeros(len(rows))), 0, held


def _on_landmarks(problem: Problem, chosen: Ints) -> tuple[Expansion, int, Doubles | None]:
    """Source: Williams and Seeger 2001, Using the Nystroem Method to Speed Up Kernel Machines."""
    kernel, centre = problem.kernel, centre_of(problem.features, problem.kernel)
    features = centred(problem.features, centre)
    marks = features[np.sort(chosen)]
    matrix = gram(marks.astype(np.float64), kernel, lower=True)
    # Directions that rounding has made, of the features or of this matrix, would only add noise.
    rounding = max(10 * np.finfo(features.dtype).eps, 100 * len(marks) * np.finfo(np.float64).eps)
    matrix[np.diag_indices(len(marks))] += rounding * np.trace(matrix) / len(marks)
    inverse = cholesky.inverse(cholesky.factor(matrix))
    mapped = np.empty((len(features), len(marks)), features.dtype)
    turn = np.ascontiguousarray(inverse.T.astype(features.dtype))
    for rows, block in between(features, marks, kernel):
        mapped[rows] = block @ turn
    coefficients, held = ridge.by_columns(mapped, problem.targets, problem.penalties, problem.groups)
    offset = np.zeros(problem.targets.shape[1])
    sums = Expansion.of(kernel, marks, inverse.T @ coefficients, offset=offset, centre=centre)
    return sums, len(marks), held
