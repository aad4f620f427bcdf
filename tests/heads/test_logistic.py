"""Logistic regression with rows that rule out classes, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.linear_model

from emofuse.errors import ShapeError
from emofuse.heads.logistic import LogisticRegression, fit_logistic

CLASSES = 3


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Sixty overlapping rows of three classes with four features of different scale."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 60)
    features = rng.normal(size=(60, 4)) + 1.2 * np.eye(CLASSES, 4)[labels]
    return (features * [1, 10, 0.1, 1] + [0, 5, 0, -2]).astype(np.float32), labels


def fitted(features: np.ndarray, labels: np.ndarray, **changes: object) -> LogisticRegression:
    n = len(labels)
    given = {"weights": np.ones(n, np.float32), "possible": np.ones((n, CLASSES), bool), "penalty": 0.05}
    return fit_logistic(features, labels, **given | changes)


def test_weighted_rows_are_fitted_as_by_scikit_learn(rows):
    features, labels = rows
    weights = np.random.default_rng(1).uniform(0.2, 2, 60).astype(np.float32)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    expected = sklearn.linear_model.LogisticRegression(C=1 / (0.05 * weights.sum()), tol=1e-8, max_iter=1000)
    expected.fit(scaled, labels, sample_weight=weights)
    found = fitted(features, labels, weights=weights)
    np.testing.assert_allclose(found.coefficients, expected.coef_, atol=2e-3)
    np.testing.assert_allclose(np.exp(found(features))[:, 0] / np.exp(found(features)).sum(axis=1),
                               expected.predict_proba(scaled)[:, 0], atol=2e-3)  # fmt: skip


def test_a_class_that_rows_rule_out_is_not_learned_as_absent_from_them(rows):
    """Rows far off on the first feature lack class 2; whether they do must not follow from that feature."""
    features, labels = rows
    far = np.concatenate([features, features[labels != 2] + np.float32([50, 0, 0, 0])])
    both, possible = np.concatenate([labels, labels[labels != 2]]), np.ones((len(far), CLASSES), bool)
    unmasked = fitted(far, both, possible=possible)
    possible[60:, 2] = False
    masked = fitted(far, both, possible=possible)
    rows_of_2 = features[labels == 2] + np.float32([50, 0, 0, 0])
    assert (masked(rows_of_2).argmax(axis=1) == 2).mean() > 0.5
    assert (unmasked(rows_of_2).argmax(axis=1) == 2).mean() < 0.1


def test_a_larger_penalty_shrinks_the_coefficients(rows):
    sizes = [np.abs(fitted(*rows, penalty=penalty).coefficients).sum() for penalty in (0.01, 0.1, 1.0)]
    assert sizes == sorted(sizes, reverse=True)


def test_a_constant_feature_is_finite_and_has_no_effect(rows):
    features, labels = rows
    constant = np.hstack([features, np.full((60, 1), 3.0, np.float32)])
    np.testing.assert_allclose(fitted(constant, labels)(constant), fitted(features, labels)(features), atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.ones(59, np.float32)}, "60 rows, 60 labels, 59 weights and 60 rows of possible classes"),
        ({"possible": np.zeros((60, 3), bool)}, "a row rules out its own label; correct the possible classes"),
        ({"features": np.full((60, 4), np.nan, np.float32)}, "a feature is not finite; correct the features"),
    ],
    ids=["lengths", "label ruled out", "not finite"],
)
def test_wrong_input_is_refused_in_one_line(rows, changes, message):
    features, labels = changes.pop("features", rows[0]), rows[1]
    with pytest.raises(ShapeError, match=message) as error:
        fitted(features, labels, **changes)
    assert "\n" not in str(error.value)
