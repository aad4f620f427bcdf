from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.errors import LabelError, ShapeError
from emofuse.fusion.weighted import WeightedFusion, renormalised, weighted_sum
from support.fusion_scores import ABC, clips, labels, scores, seeds, system_scores, tables

HALVES = np.full((2, 3), 0.5, np.float32)


def test_equal_weights_of_two_systems_are_their_mean():
    fused = WeightedFusion("mean", ("face", "voice"), ABC, HALVES)(
        [scores("face", [[1, 0, 0]]), scores("voice", [[0, 0.5, 0.5]])]
    )
    assert fused.values.tolist() == [[0.5, 0.25, 0.25]]
    assert fused.system == "mean"


def test_where_a_system_is_not_valid_the_other_has_full_weight():
    fused = WeightedFusion("mean", ("face", "voice"), ABC, HALVES)(
        [scores("face", [[1, 0, 0]] * 3, [True, False, False]), scores("voice", [[0, 1, 0]] * 3, [True, True, False])]
    )
    assert fused.values.tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 0]]
    assert fused.valid.tolist() == [True, True, False]


def test_weights_are_renormalised_for_each_class_separately():
    table = np.array([[0.5, 0.2], [0.3, 0.2], [0.2, 0.6]], np.float32)
    left = renormalised(table, np.array([True, True, False]))
    assert left == pytest.approx(np.array([[0.625, 0.5], [0.375, 0.5], [0, 0]]))


def test_valid_systems_without_any_weight_are_weighted_equally():
    table = np.array([[0, 0.5], [0, 0.25], [1, 0.25]], np.float32)
    left = renormalised(table, np.array([True, True, False]))
    assert left == pytest.approx(np.array([[0.5, 2 / 3], [0.5, 1 / 3], [0, 0]]))


@given(seeds, st.integers(1, 6), st.integers(2, 5))
def test_renormalised_weights_sum_to_one_over_the_valid_systems(seed, systems, classes):
    rng = np.random.default_rng(seed)
    valid = rng.random(systems) < 0.6
    valid[0] = True
    left = renormalised(tables(rng, 3, systems, classes), valid)
    assert (left[:, ~valid] == 0).all()
    if not valid.all():
        assert left.sum(axis=1) == pytest.approx(1, abs=1e-5)


@given(seeds)
def test_mcwf_probabilities_sum_to_one_and_keep_the_best_class(seed):
    rng = np.random.default_rng(seed)
    given, _ = system_scores(rng, systems=3, frames=30, classes=4, valid=0.7)
    table = rng.dirichlet(np.ones(3), size=4).T.astype(np.float32)
    fused = WeightedFusion("mcwf", given.systems, given.label_set, table)(clips(given, 30)[0])
    probabilities = fused.probabilities()
    assert probabilities[fused.valid].sum(axis=1) == pytest.approx(1, abs=1e-6)
    top = fused.values[np.arange(30), probabilities.argmax(axis=1)]
    assert top == pytest.approx(fused.values.max(axis=1), rel=1e-6)  # division may round two scores to the same value


def test_mcwf_scores_are_not_normalised():
    table = np.array([[1, 0, 0], [0, 1, 1]], np.float32)
    fused = WeightedFusion("mcwf", ("face", "voice"), ABC, table)(
        [scores("face", [[1, 0, 0]]), scores("voice", [[0, 1, 0]])]
    )
    assert fused.values.tolist() == [[1, 1, 0]]


def test_the_order_of_the_scores_does_not_matter():
    table = np.array([[0.9] * 3, [0.1] * 3], np.float32)
    fusion = WeightedFusion("swf", ("face", "voice"), ABC, table)
    face, voice = scores("face", [[1, 0, 0]]), scores("voice", [[0, 1, 0]])
    assert fusion([face, voice]).values.tolist() == fusion([voice, face]).values.tolist()


def test_concatenated_clips_and_single_clips_are_fused_equally():
    given, _ = system_scores(np.random.default_rng(0), systems=3, frames=40, classes=3, valid=0.7)
    table = np.random.default_rng(1).dirichlet(np.ones(3), size=3).T.astype(np.float32)
    fusion = WeightedFusion("mcwf", given.systems, given.label_set, table)
    # Scores of a clip are normalised once more, which changes their rounding.
    fused = [fusion(clip).values for clip in clips(given, 10)]
    assert np.concatenate(fused) == pytest.approx(weighted_sum(given, table), abs=1e-6)


def test_a_missing_system_is_named():
    fusion = WeightedFusion("swf", ("face", "voice"), ABC, HALVES)
    with pytest.raises(ShapeError, match="systems face, expected face, voice; give the scores of exactly these"):
        fusion([scores("face", [[1, 0, 0]])])


def test_other_labels_are_refused():
    fusion = WeightedFusion("swf", ("face",), labels(3), np.ones((1, 3), np.float32))
    with pytest.raises(LabelError, match="labels of 'face' are a, b, c, not class 0"):
        fusion([scores("face", [[1, 0, 0]])])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.full((3, 2), 0.5, np.float32), "float32 .3, 2., not float32 .2, 3."),
        (np.full((2, 3), 0.4, np.float32), "their sum is not one"),
        (np.array([[1.5] * 3, [-0.5] * 3], np.float32), "negative"),
        (np.full((2, 3), np.nan, np.float32), "not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(table, message):
    with pytest.raises(ShapeError, match=message):
        WeightedFusion("swf", ("face", "voice"), ABC, table)
