from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from emofuse import metrics
from emofuse.errors import SettingsError
from emofuse.fusion import METHODS, SystemScores
from emofuse.fusion.search import DirichletSearch
from support.fusion_scores import clips, seeds, system_scores


def fuse_one_frame(values, valid, weights):
    """One frame: values [systems, classes], valid [systems], weights [systems, classes]."""
    classes, present = values.shape[1], [m for m in range(len(values)) if valid[m]]
    fused = []
    for c in range(classes):
        weight = np.array([weights[m, c] for m in present])
        if len(present) < len(values):
            weight = (weight.astype(np.float64) / weight.astype(np.float64).sum()).astype(np.float32)
        total = np.float32(0)
        for m, w in zip(present, weight, strict=True):
            total = np.float32(total + np.float32(w * values[m, c]))
        fused.append(total)
    return np.array(fused)


def slow_search(scores: SystemScores, truth, draws: int, per_class: bool, seed: int):
    """Section 2.3 of the paper as written: random weights, the challenge measure of each, the first best kept."""
    rng = np.random.default_rng(seed)
    systems, frames, classes = scores.values.shape
    if per_class:
        weights = rng.dirichlet(np.ones(systems), size=(draws, classes))
        candidates = [one.T for one in weights]  # a draw over the systems for each class
    else:
        weights = rng.dirichlet(np.ones(systems), size=draws)
        candidates = [np.stack([one] * classes, axis=1) for one in weights]
    kept = [f for f in range(frames) if truth[f] >= 0 and scores.valid[:, f].any()]
    best, highest = None, -1.0
    for weights in candidates:
        weights = weights.astype(np.float32)
        guess = [int(np.argmax(fuse_one_frame(scores.values[:, f], scores.valid[:, f], weights))) for f in kept]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            f1 = f1_score(truth[kept], guess, average="macro", zero_division=0)
        value = 0.67 * f1 + 0.33 * accuracy_score(truth[kept], guess)
        if value > highest + 1e-12:
            best, highest = weights, value
    return best


@pytest.mark.parametrize("name", ["swf", "mcwf"])
@pytest.mark.parametrize("valid", [1.0, 0.7], ids=["always valid", "sometimes invalid"])
@pytest.mark.parametrize("seed", [0, 1])
def test_fusion_with_a_given_seed_equals_a_slow_loop_of_the_papers_algorithm(name, valid, seed):
    scores, truth = system_scores(np.random.default_rng(100 + seed), systems=3, frames=60, classes=4, valid=valid)
    search = DirichletSearch(name, per_class=name == "mcwf", draws=60)
    found = search.fit(scores, truth, metrics.cpm_of, np.random.default_rng(seed))
    assert np.array_equal(found.class_weights, slow_search(scores, truth, 60, name == "mcwf", seed))


def value_of(fitted, scores: SystemScores, truth) -> float:
    fused = np.concatenate([fitted(clip).predictions() for clip in clips(scores, 50)])
    kept = scores.fitting_frames(truth)
    return float(metrics.cpm_of(metrics.confusion(truth[kept], fused[kept], classes=len(scores.label_set))))


def test_the_paper_draws_a_thousand_uniform_weights():
    for name in ("swf", "mcwf"):
        assert (METHODS[name].draws, METHODS[name].alpha, METHODS[name].refinement) == (1000, 1.0, None)


def test_swf_has_one_weight_for_all_classes_of_a_system():
    scores, truth = system_scores(np.random.default_rng(0), systems=3, frames=50, classes=4)
    weights = METHODS["swf"].fit(scores, truth, metrics.cpm_of, np.random.default_rng(0)).class_weights
    assert (weights == weights[:, :1]).all()


@given(seeds, st.sampled_from(["swf", "mcwf"]), st.sampled_from([1.0, 0.7]))
@settings(max_examples=4, deadline=None)
def test_refined_weights_are_never_worse_in_sample(seed, name, valid):
    scores, truth = system_scores(np.random.default_rng(seed), systems=3, frames=50, classes=4, valid=valid)
    plain, refined = (
        METHODS[n].fit(scores, truth, metrics.cpm_of, np.random.default_rng(seed)) for n in (name, f"{name}-refined")
    )
    assert value_of(refined, scores, truth) >= value_of(plain, scores, truth)


def test_the_search_counts_what_the_fitted_fusion_predicts():
    scores, truth = system_scores(np.random.default_rng(3), systems=4, frames=300, classes=5, valid=0.8)
    scores = SystemScores.of(clips(scores, 300))  # so that both have the same bits
    values = []

    def measure(counts):
        values.append(metrics.cpm_of(counts))
        return values[-1]

    fitted = METHODS["mcwf"].fit(scores, truth, measure, np.random.default_rng(0))
    kept, fused = scores.fitting_frames(truth), fitted(clips(scores, 300)[0]).predictions()
    counts = metrics.confusion(truth[kept], fused[kept], classes=5)
    assert float(metrics.cpm_of(counts)) == values[0].max()


@pytest.mark.parametrize("name", ["swf", "mcwf-refined", "mean", "stacking"])
def test_fusing_a_single_system_returns_its_scores(name):
    scores, truth = system_scores(np.random.default_rng(0), systems=1, frames=60, classes=3)
    fused = METHODS[name].fit(scores, truth, metrics.cpm_of, np.random.default_rng(0))(clips(scores, 60)[0])
    if name != "stacking":
        assert np.array_equal(fused.values, SystemScores.of(clips(scores, 60)).values[0])
    assert fused.valid.all()


def test_another_measure_selects_other_weights():
    rng = np.random.default_rng(0)
    scores, _ = system_scores(rng, systems=3, frames=300, classes=4)
    truth = rng.choice(4, size=300, p=[0.7, 0.1, 0.1, 0.1])
    tables = [
        METHODS["mcwf"].fit(scores, truth, m, np.random.default_rng(0)).class_weights for m in metrics.MEASURES.values()
    ]
    assert len({t.tobytes() for t in tables}) > 1


def test_draws_must_be_above_0():
    with pytest.raises(SettingsError, match=r"swf: 0 draws with alpha 1.0; both must be above 0"):
        DirichletSearch("swf", per_class=False, draws=0)
