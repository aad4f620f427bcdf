"""The blocked decomposition against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.errors import SettingsError
from emofuse.heads import cholesky


def _definite(n: int, seed: int = 0) -> np.ndarray:
    roots = np.random.default_rng(seed).normal(size=(n, n + 5))
    return roots @ roots.T / n + 0.1 * np.eye(n)


@pytest.mark.parametrize("n", [1, 511, 512, 1300])
def test_solving_and_inverting_by_blocks_equal_numpy(n):
    matrix, targets = _definite(n), np.random.default_rng(1).normal(size=(n, 3))
    half = np.tril(matrix) + np.triu(np.full_like(matrix, np.nan), 512)  # far above the diagonal nothing is read
    lower = cholesky.factor(half)
    np.testing.assert_allclose(cholesky.solve(lower, targets), np.linalg.solve(matrix, targets), rtol=1e-8, atol=1e-9)
    upper = cholesky.inverse(lower)
    np.testing.assert_allclose(upper.T @ upper, np.linalg.inv(matrix), rtol=1e-8, atol=1e-9)


def test_a_matrix_that_is_not_definite_says_what_to_do():
    with pytest.raises(SettingsError, match="smaller C"):
        cholesky.factor(-np.eye(3))


@pytest.mark.slow
def test_seventeen_thousand_rows_in_float64_do_not_end_the_process():
    n = 17_000
    matrix = np.zeros((n, n))
    matrix[np.diag_indices(n)] = 4.0
    matrix[np.arange(1, n), np.arange(n - 1)] = 1.0
    lower = cholesky.factor(matrix)
    assert np.isfinite(cholesky.solve(lower, np.ones((n, 1)))).all()
