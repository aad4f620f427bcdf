from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.errors import SettingsError
from emofuse.fusion.search import Refinement
from support.fusion_scores import seeds


@given(seeds, st.integers(1, 5), st.integers(1, 7))
@settings(deadline=None, max_examples=25)
def test_all_candidates_are_weights_that_sum_to_one(seed, systems, classes):
    rng = np.random.default_rng(seed)

    def evaluate(weights):
        assert (weights >= 0).all()
        assert weights.sum(axis=1) == pytest.approx(1)
        return rng.random(len(weights))

    start = rng.dirichlet(np.ones(systems), size=classes).T
    Refinement(rounds=3).improve(start, 0.0, evaluate, rng)


@given(seeds, st.integers(1, 20), st.integers(1, 12))
@settings(deadline=None, max_examples=25)
def test_the_number_of_evaluations_is_bounded(seed, systems, classes):
    evaluated = []

    def evaluate(weights):
        evaluated.append(len(weights))
        return np.zeros(len(weights))

    refinement = Refinement()
    refinement.improve(np.full((systems, classes), 1 / systems), 0.0, evaluate, np.random.default_rng(seed))
    assert sum(evaluated) <= refinement.max_evaluations <= 4000


def test_without_a_better_candidate_the_start_is_kept():
    start = np.array([[0.25, 0.5], [0.75, 0.5]])
    found = Refinement().improve(start, 1.0, lambda weights: np.ones(len(weights)), np.random.default_rng(0))
    assert np.array_equal(found, start)


def test_refinement_comes_close_to_the_optimum():
    best = np.array([[0.9, 0.05, 0.3], [0.1, 0.95, 0.7]])
    found = Refinement().improve(
        np.full((2, 3), 0.5), -9.0, lambda s: -np.abs(s - best).sum(axis=(1, 2)), np.random.default_rng(0)
    )
    assert found == pytest.approx(best, abs=0.02)


def test_numbers_must_be_above_0():
    with pytest.raises(SettingsError, match="every number must be above 0"):
        Refinement(rounds=0)
