"""The contract of fusion methods (`emofuse.fusion.FusionMethod`)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from emofuse import fusion
from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints, Timeline
from emofuse.core.types import Scores
from emofuse.fusion import FittedFusion, FusionMethod, SystemScores
from emofuse.metrics import cpm_of

LABELS = LabelSet(("neutral", "anger", "happiness", "sadness"))
SYSTEMS = ("face", "voice", "words")

Clip = tuple[list[Scores], Ints]


def check_fusion(method: FusionMethod) -> None:
    """Check a fusion method against the contract of `emofuse.fusion.FusionMethod`, on small random scores.

    Fitting with the same seed returns the same arrays; fused scores have the timeline and labels of the input, do not
    depend on the order of systems, and are finite and not negative; a frame is valid where any system is; a system may
    be missing for frames or for a whole clip; saving and loading changes no bit; a single system can be fitted, and
    data without one of the classes.

    Raises:
        AssertionError: the first violation, with what was expected and what was found.

    >>> check_fusion(fusion.METHODS["mean"])
    """
    assert method.name, "method.name is empty; give the name under which it is registered."
    clips = [clip(SYSTEMS, frames=40 + 10 * n, seed=n) for n in range(4)]
    fitted = fit(method, clips)
    assert fitted.method == method.name, f"the fitted method is called {fitted.method!r}, not {method.name!r}."
    assert fitted.systems == SYSTEMS, f"systems are {fitted.systems}, fitted on {SYSTEMS}."
    assert fitted.label_set == LABELS, f"labels are {fitted.label_set.names}, fitted on {LABELS.names}."
    weights, shape = fitted.class_weights, (len(SYSTEMS), len(LABELS))
    assert weights is None or weights.shape == shape, f"class_weights have shape {np.shape(weights)}, not {shape}."
    _check_seed(method, clips, fitted)
    _check_scores(fitted, clips[0][0])
    _check_missing_systems(fitted, clips[0][0])
    _check_saving(method, fitted, clips[0][0])
    _check_one_system(method, clips)
    _check_absent_class(method, clips)


def clip(systems: Sequence[str], *, frames: int, seed: int, label_set: LabelSet = LABELS) -> Clip:
    """Random scores of each system on one timeline, and the truth int [frames], -1 for a tenth of the frames.

    The systems have different accuracies; each is invalid at a tenth of the frames.
    """
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.integers(len(label_set), size=frames), 5)[:frames].astype(np.int64)
    timeline = Timeline.steps(5, end=frames * 141_120_000)
    scores = []
    for n, system in enumerate(systems):
        logits = rng.normal(size=(frames, len(label_set)))
        logits[np.arange(frames), truth] += 2.0 - 0.5 * n
        values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        scores.append(Scores(values, timeline, label_set, rng.random(frames) < 0.9, system))
    return scores, np.where(rng.random(frames) < 0.1, -1, truth)


def fit(method: FusionMethod, clips: Sequence[Clip], *, seed: int = 0) -> FittedFusion:
    """The method fitted on clips by CPM."""
    stack, truth = SystemScores.of([scores for scores, _ in clips]), np.concatenate([truth for _, truth in clips])
    return method.fit(stack, truth, cpm_of, np.random.default_rng(seed))


def _check_seed(method: FusionMethod, clips: Sequence[Clip], fitted: FittedFusion) -> None:
    first, again = fitted.arrays(), fit(method, clips).arrays()
    assert first.keys() == again.keys(), f"two fits returned the arrays {sorted(first)} and {sorted(again)}."
    for name in first:
        assert np.array_equal(first[name], again[name]), (
            f"two fits with the same seed returned different {name!r}; use no randomness but `rng`."
        )


def _check_scores(fitted: FittedFusion, scores: list[Scores]) -> None:
    nowhere = np.zeros(len(scores[0]), np.bool_)
    nowhere[3:6] = True
    scores = [replace(s, valid=s.valid & ~nowhere) for s in scores]
    fused = fitted(scores)
    assert fused.system == fitted.method, f"the fused scores are of {fused.system!r}, not of {fitted.method!r}."
    assert fused.timeline == scores[0].timeline, f"the timeline is {fused.timeline}; keep that of the input."
    assert fused.label_set == fitted.label_set, f"the labels are {fused.label_set.names}; keep those of the systems."
    covered = np.any([s.valid for s in scores], axis=0)
    assert np.array_equal(fused.valid, covered), (
        f"{fused.valid.sum()} fused frames are valid, but at {covered.sum()} some system is; they must be the same."
    )
    assert not fused.values[~fused.valid].any(), "a fused frame without any valid system has scores; return zeros."
    assert np.isfinite(fused.values).all(), "a fused score is not finite."
    assert (fused.values >= 0).all(), "a fused score is negative; give probabilities, not logits."
    assert fused.values[fused.valid].any(axis=1).all(), "all scores of a valid fused frame are zero."
    reordered = fitted(scores[::-1])
    assert np.array_equal(reordered.values, fused.values), (
        "another order of the systems changed the fused scores; bind them by name, not by position."
    )


def _check_missing_systems(fitted: FittedFusion, scores: list[Scores]) -> None:
    missing = [replace(scores[0], valid=np.zeros(len(scores[0]), np.bool_)), *scores[1:]]
    fused, others = fitted(missing), np.any([s.valid for s in scores[1:]], axis=0)
    assert np.array_equal(fused.valid, others), (
        f"without {scores[0].system!r}, {fused.valid.sum()} frames are valid instead of {others.sum()}; "
        "fuse the other systems there."
    )
    noise = replace(missing[0], values=np.random.default_rng(1).random(scores[0].values.shape, np.float32))
    assert np.array_equal(fitted([noise, *scores[1:]]).values, fused.values), (
        "values of rows that are not valid changed the fused scores; ignore them."
    )


def _check_saving(method: FusionMethod, fitted: FittedFusion, scores: list[Scores]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fusion.safetensors"
        fusion.save(path, fitted)
        loaded = fusion.load(path, methods={method.name: method})
    assert (loaded.method, loaded.systems, loaded.label_set) == (fitted.method, fitted.systems, fitted.label_set), (
        f"saved as {fitted.method} of {fitted.systems}, loaded as {loaded.method} of {loaded.systems}."
    )
    arrays = loaded.arrays()
    for name, array in fitted.arrays().items():
        assert name in arrays, f"saving and loading lost the array {name!r}."
        assert np.array_equal(arrays[name], array), f"saving and loading changed the array {name!r}."
    assert np.array_equal(loaded(scores).values, fitted(scores).values), (
        "saving and loading changed the fused scores; return everything that was fitted from arrays()."
    )


def _check_one_system(method: FusionMethod, clips: Sequence[Clip]) -> None:
    alone: list[Clip] = [(scores[:1], truth) for scores, truth in clips]
    scores = alone[0][0]
    fused = fit(method, alone)(scores)
    assert np.array_equal(fused.valid, scores[0].valid), "fusing a single system changed its valid frames."


def _check_absent_class(method: FusionMethod, clips: Sequence[Clip]) -> None:
    absent = len(LABELS) - 1
    without: list[Clip] = [(scores, np.where(truth == absent, -1, truth)) for scores, truth in clips]
    fused = fit(method, without)(clips[0][0])
    assert fused.values.shape[1] == len(LABELS), (
        f"fitted without {LABELS.names[absent]!r}, it returns {fused.values.shape[1]} scores for {len(LABELS)} "
        "labels; an absent class keeps its column."
    )
    assert np.isfinite(fused.values).all(), "fitted without one of the classes, a fused score is not finite."
