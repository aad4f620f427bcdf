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


def witnesses(frames: int, *, loud: float = 1.0, seed: int = 0) -> tuple[SystemScores, np.ndarray]:
    """Two independent, calibrated witnesses of three classes; the second speaks `loud` times as surely as it may."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, frames)
    logits = rng.normal(size=(2, frames, 3)) + 1.2 * np.eye(3)[truth]
    # Of a normal evidence of unit deviation and shift 1.2, the logit of the posterior is 1.2 times it.
    values = softmax(1.2 * logits * np.array([1.0, loud])[:, None, None], axis=2).astype(np.float32)
    return SystemScores(values, np.ones((2, frames), bool), ("face", "voice"), ABC), truth


def fitted(stack: SystemScores, truth: np.ndarray, **settings: float) -> LogPoolFusion:
    return LogPool(**settings).fit(stack, truth, metrics.uar_of, CHANCE)


def test_independent_calibrated_witnesses_are_multiplied():
    found = fitted(*witnesses(20_000), strength=0)
    assert found.exponents == pytest.approx(1, abs=0.08)


def test_who_speaks_three_times_as_surely_as_it_may_gets_a_third_of_the_exponent():
    found = fitted(*witnesses(20_000, loud=3), strength=0)
    assert found.exponents[0] == pytest.approx(1, abs=0.08)
    assert found.exponents[1] == pytest.approx(1 / 3, abs=0.03)


def test_what_comes_out_is_calibrated_and_better_than_either_part():
    found = fitted(*witnesses(5_000, loud=3, seed=1))
    stack, truth = witnesses(5_000, loud=3, seed=2)
    fused = found.values(stack)
    assert metrics.calibration_error(truth, fused) < 0.02 < metrics.calibration_error(truth, stack.values[1])
    right = [(values.argmax(axis=1) == truth).mean() for values in (*stack.values, fused)]
    assert right[2] > max(right[:2]) + 0.03


def test_a_part_that_is_not_valid_and_one_that_finds_all_classes_alike_change_nothing():
    pool = LogPoolFusion("log-pool", ("face", "voice"), ABC, np.array([[1.0, 0.5, 2.0], [0.3, 0.7, 0.9]]))
    alone = LogPoolFusion("log-pool", ("face",), ABC, pool.exponents[:1])([scores("face", [[1, 2, 3]])])
    for said, valid in ([1, 0, 0], False), ([2, 2, 2], True):
        fused = pool([scores("face", [[1, 2, 3]]), scores("voice", [said], [valid])])
        assert fused.values == pytest.approx(alone.values, abs=1e-6)


def test_where_nothing_is_valid_the_fused_scores_are_not():
    pool = LogPoolFusion("log-pool", ("face",), ABC, np.ones((1, 3)))
    fused = pool([scores("face", [[1, 2, 3], [1, 2, 3]], [True, False])])
    assert fused.valid.tolist() == [True, False]
    assert fused.values[1].tolist() == [0, 0, 0]


def test_a_class_that_never_occurs_gets_the_mean_of_the_others():
    stack, truth = witnesses(2_000)
    known = SystemScores(stack.values[:, truth != 1], stack.valid[:, truth != 1], stack.systems, ABC)
    exponents = fitted(known, truth[truth != 1]).exponents
    assert exponents[:, 1] == pytest.approx(exponents[:, [0, 2]].mean(axis=1))


def test_the_pull_makes_the_exponents_of_a_part_alike():
    stack, truth = witnesses(300, seed=4)
    spread = [float(fitted(stack, truth, strength=s).exponents.std(axis=1).max()) for s in (0.0, 0.1, 100.0)]
    assert spread[0] > spread[1] > spread[2]
    assert spread[2] < 1e-3


def test_a_part_that_misleads_gets_no_exponent_below_zero():
    stack, truth = witnesses(2_000)
    values = np.stack([stack.values[0], np.roll(stack.values[1], 1, axis=1)])
    found = fitted(SystemScores(values, stack.valid, stack.systems, ABC), truth)
    assert found.exponents[1] == pytest.approx(0, abs=0.05)
    assert found.exponents.min() >= 0


def test_weakened_scales_the_exponents_of_a_pool_and_the_share_in_a_sum():
    pool = LogPoolFusion("log-pool", ("face", "voice"), labels(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert pool.weakened("voice", 0.5).exponents.tolist() == [[1, 2], [1.5, 2]]
    half = np.full((2, 2), 0.5, np.float32)
    table = WeightedFusion("mcwf", ("face", "voice"), labels(2), half).weakened("voice", 0.5).table
    assert table == pytest.approx(np.array([[2 / 3] * 2, [1 / 3] * 2]))


@pytest.mark.parametrize("exponents", [np.ones((2, 3)), -np.ones((1, 3)), np.full((1, 3), np.nan)])
def test_exponents_of_other_shape_or_sign_are_refused(exponents):
    with pytest.raises(ShapeError, match="finite and not negative; fit the fusion again"):
        LogPoolFusion("log-pool", ("face",), ABC, exponents)


@pytest.mark.parametrize("wrong", [{"strength": -1.0}, {"balance": 2.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match="give at least 0, and 0 to 1"):
        LogPool(**wrong)
