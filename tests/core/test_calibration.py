from __future__ import annotations

import numpy as np
import pytest

from emofuse.core.calibration import DecisionCalibration, LogitCalibration

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(20_000, 3)).astype(np.float32)
TRUE_LOGITS = 2 * LOGITS + np.array([0, 0, 1], np.float32)
LABELS = (TRUE_LOGITS + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)  # drawn from softmax(TRUE_LOGITS)


def test_temperature_and_biases_are_recovered_from_labels():
    fitted = LogitCalibration.fit(LOGITS, LABELS)
    assert fitted.temperature == pytest.approx(0.5, abs=0.02)
    assert np.subtract(fitted.bias, np.mean(fitted.bias)) == pytest.approx([-1 / 3, -1 / 3, 2 / 3], abs=0.05)


def test_a_temperature_alone_changes_no_prediction():
    fitted = LogitCalibration.fit(LOGITS, LABELS, biased=False)
    assert fitted.bias == (0, 0, 0)
    assert 0.5 < fitted.temperature < 0.6
    assert (fitted(LOGITS).argmax(axis=1) == LOGITS.argmax(axis=1)).all()


def test_the_identity_is_the_softmax():
    assert LogitCalibration.identity(3)(LOGITS).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_slope_and_biases_are_recovered_from_decision_values():
    rng = np.random.default_rng(0)
    values, bias = rng.normal(size=(20_000, 3)), np.array([0.5, 0.0, -0.5])
    true = DecisionCalibration(2.5, bias)(values)
    labels = (rng.random((len(values), 1)) > true.cumsum(axis=1)).sum(axis=1)
    fitted = DecisionCalibration.fit(values, labels)
    assert abs(fitted.slope - 2.5) < 0.1
    np.testing.assert_allclose(fitted.bias - fitted.bias.mean(), bias, atol=0.05)


def test_separable_classes_do_not_become_certain():
    labels = np.repeat([0, 1], 10)
    fitted = DecisionCalibration.fit(np.where(labels[:, None] == [0, 1], 1.0, -1.0), labels)
    assert 0.9 < fitted(np.array([[1.0, -1.0]]))[0, 0] < 0.99  # (10 + 1) / (10 + 2) = 0.917


def test_uninformative_decision_values_return_the_class_frequencies():
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    probabilities = DecisionCalibration.fit(np.zeros((100, 3)), labels)(np.zeros((1, 3)))
    np.testing.assert_allclose(probabilities[0], [0.7, 0.2, 0.1], atol=0.02)
