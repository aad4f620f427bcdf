"""Fitting a temperature and biases to labels that were drawn from known probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.core.calibration import Calibration, best_calibration

CHANCE = np.random.default_rng(0)
LOGITS = CHANCE.normal(size=(20_000, 3)).astype(np.float32)
WORTH = 2 * LOGITS + np.array([0, 0, 1], np.float32)  # what the labels are drawn by
LABELS = (WORTH + CHANCE.gumbel(size=LOGITS.shape)).argmax(axis=1)


def test_temperature_and_biases_are_found():
    found = best_calibration(LOGITS, LABELS)
    assert found.temperature == pytest.approx(0.5, abs=0.02)
    assert np.subtract(found.bias, np.mean(found.bias)) == pytest.approx([-1 / 3, -1 / 3, 2 / 3], abs=0.05)


def test_a_temperature_alone_changes_no_answer():
    found = best_calibration(LOGITS, LABELS, biased=False)
    assert found.bias == (0, 0, 0)
    assert 0.5 < found.temperature < 0.6
    assert (found(LOGITS).argmax(axis=1) == LOGITS.argmax(axis=1)).all()


def test_no_calibration_is_the_softmax():
    assert Calibration.none(3)(LOGITS).sum(axis=1) == pytest.approx(1, abs=1e-5)
