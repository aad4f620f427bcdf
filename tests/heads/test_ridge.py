"""Cholesky decomposition and inverse against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.errors import SettingsError
from emofuse.heads.ridge import cholesky_factor, cholesky_solve, triangular_inverse


def _definite(n: int, seed: int = 0) -> np.ndarray:
    roots = np.random.default_rng(seed).normal(size=(n, n + 5))
    return roots @ roots.T / n + 0.1 * np.eye(n)


@pytest.mark.parametrize("n", [1, 511, 512, 1300])
def test_solutions_and_inverses_equal_numpy(n):
    matrix, targets = _definite(n), np.random.default_rng(1).normal(size=(n, 3))
    half = np.tril(matrix) + np.triu(np.full_like(matrix, np.nan), 1)  # nothing above the diagonal is read
    lower = cholesky_factor(half)
    np.testing.assert_allclose(cholesky_solve(lower, targets), np.linalg.solve(matrix, targets), rtol=1e-8, atol=1e-9)
    inverse = triangular_inverse(lower)
    assert np.shares_memory(inverse, half)
    np.testing.assert_allclose(inverse.T @ inverse, np.linalg.inv(matrix), rtol=1e-8, atol=1e-9)


def test_a_matrix_that_is_not_positive_definite_is_refused():
    with pytest.raises(SettingsError, match="smaller C"):
        cholesky_factor(-np.eye(3))


def test_a_matrix_with_nan_is_refused():
    with pytest.raises(SettingsError, match="not positive definite"):
        cholesky_factor(np.where(np.eye(3) == 1, np.nan, 0.0))


@pytest.mark.slow
def test_17000_rows_in_float64_do_not_crash():
    n = 17_000
    matrix = np.zeros((n, n))
    matrix[np.diag_indices(n)] = 4.0
    matrix[np.arange(1, n), np.arange(n - 1)] = 1.0
    lower = cholesky_factor(matrix)
    assert np.isfinite(cholesky_solve(lower, np.ones((n, 1)))).all()
