from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from emofuse import metrics
from emofuse.errors import SettingsError, ShapeError
from emofuse.fusion import SystemScores
from emofuse.fusion.log_pool import LogPool, LogPoolFusion
from emofuse.fusion.weighted import WeightedFusion
from support.fusion_scores import ABC, labels, scores

CHANCE = np.random.default_rng(0)


def independent(frames: int, *, overconfidence: float = 1.0, seed: int = 0) -> tuple[SystemScores, np.ndarray]:
    """Two independent, calibrated systems for three classes; the logits of the second are then scaled."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, frames)
    logits = rng.normal(size=(2, frames, 3)) + 1.2 * np.eye(3)[truth]
    # For normal evidence of unit deviation and shift 1.2, the posterior logit is 1.2 times the evidence.
    values = softmax(1.2 * logits * np.array([1.0, overconfidence])[:, None, None], axis=2).astype(np.float32)
    return SystemScores(values, np.ones((2, frames), bool), ("face", "voice"), ABC), truth


def fitted(given: SystemScores, truth: np.ndarray, **settings: float) -> LogPoolFusion:
    return LogPool(**settings).fit(given, truth, metrics.uar_of, CHANCE)


def test_independent_calibrated_systems_are_multiplied():
    found = fitted(*independent(20_000), strength=0)
    assert found.exponents == pytest.approx(1, abs=0.08)


def test_a_system_with_logits_three_times_too_large_gets_a_third_of_the_exponent():
    found = fitted(*independent(20_000, overconfidence=3), strength=0)
    assert found.exponents[0] == pytest.approx(1, abs=0.08)
    assert found.exponents[1] == pytest.approx(1 / 3, abs=0.03)


def test_fused_probabilities_are_calibrated_and_better_than_either_system():
    found = fitted(*independent(5_000, overconfidence=3, seed=1))
    given, truth = independent(5_000, overconfidence=3, seed=2)
    fused = found.values(given)
    assert metrics.calibration_error(truth, fused) < 0.02 < metrics.calibration_error(truth, given.values[1])
    right = [(values.argmax(axis=1) == truth).mean() for values in (*given.values, fused)]
    assert right[2] > max(right[:2]) + 0.03


def test_an_invalid_system_and_one_with_equal_probabilities_change_nothing():
    pool = LogPoolFusion("log-pool", ("face", "voice"), ABC, np.array([[1.0, 0.5, 2.0], [0.3, 0.7, 0.9]]))
    alone = LogPoolFusion("log-pool", ("face",), ABC, pool.exponents[:1])([scores("face", [[1, 2, 3]])])
    for row, valid in ([1, 0, 0], False), ([2, 2, 2], True):
        fused = pool([scores("face", [[1, 2, 3]]), scores("voice", [row], [valid])])
        assert fused.values == pytest.approx(alone.values, abs=1e-6)


def test_fused_scores_are_invalid_where_no_system_is_valid():
    pool = LogPoolFusion("log-pool", ("face",), ABC, np.ones((1, 3)))
    fused = pool([scores("face", [[1, 2, 3], [1, 2, 3]], [True, False])])
    assert fused.valid.tolist() == [True, False]
    assert fused.values[1].tolist() == [0, 0, 0]


def test_a_class_that_never_occurs_gets_the_mean_exponent():
    given, truth = independent(2_000)
    without = SystemScores(given.values[:, truth != 1], given.valid[:, truth != 1], given.systems, ABC)
    exponents = fitted(without, truth[truth != 1]).exponents
    assert exponents[:, 1] == pytest.approx(exponents[:, [0, 2]].mean(axis=1))


def test_the_penalty_makes_the_exponents_of_a_system_equal():
    given, truth = independent(300, seed=4)
    spread = [float(fitted(given, truth, strength=s).exponents.std(axis=1).max()) for s in (0.0, 0.1, 100.0)]
    assert spread[0] > spread[1] > spread[2]
    assert spread[2] < 1e-3


def test_a_misleading_system_gets_exponents_of_zero():
    given, truth = independent(2_000)
    values = np.stack([given.values[0], np.roll(given.values[1], 1, axis=1)])
    found = fitted(SystemScores(values, given.valid, given.systems, ABC), truth)
    assert found.exponents[1] == pytest.approx(0, abs=0.05)
    assert found.exponents.min() >= 0


def test_the_class_weights_of_a_pool_are_its_exponents():
    pool = LogPoolFusion("log-pool", ("face",), ABC, np.array([[1.0, 2.0, 0.5]]))
    assert pool.class_weights.tolist() == [[1.0, 2.0, 0.5]]


def test_weakened_scales_exponents_of_a_pool_and_relative_weights_of_a_sum():
    pool = LogPoolFusion("log-pool", ("face", "voice"), labels(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert pool.weakened(["voice"], 0.5).exponents.tolist() == [[1, 2], [1.5, 2]]
    half = np.full((2, 2), 0.5, np.float32)
    weights = WeightedFusion("mcwf", ("face", "voice"), labels(2), half).weakened(["voice"], 0.5).class_weights
    assert weights == pytest.approx(np.array([[2 / 3] * 2, [1 / 3] * 2]))


@pytest.mark.parametrize("exponents", [np.ones((2, 3)), -np.ones((1, 3)), np.full((1, 3), np.nan)])
def test_exponents_of_another_shape_or_sign_are_refused(exponents):
    with pytest.raises(ShapeError, match="from 0 up; fit the fusion again"):
        LogPoolFusion("log-pool", ("face",), ABC, exponents)


@pytest.mark.parametrize("wrong", [{"strength": -1.0}, {"balance": 2.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match="give at least 0, and 0 to 1"):
        LogPool(**wrong)
