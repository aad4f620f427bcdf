from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse import metrics
from emofuse.errors import SettingsError, ShapeError
from emofuse.fusion import METHODS, SystemScores, clip_folds, clip_groups, cross_fit
from emofuse.fusion.search import DirichletSearch
from support.fusion_scores import clips, seeds, system_scores

SMALL = DirichletSearch("mcwf", per_class=True, draws=30)

videos = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.one_of(st.none(), st.sampled_from("stuvw"))), min_size=1, max_size=25
)


@given(videos)
def test_clips_of_one_video_or_one_subject_are_in_one_group(pairs):
    of = clip_groups([v for v, _ in pairs], [s for _, s in pairs])
    for n, (video, subject) in enumerate(pairs):
        for m, (other, person) in enumerate(pairs):
            if video == other or (subject is not None and subject == person):
                assert of[n] == of[m]


def test_clips_are_grouped_through_a_third_clip():
    assert clip_groups(["v1", "v2", "v2", "v3"], ["anna", "anna", "ben", "ben"]).tolist() == [0, 0, 0, 0]


def test_unknown_subjects_are_distinct():
    assert clip_groups(["v1", "v2", "v3"], [None, None, None]).tolist() == [0, 1, 2]


def test_a_video_and_a_subject_with_the_same_name_are_unrelated():
    assert clip_groups(["anna", "v2"], [None, "anna"]).tolist() == [0, 1]


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 500)), min_size=2, max_size=30),
    st.integers(2, 6),
    st.integers(0, 5),
)
def test_every_clip_is_in_one_fold_and_groups_stay_together(pairs, count, seed):
    of, sizes = np.array([g for g, _ in pairs]), np.array([s for _, s in pairs])
    separate = len(set(of.tolist()))
    if separate < 2:
        with pytest.raises(SettingsError, match="cross-fitting needs at least two"):
            clip_folds(of, sizes, count=count)
        return
    folds = clip_folds(of, sizes, count=count, seed=seed)
    assert len(folds) == min(count, separate)
    assert sorted(np.concatenate(folds).tolist()) == list(range(len(pairs)))
    assert sum(len(set(of[fold].tolist())) for fold in folds) == separate


@given(st.lists(st.integers(1, 500), min_size=5, max_size=40), st.integers(0, 5))
def test_the_lengths_of_folds_differ_by_at_most_one_clip(sizes, seed):
    totals = [np.array(sizes)[fold].sum() for fold in clip_folds(np.arange(len(sizes)), sizes, count=5, seed=seed)]
    assert max(totals) - min(totals) <= max(sizes)


def test_one_video_cannot_be_cross_fitted():
    with pytest.raises(SettingsError, match="5 folds of 1 separate videos or subjects") as caught:
        clip_folds([0, 0], [10, 10])
    assert "\n" not in str(caught.value)


def random_clips(seed: int):
    scores, truth = system_scores(np.random.default_rng(seed), systems=3, frames=120, classes=3, valid=0.8)
    return clips(scores, 15), [truth[n : n + 15] for n in range(0, 120, 15)]


@given(seeds, st.integers(0, 7))
@settings(max_examples=15, deadline=None)
def test_the_truth_of_a_clip_never_changes_its_cross_fitted_scores(seed, n):
    scores, truths = random_clips(seed)
    of = np.array([0, 0, 1, 2, 3, 3, 4, 5])
    before = cross_fit(SMALL, scores, truths, of, metrics.cpm_of, count=3)
    rng = np.random.default_rng(seed)
    own = [rng.integers(0, 3, 15) if of[m] == of[n] else t for m, t in enumerate(truths)]
    after = cross_fit(SMALL, scores, own, of, metrics.cpm_of, count=3)
    for m in np.flatnonzero(of == of[n]):
        assert np.array_equal(before[m].values, after[m].values)


def test_cross_fitted_scores_use_weights_of_the_other_folds():
    scores, truths = random_clips(0)
    held = cross_fit(SMALL, scores, truths, np.arange(8), metrics.cpm_of, count=2, seed=4)
    for fold in clip_folds(np.arange(8), np.full(8, 15), count=2, seed=4):
        others = [n for n in range(8) if n not in fold]
        whole = SystemScores.of([scores[n] for n in others])
        rng = np.random.default_rng(4)
        fitted = SMALL.fit(whole, np.concatenate([truths[n] for n in others]), metrics.cpm_of, rng)
        for n in fold:
            assert np.array_equal(held[n].values, fitted(scores[n]).values)


def test_the_order_of_systems_may_differ_between_clips():
    scores, truths = random_clips(1)
    turned = [fold[::-1] if n % 2 and n > 0 else fold for n, fold in enumerate(scores)]
    straight = cross_fit(SMALL, scores, truths, np.arange(8), metrics.cpm_of)
    for a, b in zip(straight, cross_fit(SMALL, turned, truths, np.arange(8), metrics.cpm_of), strict=True):
        assert np.array_equal(a.values, b.values)


def test_a_truth_of_another_length_is_refused_with_a_remedy():
    scores, truths = random_clips(0)
    with pytest.raises(ShapeError, match=r"clip 0 has 15 frames, its truth 14. Bring the scores onto the annotation"):
        cross_fit(METHODS["mean"], scores, [truths[0][:-1], *truths[1:]], np.arange(8), metrics.cpm_of)
