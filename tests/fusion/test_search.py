from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from emofuse import metrics
from emofuse.errors import SettingsError
from emofuse.fusion import METHODS, SystemScores, method
from emofuse.fusion.search import DirichletSearch
from support.fusion_scores import clips, seeds, stack


def fused_slowly(values, valid, weights):
    """One frame after the other: values [systems, classes], valid [systems], weights [systems, classes]."""
    classes, present = values.shape[1], [m for m in range(len(values)) if valid[m]]
    fused = []
    for c in range(classes):
        share = np.array([weights[m, c] for m in present])
        if len(present) < len(values):
            share = (share.astype(np.float64) / share.astype(np.float64).sum()).astype(np.float32)
        total = np.float32(0)
        for m, w in zip(present, share, strict=True):
            total = np.float32(total + np.float32(w * values[m, c]))
        fused.append(total)
    return np.array(fused)


def slow_search(made: SystemScores, truth, draws: int, per_class: bool, seed: int):
    """Section 2.3 of the paper as written: random weights, the challenge measure of each, the first best kept."""
    rng = np.random.default_rng(seed)
    systems, frames, classes = made.values.shape
    if per_class:
        drawn = rng.dirichlet(np.ones(systems), size=(draws, classes))
        candidates = [one.T for one in drawn]  # a draw over the systems for each class
    else:
        drawn = rng.dirichlet(np.ones(systems), size=draws)
        candidates = [np.stack([one] * classes, axis=1) for one in drawn]
    kept = [f for f in range(frames) if truth[f] >= 0 and made.valid[:, f].any()]
    best, highest = None, -1.0
    for weights in candidates:
        weights = weights.astype(np.float32)
        guess = [int(np.argmax(fused_slowly(made.values[:, f], made.valid[:, f], weights))) for f in kept]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            f1 = f1_score(truth[kept], guess, average="macro", zero_division=0)
        value = 0.67 * f1 + 0.33 * accuracy_score(truth[kept], guess)
        if value > highest + 1e-12:
            best, highest = weights, value
    return best


@pytest.mark.parametrize("name", ["swf", "mcwf"])
@pytest.mark.parametrize("valid", [1.0, 0.7], ids=["always valid", "with invalid moments"])
@pytest.mark.parametrize("seed", [0, 1])
def test_fusion_of_given_scores_with_a_given_seed_equals_a_slow_loop_written_from_the_papers_text(name, valid, seed):
    made, truth = stack(np.random.default_rng(100 + seed), systems=3, frames=60, classes=4, valid=valid)
    search = DirichletSearch(name, per_class=name == "mcwf", draws=60)
    found = search.fit(made, truth, metrics.cpm_of, np.random.default_rng(seed))
    assert np.array_equal(found.table, slow_search(made, truth, 60, name == "mcwf", seed))


def value_of(fitted, made: SystemScores, truth) -> float:
    fused = np.concatenate([fitted(clip).best() for clip in clips(made, 50)])
    kept = made.judged(truth)
    return float(metrics.cpm_of(metrics.confusion(truth[kept], fused[kept], classes=len(made.label_set))))


def test_the_paper_draws_a_thousand_uniform_weights():
    for name in ("swf", "mcwf"):
        assert (method(name).draws, method(name).alpha, method(name).refinement) == (1000, 1.0, None)


def test_swf_gives_all_classes_of_a_system_one_weight():
    made, truth = stack(np.random.default_rng(0), systems=3, frames=50, classes=4)
    table = method("swf").fit(made, truth, metrics.cpm_of, np.random.default_rng(0)).table
    assert (table == table[:, :1]).all()


@given(seeds, st.sampled_from(["swf", "mcwf"]), st.sampled_from([1.0, 0.7]))
@settings(max_examples=4, deadline=None)
def test_refined_weights_are_never_worse_in_sample(seed, name, valid):
    made, truth = stack(np.random.default_rng(seed), systems=3, frames=50, classes=4, valid=valid)
    plain, refined = (
        METHODS[n].fit(made, truth, metrics.cpm_of, np.random.default_rng(seed)) for n in (name, f"{name}-refined")
    )
    assert value_of(refined, made, truth) >= value_of(plain, made, truth)


def test_what_the_search_counts_is_what_the_fitted_fusion_gives():
    made, truth = stack(np.random.default_rng(3), systems=4, frames=300, classes=5, valid=0.8)
    made = SystemScores.of(clips(made, 300))  # so that both start from the same bits
    seen = []

    def measure(counts):
        seen.append(metrics.cpm_of(counts))
        return seen[-1]

    fitted = method("mcwf").fit(made, truth, measure, np.random.default_rng(0))
    kept, fused = made.judged(truth), fitted(clips(made, 300)[0]).best()
    counts = metrics.confusion(truth[kept], fused[kept], classes=5)
    assert float(metrics.cpm_of(counts)) == seen[0].max()


@pytest.mark.parametrize("name", ["swf", "mcwf-refined", "mean", "stacking"])
def test_one_system_alone_is_fused_to_itself(name):
    made, truth = stack(np.random.default_rng(0), systems=1, frames=60, classes=3)
    fused = METHODS[name].fit(made, truth, metrics.cpm_of, np.random.default_rng(0))(clips(made, 60)[0])
    if name != "stacking":
        assert np.array_equal(fused.values, SystemScores.of(clips(made, 60)).values[0])
    assert fused.valid.all()


def test_another_measure_finds_other_weights():
    rng = np.random.default_rng(0)
    made, _ = stack(rng, systems=3, frames=300, classes=4)
    truth = rng.choice(4, size=300, p=[0.7, 0.1, 0.1, 0.1])
    tables = [method("mcwf").fit(made, truth, m, np.random.default_rng(0)).table for m in metrics.MEASURES.values()]
    assert len({t.tobytes() for t in tables}) > 1


def test_draws_must_be_above_0():
    with pytest.raises(SettingsError, match=r"swf: 0 draws with alpha 1.0; both must be above 0"):
        DirichletSearch("swf", per_class=False, draws=0)
