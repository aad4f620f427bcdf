from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emofuse import metrics
from emofuse.core.types import Scores
from emofuse.errors import SettingsError, ShapeError
from emofuse.fusion import SystemScores
from emofuse.fusion.stacking import StackedFusion, Stacking
from emofuse.testing.fusion import Clip, clip, fit
from support.fusion_scores import ABC, labels, scores


def confused(seed: int, classes: int = 3) -> Clip:
    """A system that always predicts the class after the right one."""
    (given,), truth = clip(["face"], frames=200, seed=seed, label_set=labels(classes))
    return [replace(given, values=np.roll(given.values, 1, axis=1))], truth


def test_stacking_corrects_a_system_that_confuses_classes():
    clips = [confused(seed) for seed in range(3)]
    (given, truth), fitted = clips[0], fit(Stacking(), clips)
    right = fitted(given).predictions() == truth
    assert right[given[0].valid & (truth >= 0)].mean() > 0.8


def test_fused_scores_are_probabilities():
    clips = [clip(["face", "voice"], frames=100, seed=n) for n in range(2)]
    fused = fit(Stacking(), clips)(clips[0][0])
    assert fused.values[fused.valid].sum(axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("absent", [0, 1, 3])
def test_a_class_absent_from_the_truth_stays_improbable(absent):
    clips = [(given, np.where(truth == absent, -1, truth)) for given, truth in (clip(["x"], frames=300, seed=5),)]
    fused = fit(Stacking(), clips)(clips[0][0])
    assert fused.values[:, absent].max() < 1 / 200


@pytest.mark.parametrize("present", [[2], [0, 2]])
def test_one_or_two_classes_can_be_fitted(present):
    given, truth = clip(["x", "y"], frames=300, seed=1)
    truth = np.where(np.isin(truth, present), truth, -1)
    best = fit(Stacking(), [(given, truth)])(given).predictions()
    assert set(best.tolist()) - {-1} == set(present)


def test_log_ratios_are_centred_and_zero_where_a_system_is_not_valid():
    face, voice = scores("face", [[1, 2, 0], [1, 1, 1]], [True, False]), scores("voice", [[1, 1, 1]] * 2)
    features = SystemScores.of([[face, voice]]).log_ratios()
    assert features.sum(axis=2) == pytest.approx(0, abs=1e-5)
    assert features[1, 0].tolist() == [0, 0, 0]
    assert features[0, 0, 1] - features[0, 0, 0] == pytest.approx(np.log(2))


def test_where_a_system_is_not_valid_the_others_take_over_its_norm():
    blocks = np.stack([3 * np.eye(3), np.eye(3)])
    fitted = StackedFusion("stacking", ("face", "voice"), ABC, blocks, np.zeros(3))
    given: list[Scores] = [scores("face", [[1, 2, 3]], [False]), scores("voice", [[1, 2, 3]])]
    alone = StackedFusion("stacking", ("voice",), ABC, 4 * np.eye(3)[None], np.zeros(3))
    assert fitted(given).values == pytest.approx(alone(given[1:]).values)


def test_how_often_rare_classes_are_predicted_depends_on_the_measure():
    rng = np.random.default_rng(0)
    truth = (rng.random(4000) < 0.1).astype(np.int64)
    lean = 1 / (1 + np.exp(-(truth * 1.5 - 0.75 + rng.normal(size=4000))))
    given = [scores("face", np.stack([1 - lean, lean], axis=1), label_set=labels(2))]
    rare = {}
    for name in ("uar", "accuracy"):
        fitted = Stacking().fit(SystemScores.of([given]), truth, metrics.MEASURES[name], np.random.default_rng(0))
        rare[name] = (fitted(given).predictions() == 1).mean()
    assert rare["uar"] > 2 * rare["accuracy"]


def test_arrays_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"coefficient of stacking: float64 .1, 2, 3., not finite float64 .1, 3, 3."):
        StackedFusion("stacking", ("face",), ABC, np.zeros((1, 2, 3)), np.zeros(3))


def test_strength_must_be_above_0():
    with pytest.raises(SettingsError, match="strength 0"):
        Stacking(strength=0)
