from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse import metrics
from emofuse.errors import ShapeError
from emofuse.fusion.candidates import SortedFrames, count_with_numba, count_with_numpy
from emofuse.fusion.weighted import weighted_sum
from support.fusion_scores import seeds, system_scores, tables

fraction_valid = st.sampled_from([1.0, 0.7, 0.3])
needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="needs numba: pip install emofuse[train]")


@given(seeds, st.integers(1, 9), st.integers(1, 200), st.integers(2, 7), fraction_valid)
@settings(max_examples=60, deadline=None)
def test_counts_equal_those_of_fusing_with_each_table_in_turn(seed, systems, frames, classes, valid):
    rng = np.random.default_rng(seed)
    scores, truth = system_scores(rng, systems=systems, frames=frames, classes=classes, valid=valid)
    candidates = tables(rng, 3, systems, classes)
    kept = scores.fitting_frames(truth)
    guesses = [weighted_sum(scores, t)[kept].argmax(axis=1) for t in candidates]
    one_by_one = [metrics.confusion(truth[kept], guess, classes=classes) for guess in guesses]
    assert np.array_equal(SortedFrames.of(scores, truth).confusions(candidates, engine=count_with_numpy), one_by_one)


@needs_numba
@given(seeds, st.integers(1, 9), st.integers(1, 1500), st.integers(2, 7), fraction_valid)
@settings(max_examples=60, deadline=None)
def test_numba_and_numpy_count_the_same(seed, systems, frames, classes, valid):
    rng = np.random.default_rng(seed)
    scores, truth = system_scores(rng, systems=systems, frames=frames, classes=classes, valid=valid)
    sorted_frames, candidates = SortedFrames.of(scores, truth), tables(rng, 5, systems, classes)
    by_numba = sorted_frames.confusions(candidates, engine=count_with_numba)
    assert np.array_equal(by_numba, sorted_frames.confusions(candidates, engine=count_with_numpy))


@needs_numba
def test_numba_and_numpy_count_the_same_on_scores_that_round():
    rng = np.random.default_rng(0)
    scores, truth = system_scores(rng, systems=4, frames=20_000, classes=7, valid=0.9)
    noisy = scores.values * rng.random(scores.values.shape, np.float32)
    object.__setattr__(scores, "values", noisy)
    candidates = tables(rng, 40, 4, 7)
    by_numba = SortedFrames.of(scores, truth).confusions(candidates, engine=count_with_numba)
    assert np.array_equal(by_numba, SortedFrames.of(scores, truth).confusions(candidates, engine=count_with_numpy))


@given(seeds)
def test_unlabelled_frames_and_frames_without_a_valid_system_are_ignored(seed):
    rng = np.random.default_rng(seed)
    scores, truth = system_scores(rng, systems=2, frames=50, classes=3, valid=0.5)
    counts = SortedFrames.of(scores, truth).confusions(tables(rng, 4, 2, 3))
    assert counts.sum(axis=(1, 2)).tolist() == [scores.fitting_frames(truth).sum()] * 4


def test_ties_go_to_the_first_class():
    scores, _ = system_scores(np.random.default_rng(0), systems=1, frames=3, classes=3)
    object.__setattr__(scores, "values", np.full((1, 3, 3), 1 / 3, np.float32))
    counts = SortedFrames.of(scores, np.array([0, 1, 2])).confusions(np.ones((1, 1, 3), np.float32))
    assert counts[0, :, 0].tolist() == [1, 1, 1]


def test_no_candidates_return_no_counts():
    scores, truth = system_scores(np.random.default_rng(0), systems=2, frames=5, classes=3)
    assert SortedFrames.of(scores, truth).confusions(np.zeros((0, 2, 3), np.float32)).shape == (0, 3, 3)


def test_tables_of_another_shape_are_refused():
    scores, truth = system_scores(np.random.default_rng(0), systems=2, frames=5, classes=3)
    with pytest.raises(ShapeError, match=r"give float32 .candidates, 2 systems, 3 classes."):
        SortedFrames.of(scores, truth).confusions(np.zeros((4, 3, 2), np.float32))
