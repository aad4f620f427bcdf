"""The kernel ELM against its closed form."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.core.class_weights import class_weights
from emofuse.errors import SettingsError
from emofuse.heads import KernelELM
from emofuse.heads.kernels import Kernel
from emofuse.heads.ridge import RidgeProblem, solve
from emofuse.metrics import calibration_error


def _kernel(name, left, right, g):
    if name == "linear":
        return left @ right.T
    return np.exp(-((left[:, None] - right) ** 2).sum(axis=-1) / g)


def _targets(labels):
    return np.where(labels[:, None] == np.unique(labels), 1.0, -1.0)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize("width", [12, 300])
def test_scores_equal_the_closed_form(random_rows, kernel, width):
    rows, others = random_rows(200, width=width), random_rows(50, width=width, seed=1)
    beta = np.linalg.solve(np.eye(200) / 3 + _kernel(kernel, rows.features, rows.features, 20), _targets(rows.labels))
    head = KernelELM(kernel, g=20.0, C=3.0).fit(rows.features, rows.labels)
    wanted = _kernel(kernel, others.features, rows.features, 20) @ beta
    np.testing.assert_allclose(head.decision_function(others.features), wanted, atol=1e-10)
    np.testing.assert_array_equal(head.predict(others.features), wanted.argmax(axis=1))


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_weighted_scores_equal_the_formula_of_zong(random_rows, kernel):
    rows = random_rows(200)
    by_class = class_weights(np.arange(4), np.bincount(rows.labels), "log", 2.0)
    weights = by_class[rows.labels]
    matrix = _kernel(kernel, rows.features, rows.features, 20)
    beta = np.linalg.solve(np.eye(200) / 3 + weights[:, None] * matrix, weights[:, None] * _targets(rows.labels))
    head = KernelELM(kernel, g=20.0, C=3.0, class_weight="log", mu=2.0).fit(rows.features, rows.labels)
    assert by_class.max() > 1.5
    np.testing.assert_allclose(head.decision_function(rows.features), matrix @ beta, atol=1e-9)


def test_float32_and_float64_have_equal_scores(random_rows):
    rows, others = random_rows(400, width=60), random_rows(400, width=60, seed=1)
    exact = KernelELM(C=10.0).fit(rows.features, rows.labels)
    quick = KernelELM(C=10.0).fit(rows.features.astype(np.float32), rows.labels)
    assert quick.arrays()["vectors"].dtype == np.float32
    np.testing.assert_allclose(
        quick.decision_function(others.features), exact.decision_function(others.features), atol=1e-4
    )


def test_a_penalty_below_the_rounding_errors_of_float32_is_solved_in_float64(random_rows):
    rows = random_rows(200)
    exact = KernelELM(C=1e8).fit(rows.features, rows.labels)
    quick = KernelELM(C=1e8).fit(rows.features.astype(np.float32), rows.labels)
    assert quick.arrays()["vectors"].dtype == np.float64
    assert (quick.predict(rows.features) == exact.predict(rows.features)).all()


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(
    ("kernel", "landmarks"), [("rbf", None), ("linear", None), ("rbf", 40)], ids=["by rows", "by features", "landmarks"]
)
def test_held_out_values_equal_fits_without_the_group(random_rows, kernel, landmarks, grouped):
    rows = random_rows(60)
    groups = rows.groups[np.random.default_rng(0).permutation(60)] if grouped else np.arange(60)
    groups[:3] = 77 if grouped else groups[:3]
    penalties = np.where(rows.labels == 0, 0.5, 0.2)
    form = Kernel(kernel, gamma=0.05)

    def problem(kept, groups):
        return RidgeProblem(form, rows.features[kept], _targets(rows.labels)[kept], penalties[kept], groups)

    held = solve(problem(np.arange(60), groups), landmarks=landmarks).held_out
    if landmarks:  # without a group the landmarks would differ, so the loop keeps them
        held_loop = _landmark_loop(rows, groups, penalties, form)
    else:
        held_loop = np.empty_like(held)
        for group in np.unique(groups):
            rest = np.flatnonzero(groups != group)
            held_loop[groups == group] = solve(problem(rest, None)).function(rows.features[groups == group])
    np.testing.assert_allclose(held, held_loop, atol=1e-6)


def _landmark_loop(rows, groups, penalties, form):
    chosen = np.sort(np.random.default_rng(0).choice(60, 40, replace=False))
    centred = rows.features - rows.features.mean(axis=0)
    cross = _kernel("rbf", centred, centred[chosen], 1 / form.gamma)
    held = np.empty((60, 4))
    for group in np.unique(groups):
        k, t, w = (a[groups != group] for a in (cross, _targets(rows.labels), 1 / penalties))
        inner = (k.T * w) @ k + cross[chosen]
        held[groups == group] = cross[groups == group] @ np.linalg.solve(inner, (k.T * w) @ t)
    return held


def test_landmarks_come_close_to_the_exact_solution(random_rows):
    rows, others = random_rows(1200), random_rows(600, seed=1)
    exact = KernelELM(g=100.0).fit(rows.features, rows.labels)
    for dtype in (np.float32, np.float64):
        near = KernelELM(g=100.0, landmarks=300).fit(rows.features.astype(dtype), rows.labels)
        assert near.landmarks_ == 300
        apart = near.decision_function(others.features) - exact.decision_function(others.features)
        assert np.abs(apart).mean() < 0.005
        assert (near.predict(others.features) == exact.predict(others.features)).mean() > 0.98


def test_the_memory_limit_selects_landmarks_and_a_lower_limit_is_refused(random_rows):
    rows = random_rows(800)
    landmarks = [KernelELM(memory_mb=limit).fit(rows.features, rows.labels).landmarks_ for limit in (5, 4, 1)]
    assert landmarks[0] == 0
    assert 200 < landmarks[1] < 300
    assert 50 < landmarks[2] < 100
    with pytest.raises(SettingsError, match=r"needs \d+ MB, memory_mb allows 0.5; raise memory_mb"):
        KernelELM(memory_mb=0.5).fit(rows.features, rows.labels)


def test_probabilities_sum_to_one_and_are_calibrated(random_rows):
    rows, others = random_rows(900, apart=1.0), random_rows(4000, apart=1.0, seed=1)
    head = KernelELM(probability=True, C=1.0).fit(rows.features, rows.labels, groups=rows.groups)
    probabilities = head.predict_proba(others.features)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    scores = head.decision_function(others.features)
    raw = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    error = calibration_error(others.labels, probabilities.astype(np.float32))
    assert error < 0.04 < calibration_error(others.labels, raw.astype(np.float32))


def test_normalisation_is_fitted_on_training_rows(random_rows):
    rows, others = random_rows(100), random_rows(30, seed=1)
    mean, std = rows.features.mean(axis=0), rows.features.std(axis=0)
    given = KernelELM(g=20.0, normalisation="znorm").fit(rows.features, rows.labels)
    by_hand = KernelELM(g=20.0).fit((rows.features - mean) / std, rows.labels)
    np.testing.assert_allclose(
        given.decision_function(others.features), by_hand.decision_function((others.features - mean) / std), atol=1e-10
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": "rbv"}, "kernel 'rbv': unknown \\(did you mean 'rbf'"),
        ({"normalisation": "l3"}, "normalisation 'l3': unknown \\(did you mean 'l2'"),
        ({"C": -1}, "C is -1; give a number above 0"),
        ({"g": 0.0}, "g is 0.0; give a number above 0"),
    ],
)
def test_an_invalid_setting_is_named(random_rows, settings, message):
    rows = random_rows(20)
    with pytest.raises(SettingsError, match=message):
        KernelELM(**settings).fit(rows.features, rows.labels)
