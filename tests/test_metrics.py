from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score

from emofuse import metrics
from emofuse.errors import ShapeError

COUNTS = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])

# Truth and guess of a few frames in seven classes; in short lists classes are absent from one or both.
labels = st.lists(st.tuples(st.integers(-1, 6), st.integers(0, 6)), min_size=1, max_size=60).filter(
    lambda pairs: any(t >= 0 for t, _ in pairs)
)


def split(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    truth, guess = np.array(pairs).T
    return truth, guess


def known(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    truth, guess = split(pairs)
    return truth[truth >= 0], guess[truth >= 0]


@given(labels)
def test_confusion_counts_as_scikit_learn_does(pairs):
    expected = confusion_matrix(*known(pairs), labels=range(7))
    assert np.array_equal(metrics.confusion(*split(pairs)), expected)


@given(labels)
def test_f1_and_accuracy_equal_scikit_learn(pairs):
    truth, guess = known(pairs)
    assert metrics.macro_f1(*split(pairs)) == pytest.approx(f1_score(truth, guess, average="macro"), abs=1e-12)
    assert metrics.weighted_f1(*split(pairs)) == pytest.approx(f1_score(truth, guess, average="weighted"), abs=1e-12)
    assert metrics.accuracy(*split(pairs)) == pytest.approx(accuracy_score(truth, guess), abs=1e-12)


@given(labels)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
def test_uar_equals_the_balanced_accuracy_of_scikit_learn(pairs):
    assert metrics.uar(*split(pairs)) == pytest.approx(balanced_accuracy_score(*known(pairs)), abs=1e-12)


@given(labels)
def test_cpm_is_two_thirds_macro_f1_and_one_third_accuracy(pairs):
    truth, guess = known(pairs)
    expected = 0.67 * f1_score(truth, guess, average="macro") + 0.33 * accuracy_score(truth, guess)
    assert metrics.cpm(*split(pairs)) == pytest.approx(expected, abs=1e-12)


@given(labels, st.lists(st.integers(0, 6), max_size=20))
def test_unlabelled_frames_never_change_a_score(pairs, guesses):
    longer = pairs + [(-1, g) for g in guesses]
    for name in ("cpm", "macro_f1", "weighted_f1", "accuracy", "uar"):
        score = getattr(metrics, name)
        assert score(*split(longer)) == score(*split(pairs))


def test_predictions_at_unlabelled_frames_are_ignored():
    assert metrics.confusion([0, -1], [0, -1], classes=2).tolist() == [[1, 0], [0, 0]]


def test_scores_of_a_class_are_nan_where_they_are_undefined():
    assert metrics.recalls_of(COUNTS) == pytest.approx([0.75, 1, np.nan], nan_ok=True)
    assert metrics.precisions_of(COUNTS) == pytest.approx([1, 2 / 3, np.nan], nan_ok=True)
    assert metrics.f1_of(COUNTS) == pytest.approx([6 / 7, 0.8, np.nan], nan_ok=True)


def test_uar_leaves_out_classes_that_do_not_occur():
    assert metrics.uar_of(COUNTS) == pytest.approx((3 / 4 + 1) / 2)


@pytest.mark.parametrize("name", metrics.MEASURES)
def test_a_measure_of_many_matrices_is_the_measure_of_each(name):
    many = np.random.default_rng(0).integers(0, 4, (5, 3, 4, 4))
    measure = metrics.MEASURES[name]
    each = np.array([[measure(m) for m in row] for row in many])
    assert measure(many) == pytest.approx(each, abs=1e-12)


@pytest.mark.parametrize("name", metrics.MEASURES)
def test_a_measure_of_empty_counts_is_nan(name):
    assert np.isnan(metrics.MEASURES[name](np.zeros((3, 3), int)))


def test_a_length_mismatch_says_how_to_fix_it():
    with pytest.raises(ShapeError, match=r"truth has 2 frames, guess has 1 frames\. Bring .* scores\.onto"):
        metrics.cpm([0, 1], [0])


@pytest.mark.parametrize(
    ("truth", "guess", "message"),
    [
        ([0, 7], [0, 0], "truth runs from 0 to 7 where frames are labelled; allowed are 0 to 6"),
        ([0, 1], [0, -1], r"guess runs from -1 to 0 .* scores\.filled\(\)"),
        ([0, -2], [0, 0], "truth runs from -2 to 0"),
        ([0, 1], [0.0, 1.0], "guess has type float64; give class indices"),
        ([-1, -1], [0, 0], "no frame is labelled"),
    ],
)
def test_labels_that_cannot_be_scored_are_refused(truth, guess, message):
    with pytest.raises(ShapeError, match=message):
        metrics.cpm(truth, guess)


def test_the_interval_of_a_bootstrap_is_that_of_a_slow_loop():
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 20, (12, 3, 3))
    slow = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), size=300)
    values = [float(metrics.cpm_of(sum(n * c for n, c in zip(draw, counts, strict=True)))) for draw in slow]
    found = metrics.bootstrap(counts, resamples=300, seed=0)
    assert [found.low, found.high] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=1e-12)
    assert found.value == float(metrics.cpm_of(counts.sum(axis=0)))


