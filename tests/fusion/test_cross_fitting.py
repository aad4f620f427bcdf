from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse import metrics
from emofuse.errors import SettingsError, ShapeError
from emofuse.fusion import SystemScores, cross_fit, folds, groups, method
from emofuse.fusion.search import DirichletSearch
from support.fusion_scores import clips, seeds, stack

SMALL = DirichletSearch("mcwf", per_class=True, draws=30)

videos = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.one_of(st.none(), st.sampled_from("stuvw"))), min_size=1, max_size=25
)


@given(videos)
def test_clips_of_one_video_or_one_subject_are_in_one_group(made):
    of = groups([v for v, _ in made], [s for _, s in made])
    for n, (video, subject) in enumerate(made):
        for m, (other, person) in enumerate(made):
            if video == other or (subject is not None and subject == person):
                assert of[n] == of[m]


def test_groups_reach_over_a_third_clip():
    assert groups(["v1", "v2", "v2", "v3"], ["anna", "anna", "ben", "ben"]).tolist() == [0, 0, 0, 0]


def test_unknown_subjects_are_not_one_subject():
    assert groups(["v1", "v2", "v3"], [None, None, None]).tolist() == [0, 1, 2]


def test_a_video_and_a_subject_of_one_name_have_nothing_in_common():
    assert groups(["anna", "v2"], [None, "anna"]).tolist() == [0, 1]


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 500)), min_size=2, max_size=30),
    st.integers(2, 6),
    st.integers(0, 5),
)
def test_folds_take_every_clip_once_and_never_divide_a_group(made, count, seed):
    of, sizes = np.array([g for g, _ in made]), np.array([s for _, s in made])
    separate = len(set(of.tolist()))
    if separate < 2:
        with pytest.raises(SettingsError, match="held out from at least two"):
            folds(of, sizes, count=count)
        return
    parts = folds(of, sizes, count=count, seed=seed)
    assert len(parts) == min(count, separate)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(made)))
    assert sum(len(set(of[part].tolist())) for part in parts) == separate


@given(st.lists(st.integers(1, 500), min_size=5, max_size=40), st.integers(0, 5))
def test_no_fold_is_longer_than_another_by_more_than_a_clip(sizes, seed):
    totals = [np.array(sizes)[part].sum() for part in folds(np.arange(len(sizes)), sizes, count=5, seed=seed)]
    assert max(totals) - min(totals) <= max(sizes)


def test_one_video_cannot_be_held_out_from_itself():
    with pytest.raises(SettingsError, match="5 parts of 1 separate videos or subjects") as caught:
        folds([0, 0], [10, 10])
    assert "\n" not in str(caught.value)


def made_clips(seed: int):
    made, truth = stack(np.random.default_rng(seed), systems=3, frames=120, classes=3, valid=0.8)
    return clips(made, 15), [truth[n : n + 15] for n in range(0, 120, 15)]


@given(seeds, st.integers(0, 7))
@settings(max_examples=15, deadline=None)
def test_a_clips_own_truth_never_changes_its_held_out_scores(seed, n):
    parts, truths = made_clips(seed)
    of = np.array([0, 0, 1, 2, 3, 3, 4, 5])
    before = cross_fit(SMALL, parts, truths, of, metrics.cpm_of, count=3)
    rng = np.random.default_rng(seed)
    own = [rng.integers(0, 3, 15) if of[m] == of[n] else t for m, t in enumerate(truths)]
    after = cross_fit(SMALL, parts, own, of, metrics.cpm_of, count=3)
    for m in np.flatnonzero(of == of[n]):
        assert np.array_equal(before[m].values, after[m].values)


def test_held_out_scores_are_those_of_weights_fitted_on_the_other_folds():
    parts, truths = made_clips(0)
    held = cross_fit(SMALL, parts, truths, np.arange(8), metrics.cpm_of, count=2, seed=4)
    for part in folds(np.arange(8), np.full(8, 15), count=2, seed=4):
        others = [n for n in range(8) if n not in part]
        whole = SystemScores.of([parts[n] for n in others])
        rng = np.random.default_rng(4)
        fitted = SMALL.fit(whole, np.concatenate([truths[n] for n in others]), metrics.cpm_of, rng)
        for n in part:
            assert np.array_equal(held[n].values, fitted(parts[n]).values)


def test_systems_may_be_in_another_order_in_each_clip():
    parts, truths = made_clips(1)
    turned = [part[::-1] if n % 2 and n > 0 else part for n, part in enumerate(parts)]
    straight = cross_fit(SMALL, parts, truths, np.arange(8), metrics.cpm_of)
    for a, b in zip(straight, cross_fit(SMALL, turned, truths, np.arange(8), metrics.cpm_of), strict=True):
        assert np.array_equal(a.values, b.values)


def test_a_truth_of_other_length_says_how_to_fix_it():
    parts, truths = made_clips(0)
    with pytest.raises(ShapeError, match=r"clip 0 has 15 frames, its truth 14. Bring the scores onto the annotation"):
        cross_fit(method("mean"), parts, [truths[0][:-1], *truths[1:]], np.arange(8), metrics.cpm_of)
