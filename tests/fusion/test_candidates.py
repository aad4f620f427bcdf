from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse import metrics
from emofuse.errors import ShapeError
from emofuse.fusion import confusions
from emofuse.fusion.candidates import SortedFrames, with_numba, with_numpy
from emofuse.fusion.weighted import fuse
from support.fusion_scores import seeds, stack, tables

with_or_without = st.sampled_from([1.0, 0.7, 0.3])
needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="needs numba: pip install emofuse[train]")


@given(seeds, st.integers(1, 9), st.integers(1, 200), st.integers(2, 7), with_or_without)
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_fusing_with_each_table_in_turn(seed, systems, frames, classes, valid):
    rng = np.random.default_rng(seed)
    made, truth = stack(rng, systems=systems, frames=frames, classes=classes, valid=valid)
    candidates = tables(rng, 3, systems, classes)
    kept = made.judged(truth)
    slowly = [metrics.confusion(truth[kept], fuse(made, t)[kept].argmax(axis=1), classes=classes) for t in candidates]
    assert np.array_equal(confusions(made, truth, candidates, engine=with_numpy), slowly)


@needs_numba
@given(seeds, st.integers(1, 9), st.integers(1, 1500), st.integers(2, 7), with_or_without)
@settings(max_examples=60, deadline=None)
def test_numba_counts_exactly_what_numpy_counts(seed, systems, frames, classes, valid):
    rng = np.random.default_rng(seed)
    made, truth = stack(rng, systems=systems, frames=frames, classes=classes, valid=valid)
    sorted_frames, candidates = SortedFrames.of(made, truth), tables(rng, 5, systems, classes)
    by_numba = sorted_frames.confusions(candidates, engine=with_numba)
    assert np.array_equal(by_numba, sorted_frames.confusions(candidates, engine=with_numpy))


@needs_numba
def test_numba_counts_exactly_what_numpy_counts_on_scores_that_round():
    rng = np.random.default_rng(0)
    made, truth = stack(rng, systems=4, frames=20_000, classes=7, valid=0.9)
    noisy = made.values * rng.random(made.values.shape, np.float32)
    object.__setattr__(made, "values", noisy)
    candidates = tables(rng, 40, 4, 7)
    by_numba = confusions(made, truth, candidates, engine=with_numba)
    assert np.array_equal(by_numba, confusions(made, truth, candidates, engine=with_numpy))


@given(seeds)
def test_unlabelled_frames_and_those_without_a_system_never_count(seed):
    rng = np.random.default_rng(seed)
    made, truth = stack(rng, systems=2, frames=50, classes=3, valid=0.5)
    counts = confusions(made, truth, tables(rng, 4, 2, 3))
    assert counts.sum(axis=(1, 2)).tolist() == [made.judged(truth).sum()] * 4


def test_ties_go_to_the_first_class():
    made, _ = stack(np.random.default_rng(0), systems=1, frames=3, classes=3)
    object.__setattr__(made, "values", np.full((1, 3, 3), 1 / 3, np.float32))
    counts = confusions(made, np.array([0, 1, 2]), np.ones((1, 1, 3), np.float32))
    assert counts[0, :, 0].tolist() == [1, 1, 1]


def test_no_candidates_give_no_counts():
    made, truth = stack(np.random.default_rng(0), systems=2, frames=5, classes=3)
    assert confusions(made, truth, np.zeros((0, 2, 3), np.float32)).shape == (0, 3, 3)


def test_tables_of_other_shape_are_refused():
    made, truth = stack(np.random.default_rng(0), systems=2, frames=5, classes=3)
    with pytest.raises(ShapeError, match=r"give float32 .candidates, 2 systems, 3 classes."):
        confusions(made, truth, np.zeros((4, 3, 2), np.float32))
