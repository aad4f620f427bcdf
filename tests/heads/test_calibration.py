"""Scores to probabilities."""

from __future__ import annotations

import numpy as np

from emofuse.heads.calibration import Calibration


def test_the_slope_and_biases_of_made_scores_are_found():
    rng = np.random.default_rng(0)
    scores, bias = rng.normal(size=(20_000, 3)), np.array([0.5, 0.0, -0.5])
    true = Calibration(2.5, bias)(scores)
    labels = (rng.random((len(scores), 1)) > true.cumsum(axis=1)).sum(axis=1)
    fitted = Calibration.fit(scores, labels)
    assert abs(fitted.slope - 2.5) < 0.1
    np.testing.assert_allclose(fitted.bias - fitted.bias.mean(), bias, atol=0.05)


def test_classes_without_overlap_are_not_certain():
    labels = np.repeat([0, 1], 10)
    probabilities = Calibration.fit(np.where(labels[:, None] == [0, 1], 1.0, -1.0), labels)(np.array([[1.0, -1.0]]))
    assert 0.9 < probabilities[0, 0] < 0.99  # (10 + 1) / (10 + 2) = 0.917


def test_scores_that_say_nothing_give_the_shares_of_the_classes():
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    probabilities = Calibration.fit(np.zeros((100, 3)), labels)(np.zeros((1, 3)))
    np.testing.assert_allclose(probabilities[0], [0.7, 0.2, 0.1], atol=0.02)
