from __future__ import annotations

import numpy as np
import pytest

from emofuse import metrics
from emofuse.errors import ShapeError

COUNTS = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])


def test_accuracy_is_the_diagonal():
    assert metrics.accuracy(COUNTS) == pytest.approx(5 / 6)


def test_uar_leaves_out_classes_that_do_not_occur():
    assert metrics.uar(COUNTS) == pytest.approx((3 / 4 + 1) / 2)


def test_unlabelled_rows_do_not_count():
    counts = metrics.confusion(np.array([0, -1, 1]), np.array([0, 0, 0]), classes=2)
    assert counts.tolist() == [[1, 0], [1, 0]]


def test_a_length_mismatch_is_told():
    with pytest.raises(ShapeError, match="truth has 2 rows, guess has 1"):
        metrics.confusion(np.array([0, 1]), np.array([0]), classes=2)


def test_calibration_error_is_zero_when_confidence_is_accuracy():
    # Ten rows at confidence 0.6, six of them right.
    probabilities = np.tile(np.array([[0.6, 0.4]], np.float32), (10, 1))
    assert metrics.calibration_error(np.array([0] * 6 + [1] * 4), probabilities) == pytest.approx(0, abs=1e-6)


def test_calibration_error_is_the_gap_of_overconfidence():
    probabilities = np.tile(np.array([[0.9, 0.1]], np.float32), (10, 1))
    assert metrics.calibration_error(np.array([0] * 5 + [1] * 5), probabilities) == pytest.approx(0.4, abs=1e-6)
