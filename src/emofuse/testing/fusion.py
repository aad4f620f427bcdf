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
    """Hold a fusion method to the contract of `emofuse.fusion.FusionMethod`, on small made-up scores.

    Fitting with the same seed gives the same arrays; scores in, scores out on the same timeline and labels, whatever
    the order in which the systems are given; fused scores are finite and not negative; a frame is valid where any
    system is; a system may be missing for frames or for a whole clip; saving and loading changes no bit; it works with
    one system, and with a class that has no label.

    Raises:
        AssertionError: what the method does not keep, and what was found.

    >>> check_fusion(fusion.METHODS["mean"])
    """
    assert method.name, "method.name is empty; give the name that it is registered under."
    clips = [clip(SYSTEMS, frames=40 + 10 * n, seed=n) for n in range(4)]
    fitted = fit(method, clips)
    assert fitted.method == method.name, f"the fitted method is called {fitted.method!r}, not {method.name!r}."
    assert fitted.systems == SYSTEMS, f"systems are {fitted.systems}, the stack had {SYSTEMS}."
    assert fitted.label_set == LABELS, f"labels are {fitted.label_set.names}, the stack had {LABELS.names}."
    _check_seed(method, clips, fitted)
    _check_scores(fitted, clips[0][0])
    _check_missing_systems(fitted, clips[0][0])
    _check_saving(method, fitted, clips[0][0])
    _check_one_system(method, clips)
    _check_absent_class(method, clips)


def clip(systems: Sequence[str], *, frames: int, seed: int, label_set: LabelSet = LABELS) -> Clip:
    """Made-up scores of each system on one timeline, and the truth int [frames], -1 for a tenth of the frames.

    The systems agree with the truth more or less; each says nothing at some of the frames.
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
    """The method fitted on clips by the challenge measure."""
    stack, truth = SystemScores.of([scores for scores, _ in clips]), np.concatenate([truth for _, truth in clips])
    return method.fit(stack, truth, cpm_of, np.random.default_rng(seed))


def _check_seed(method: FusionMethod, clips: Sequence[Clip], fitted: FittedFusion) -> None:
    first, again = fitted.arrays(), fit(method, clips).arrays()
    assert first.keys() == again.keys(), f"two fits gave the arrays {sorted(first)} and {sorted(again)}."
    for name in first:
        assert np.array_equal(first[name], again[name]), (
            f"two fits with the same seed gave different {name!r}; take all chance from the generator that is given."
        )


def _check_scores(fitted: FittedFusion, scores: list[Scores]) -> None:
    nowhere = np.zeros(len(scores[0]), np.bool_)
    nowhere[3:6] = True
    scores = [replace(s, valid=s.valid & ~nowhere) for s in scores]
    fused = fitted(scores)
    assert fused.system == fitted.method, f"the fused scores are of {fused.system!r}, not of {fitted.method!r}."
    assert fused.timeline == scores[0].timeline, f"the timeline became {fused.timeline}; keep the one that was given."
    assert fused.label_set == fitted.label_set, f"the labels became {fused.label_set.names}; keep those of the systems."
    covered = np.any([s.valid for s in scores], axis=0)
    assert np.array_equal(fused.valid, covered), (
        f"{fused.valid.sum()} fused frames are valid, but at {covered.sum()} some system is; they must be the same."
    )
    assert not fused.values[~fused.valid].any(), "a fused frame without any valid system holds scores; leave zeros."
    assert np.isfinite(fused.values).all(), "a fused score is not finite."
    assert (fused.values >= 0).all(), "a fused score is negative; give probabilities, not logits."
    assert fused.values[fused.valid].any(axis=1).all(), "a valid fused frame holds only zeros."
    turned = fitted(scores[::-1])
    assert np.array_equal(turned.values, fused.values), (
        "giving the systems in another order changed the fused scores; bind them by name, not by position."
    )


def _check_missing_systems(fitted: FittedFusion, scores: list[Scores]) -> None:
    silent = [replace(scores[0], valid=np.zeros(len(scores[0]), np.bool_)), *scores[1:]]
    fused, others = fitted(silent), np.any([s.valid for s in scores[1:]], axis=0)
    assert np.array_equal(fused.valid, others), (
        f"with {scores[0].system!r} silent, {fused.valid.sum()} frames are valid instead of {others.sum()}; "
        "let the other systems judge."
    )
    noise = replace(silent[0], values=np.random.default_rng(1).random(scores[0].values.shape, np.float32))
    assert np.array_equal(fitted([noise, *scores[1:]]).values, fused.values), (
        "what lies in rows that are not valid changed the fused scores; it says nothing and must not count."
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
        "saving and loading changed the fused scores; everything that was fitted belongs in arrays()."
    )


def _check_one_system(method: FusionMethod, clips: Sequence[Clip]) -> None:
    alone: list[Clip] = [(scores[:1], truth) for scores, truth in clips]
    scores = alone[0][0]
    fused = fit(method, alone)(scores)
    assert np.array_equal(fused.valid, scores[0].valid), "fused alone, a system's valid frames changed."


def _check_absent_class(method: FusionMethod, clips: Sequence[Clip]) -> None:
    absent = len(LABELS) - 1
    without: list[Clip] = [(scores, np.where(truth == absent, -1, truth)) for scores, truth in clips]
    fused = fit(method, without)(clips[0][0])
    assert fused.values.shape[1] == len(LABELS), (
        f"fitted without any {LABELS.names[absent]!r}, it gives {fused.values.shape[1]} scores for {len(LABELS)} "
        "labels; a class that is absent keeps its column."
    )
    assert np.isfinite(fused.values).all(), "fitted without one of the classes, a fused score is not finite."