def test_the_interval_covers_the_true_accuracy_at_its_nominal_rate():
    # 200 samples of 40 clips with very different accuracies; the mean accuracy of all clips is 0.5.
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        right = rng.binomial(50, rng.uniform(0, 1, 40))
        counts = np.zeros((40, 2, 2), int)
        counts[:, 0, 0], counts[:, 0, 1] = right, 50 - right
        found = metrics.bootstrap(counts, metrics.accuracy_of, resamples=300)
        covered += found.low <= 0.5 <= found.high
    assert 0.88 < covered / 200 < 0.99


def test_a_single_clip_has_no_interval():
    found = metrics.bootstrap(np.array([[[1, 1], [0, 2]]]), metrics.accuracy_of)
    assert found.value == 0.75
    assert np.isnan([found.low, found.high]).all()


def test_a_resample_without_labelled_clips_is_ignored():
    counts = np.zeros((2, 2, 2), int)
    counts[0, 0, 0] = 3  # the other clip is not labelled at all: every fourth draw has no counts
    assert metrics.bootstrap(counts, metrics.accuracy_of) == metrics.Estimate(1.0, 1.0, 1.0)


def test_several_measures_have_the_intervals_of_each_alone():
    counts = np.random.default_rng(3).integers(0, 20, (9, 4, 4))
    found = metrics.bootstraps(counts, resamples=200, seed=5)
    alone = {name: metrics.bootstrap(counts, m, resamples=200, seed=5) for name, m in metrics.MEASURES.items()}
    assert found == alone


def test_counts_without_any_label_have_neither_value_nor_interval():
    found = metrics.bootstrap(np.zeros((3, 2, 2), int))
    assert np.isnan([found.value, found.low, found.high]).all()


def test_counts_of_a_wrong_shape_are_refused():
    with pytest.raises(ShapeError, match=r"give \[clips, classes, classes\]"):
        metrics.bootstrap(np.zeros((2, 3)))


def test_calibration_error_is_zero_when_confidence_is_accuracy():
    # Ten rows at confidence 0.6, six of them right.
    probabilities = np.tile(np.array([[0.6, 0.4]], np.float32), (10, 1))
    assert metrics.calibration_error(np.array([0] * 6 + [1] * 4), probabilities) == pytest.approx(0, abs=1e-6)


def test_calibration_error_is_the_gap_of_overconfidence():
    probabilities = np.tile(np.array([[0.9, 0.1]], np.float32), (10, 1))
    assert metrics.calibration_error(np.array([0] * 5 + [1] * 5), probabilities) == pytest.approx(0.4, abs=1e-6)


def test_undefined_metrics_are_null_in_json_and_have_no_interval_on_a_card():
    estimates = {"uar": metrics.Estimate(0.123456, 0.1, 0.2), "cpm": metrics.Estimate(0.5, np.nan, np.nan)}
    assert metrics.to_json(estimates) == {"uar": [0.123456, 0.1, 0.2], "cpm": [0.5, None, None]}
    assert metrics.card_metrics(estimates) == {"uar": 0.1235, "cpm": 0.5, "interval": {"uar": [0.1, 0.2]}}
