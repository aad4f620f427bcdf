from __future__ import annotations

import numpy as np
import pytest

from emofuse.core.class_weights import RULES, class_weights, inverse_weights, largest_mu, log_weights
from emofuse.errors import SettingsError, ShapeError


def test_log_weights_are_the_logarithm_of_how_much_rarer_a_class_is():
    counts = [1000, 10, 1]  # N = 1011; ln(0.47 * 1011 / 10) = ln 47.517, ln(0.47 * 1011 / 1) = ln 475.17
    np.testing.assert_allclose(log_weights(counts, 0.47), [1.0, 3.8611, 6.1637], atol=1e-4)


def test_log_weights_are_never_below_one():
    # N = 100; 0.34 * 100 / 5 = 6.8, ln 6.8 = 1.917; 0.34 * 100 / 12 = 2.83, ln 2.83 = 1.041; the rest below 1.
    np.testing.assert_allclose(log_weights([83, 12, 5], 0.34), [1, 1.0415, 1.9169], atol=1e-4)


def test_inverse_weights_are_the_largest_count_over_the_count():
    np.testing.assert_allclose(inverse_weights([80, 20, 16]), [1, 4, 5])


@pytest.mark.parametrize("rule", RULES)
def test_a_class_that_does_not_occur_weighs_one(rule):
    assert RULES[rule]([5, 0, 5], 100.0)[1] == 1.0


def test_the_largest_mu_is_the_last_step_that_leaves_the_most_frequent_class_at_one():
    rng = np.random.default_rng(0)
    for counts in rng.integers(0, 5000, size=(50, 7)):
        mu = largest_mu(counts)
        most_frequent = counts.argmax()
        assert log_weights(counts, mu)[most_frequent] == 1.0
        assert log_weights(counts, mu + 0.01)[most_frequent] > 1.0
        assert round(mu * 100) == pytest.approx(mu * 100)


def test_classes_are_weighted_by_rule_or_by_name():
    classes, counts = np.array([0, 2]), [30, 10]
    np.testing.assert_allclose(class_weights(classes, counts, None), [1, 1])
    np.testing.assert_allclose(class_weights(classes, counts, "balanced"), [40 / 60, 40 / 20])
    np.testing.assert_allclose(class_weights(classes, counts, {2: 3.0}), [1, 3])
    np.testing.assert_allclose(class_weights(classes, counts, "log", 2.0), [1, np.log(8)])
    np.testing.assert_allclose(class_weights(classes, counts, "log"), log_weights(counts, 2.03))


@pytest.mark.parametrize(
    ("weight", "message"),
    [("logg", "did you mean 'log'"), ({5: 1.0}, "class 5 does not occur"), ({0: -1.0}, "give numbers above 0")],
)
def test_a_wrong_class_weight_is_explained(weight, message):
    with pytest.raises(SettingsError, match=message):
        class_weights(np.array([0, 1]), [2, 2], weight)


def test_counts_must_not_all_be_zero():
    with pytest.raises(ShapeError, match="not all zero"):
        log_weights([0, 0], 1.0)
    with pytest.raises(SettingsError, match="mu is -1"):
        log_weights([1, 1], -1)
