"""Normalisation of features."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.errors import SettingsError
from emofuse.heads.normalisation import Normaliser


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(50, 4)) * [1, 5, 0.1, 0] + [0, 3, -2, 7]


def test_minmax_and_znorm_bring_training_rows_to_their_range(features):
    _, scaled = Normaliser.fit(features, "minmax")
    np.testing.assert_allclose([scaled.min(axis=0), scaled.max(axis=0)], [[0] * 4, [1, 1, 1, 0]])
    _, scaled = Normaliser.fit(features, "znorm")
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 1, 1, 0])


def test_power_is_the_signed_root_and_l2_gives_rows_of_length_one():
    _, rows = Normaliser.fit(np.array([[-9.0, 16.0], [0.0, 0.0]]), "power")
    np.testing.assert_array_equal(rows, [[-3, 4], [0, 0]])
    _, rows = Normaliser.fit(rows, "l2")
    np.testing.assert_allclose(rows, [[-0.6, 0.8], [0, 0]])


def test_steps_are_applied_in_order_with_parameters_of_training_rows(features):
    fitted, _ = Normaliser.fit(features[:30], "znorm+power+l2")
    rows = (features[30:] - features[:30].mean(axis=0)) / np.where(
        features[:30].std(axis=0) > 0, features[:30].std(axis=0), 1
    )
    rows = np.sign(rows) * np.sqrt(np.abs(rows))
    np.testing.assert_allclose(fitted(features[30:]), rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_float32_stays_float32(features):
    fitted, rows = Normaliser.fit(features.astype(np.float32), "minmax+power+l2")
    assert rows.dtype == fitted(features.astype(np.float32)).dtype == np.float32


def test_a_mistyped_step_is_named():
    with pytest.raises(SettingsError, match="'znrom': unknown \\(did you mean 'znorm'"):
        Normaliser.fit(np.ones((2, 2)), "l2+znrom")
