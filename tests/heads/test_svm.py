"""The support vector machine against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import SVC

from emofuse.errors import SettingsError, ShapeError
from emofuse.heads import SVM
from emofuse.heads.folds import assign_folds
from emofuse.heads.kernels import Kernel
from emofuse.heads.svm import PairwiseProblem
from emofuse.metrics import calibration_error

KERNELS = [
    {"kernel": "poly", "gamma": 0.1, "C": 3.0},
    {"kernel": "poly", "gamma": 0.05, "C": 1.0, "degree": 2, "coef0": 1.0},
    {"kernel": "poly", "gamma": 0.001, "C": 2.0, "degree": 1},
    {"kernel": "rbf", "gamma": 0.05, "C": 3.0},
    {"kernel": "linear", "C": 0.5, "gamma": 1.0},
]


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("settings", KERNELS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_support_vectors_equal_those_of_scikit_learn(random_rows, settings, classes, dtype):
    rows, others = random_rows(250, classes=classes), random_rows(100, classes=classes, seed=1)
    features = rows.features.astype(dtype)
    theirs = SVC(**settings).fit(features, rows.labels)
    ours = SVM(**settings).fit(features, rows.labels)
    np.testing.assert_array_equal(ours.support_, np.sort(theirs.support_))
    wanted = theirs.decision_function(others.features)
    np.testing.assert_allclose(
        ours.decision_function(others.features.astype(dtype)), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max()
    )


def test_class_weights_act_as_in_scikit_learn(random_rows):
    rows = random_rows(250)
    theirs = SVC(kernel="poly", gamma=0.1, C=3.0, class_weight={3: 5.0}).fit(rows.features, rows.labels)
    ours = SVM(class_weight={3: 5.0}).fit(rows.features, rows.labels)
    np.testing.assert_allclose(
        ours.decision_function(rows.features), theirs.decision_function(rows.features), rtol=1e-5, atol=1e-5
    )


def test_without_memory_for_the_kernel_matrix_the_result_is_equal(random_rows):
    rows = random_rows(300)
    large = SVM(kernel="rbf", gamma=0.05, probability=True).fit(rows.features, rows.labels)
    small = SVM(kernel="rbf", gamma=0.05, probability=True, memory_mb=0.1).fit(rows.features, rows.labels)
    np.testing.assert_array_equal(small.support_, large.support_)
    np.testing.assert_allclose(small.predict_proba(rows.features), large.predict_proba(rows.features), atol=1e-4)


def test_gamma_and_cost_of_a_polynomial_without_constant_are_one_parameter(random_rows):
    rows = random_rows(200)
    one = SVM(gamma=0.2, C=1.0).fit(rows.features, rows.labels)
    other = SVM(gamma=0.1, C=8.0).fit(rows.features, rows.labels)
    np.testing.assert_array_equal(one.support_, other.support_)
    np.testing.assert_allclose(one.decision_function(rows.features), other.decision_function(rows.features), rtol=1e-6)


def test_a_linear_head_keeps_one_vector_for_each_pair(random_rows):
    rows = random_rows(200, classes=5)
    head = SVM(degree=1, gamma=0.01).fit(rows.features, rows.labels)
    assert head.arrays()["vectors"].shape == (10, 12)


def test_probabilities_sum_to_one_and_are_calibrated(random_rows):
    rows, others = random_rows(900, apart=1.0), random_rows(4000, apart=1.0, seed=1)
    head = SVM(kernel="rbf", gamma=0.05, probability=True).fit(rows.features, rows.labels, groups=rows.groups)
    probabilities = head.predict_proba(others.features)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    values = head.decision_function(others.features)
    raw = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    error = calibration_error(others.labels, probabilities.astype(np.float32))
    assert error < 0.05 < calibration_error(others.labels, raw.astype(np.float32))


def test_class_weights_do_not_change_the_calibration(random_rows):
    rows, others = random_rows(900, apart=1.0), random_rows(4000, apart=1.0, seed=1)
    head = SVM(kernel="rbf", gamma=0.05, probability=True, class_weight={3: 8.0}).fit(rows.features, rows.labels)
    mean = head.predict_proba(others.features).mean(axis=0)
    np.testing.assert_allclose(mean, np.bincount(others.labels) / len(others.labels), atol=0.03)


def test_held_out_values_are_those_of_fits_on_the_other_folds(random_rows):
    rows = random_rows(120)
    kernel, costs = Kernel("rbf", gamma=0.05), np.ones(4)
    problem = PairwiseProblem(rows.features, rows.labels, kernel, costs, 100, None)
    fold = assign_folds(rows.labels, groups=rows.groups, count=3)
    values = problem.held_out(fold, problem.solve())
    for n in range(3):
        theirs = SVC(kernel="rbf", gamma=0.05, decision_function_shape="ovo")
        wanted = theirs.fit(rows.features[fold != n], rows.labels[fold != n]).decision_function(
            rows.features[fold == n]
        )
        np.testing.assert_allclose(values[fold == n], wanted, atol=1e-9)


def test_a_class_in_a_single_group_has_probabilities(random_rows):
    rows = random_rows(150)
    kept = np.flatnonzero((rows.labels != 3) | (np.cumsum(rows.labels == 3) == 1))
    head = SVM(probability=True, kernel="rbf").fit(rows.features[kept], rows.labels[kept], groups=rows.groups[kept])
    assert np.isfinite(head.predict_proba(rows.features)).all()


def test_groups_of_repeated_rows_make_probabilities_less_confident(random_rows):
    rows = random_rows(60, apart=0.3)
    features, labels, groups = (np.repeat(a, 5, axis=0) for a in (rows.features, rows.labels, np.arange(60)))
    settings = {"kernel": "rbf", "gamma": 0.5, "probability": True}
    alone = SVM(**settings).fit(features, labels).predict_proba(features)
    together = SVM(**settings).fit(features, labels, groups=groups).predict_proba(features)
    assert together.max(axis=1).mean() < alone.max(axis=1).mean() - 0.2


def test_without_probability_there_is_no_predict_proba(random_rows):
    assert not hasattr(SVM(), "predict_proba")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": "polly"}, "kernel 'polly': unknown \\(did you mean 'poly'"),
        ({"C": 0.0}, "C is 0.0; give a number above 0"),
        ({"degree": 0}, "degree 0; give a whole number"),
        ({"gamma": -1.0}, "gamma must be above 0"),
        ({"folds": 1}, "folds is 1; give a number above 1"),
    ],
)
def test_an_invalid_setting_is_named(random_rows, settings, message):
    rows = random_rows(20)
    with pytest.raises(SettingsError, match=message):
        SVM(**settings).fit(rows.features, rows.labels)


def test_invalid_rows_are_refused_in_one_line(random_rows):
    rows = random_rows(20)
    head = SVM().fit(rows.features, rows.labels)
    holes = rows.features.copy()
    holes[3, 2] = np.nan
    for call, message in [
        (lambda: head.predict(rows.features[:, :5]), "X has 5 features, but SVM is expecting 12"),
        (lambda: head.predict(holes), "contains NaN"),
        (lambda: SVM().fit(holes, rows.labels), "contains NaN"),
        (lambda: SVM().fit(rows.features, np.ones(20)), "all 20 labels are of the class 1.0; give two or more"),
        (lambda: SVM().fit(rows.features, rows.labels[:-1]), "inconsistent numbers of samples"),
        (lambda: SVM().fit(rows.features, rows.labels, groups=[1, 2]), "one group for each row"),
    ]:
        with pytest.raises(ShapeError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
