from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from emofuse import metrics
from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Annotation, Scores
from emofuse.errors import DataError, SettingsError
from emofuse.evaluation.evaluate import Settings, aligned, evaluate, predicted_classes, save_evaluation
from emofuse.fusion.saved import load
from support.small_datasets import InMemoryData, InMemoryScores, random_data, simulate_scores


@pytest.fixture(scope="module")
def data() -> InMemoryData:
    return random_data()


@pytest.fixture(scope="module")
def face(data) -> InMemoryScores:
    return simulate_scores(data, "face", skill=2.0, seed=1, valid=0.9)


@pytest.fixture(scope="module")
def voice(data) -> InMemoryScores:
    return simulate_scores(data, "voice", skill=1.5, seed=2, valid=0.8)


@pytest.fixture(scope="module")
def fused(data, face, voice):
    return evaluate(data, [face, voice], Settings(fuse=("swf", "mcwf", "mean"), folds=4, resamples=200))


def all_frames(data: InMemoryData, source: InMemoryScores) -> tuple[np.ndarray, np.ndarray]:
    truth = np.concatenate([data.labels[c.id] for c in data.clips])
    guess = np.concatenate([predicted_classes(source.by_clip[c.id]) for c in data.clips])
    return truth[truth >= 0], guess[truth >= 0]


def test_metrics_equal_those_of_scikit_learn_over_all_labelled_frames(data, face, fused):
    truth, guess = all_frames(data, face)
    found = fused.rows[0]
    assert found.system == "face"
    assert found.estimates["macro_f1"].value == pytest.approx(f1_score(truth, guess, average="macro"), abs=1e-12)
    assert found.estimates["accuracy"].value == pytest.approx(accuracy_score(truth, guess), abs=1e-12)
    assert fused.frames == len(truth)


def test_every_fusion_is_scored_in_sample_and_cross_fitted(fused):
    assert [(r.system, r.fitted) for r in fused.rows[2:]] == [
        (name, how) for name in ("swf", "mcwf", "mean") for how in ("in-sample", "cross-fitted")
    ]


def test_fusing_two_systems_with_independent_errors_helps_on_other_videos(fused):
    by = {(r.system, r.fitted): r.estimates["cpm"].value for r in fused.rows}
    assert by["swf", "cross-fitted"] > max(by["face", ""], by["voice", ""])


def test_a_fusion_without_fitted_weights_is_the_same_cross_fitted(fused):
    mean = [r for r in fused.rows if r.system == "mean"]
    assert np.array_equal(mean[0].counts, mean[1].counts)


def test_intervals_resample_videos_so_two_persons_of_one_video_stay_together(data, face):
    pairs = {name: f"video{n // 2}" for n, name in enumerate(data.labels)}
    result = evaluate(replace(data, videos=pairs), [face], Settings(resamples=200))
    counts = np.zeros((4, 7, 7), int)
    for n, clip in enumerate(data.clips):
        guess = predicted_classes(face.by_clip[clip.id])
        counts[n // 2] += metrics.confusion(data.labels[clip.id], guess)
    assert result.videos == 4
    assert result.rows[0].estimates["cpm"] == metrics.bootstrap(counts, resamples=200)


def test_a_frame_has_the_5_hz_score_at_its_start(data):
    rng, rate = np.random.default_rng(3), data.rate_hz
    scores, guess = {}, []
    for clip in data.clips:
        steps = Timeline.steps(5, end=int(data.timeline(clip).end[-1]))
        classes = rng.integers(0, 7, len(steps))
        scores[clip.id] = Scores(np.eye(7)[classes], steps, data.label_set, np.ones(len(steps), bool), "steps")
        guess += [classes[int(n / rate * 5)] for n in range(len(data.labels[clip.id]))]
    truth = np.concatenate(list(data.labels.values()))
    result = evaluate(data, [InMemoryScores("steps", scores)], Settings(resamples=10))
    assert np.array_equal(result.rows[0].counts, metrics.confusion(truth, np.array(guess)))


def test_a_long_label_is_compared_with_the_mean_of_its_scores():
    windows, steps = Timeline.windows(ticks(2), ticks(2), end=ticks(4)), Timeline.steps(5, end=ticks(4))
    data = InMemoryData({"a": []})
    values = np.repeat([[0.6, 0.4], [0.0, 1.0], [0.9, 0.1], [0.9, 0.1]], 5, axis=0)
    scores = Scores(np.pad(values, ((0, 0), (0, 5))), steps, data.label_set, np.ones(20, bool), "s")
    truth = Annotation(np.array([1, 0]), windows, data.label_set)
    assert predicted_classes(aligned(scores, truth)).tolist() == [1, 0]


def test_a_frame_without_a_score_has_the_last_predicted_class():
    data = InMemoryData({"a": [0] * 4})
    valid = np.array([False, True, False, True])
    scores = Scores(np.eye(7)[[0, 3, 0, 5]], data.timeline(data.clips[0]), data.label_set, valid, "s")
    assert predicted_classes(scores).tolist() == [3, 3, 3, 5]


def test_a_clip_without_scores_counts_as_neutral_with_a_note(data, face):
    without = replace(face.by_clip["v0"], valid=np.zeros(len(data.labels["v0"]), bool))
    result = evaluate(data, [InMemoryScores("face", {**face.by_clip, "v0": without})], Settings(resamples=10))
    assert "face has no score for v0: it counts as neutral." in result.notes


def test_a_missing_clip_is_refused_with_its_name(data, face, voice):
    fewer = InMemoryScores("voice", {n: s for n, s in voice.by_clip.items() if n not in ("v1", "v3")})
    with pytest.raises(DataError, match=r"voice has no scores for 2 of 8 clips \(v1, v3\)\. .* --allow-missing"):
        evaluate(data, [face, fewer])


def test_missing_clips_are_left_out_of_every_system_when_allowed(data, face, voice):
    fewer = InMemoryScores("voice", {n: s for n, s in voice.by_clip.items() if n != "v1"})
    result = evaluate(data, [face, fewer], Settings(allow_missing=True, resamples=10))
    assert result.clips == 7
    assert result.rows[0].counts.sum() == result.rows[1].counts.sum()
    assert result.notes == ["voice has no scores for 1 of 8 clips (v1): left out."]


def test_systems_without_a_common_clip_are_refused_even_with_allow_missing(data, face):
    with pytest.raises(DataError, match="other has no scores for 8 of 8 clips"):
        evaluate(data, [face, InMemoryScores("other", {})], Settings(allow_missing=True))


def test_a_split_without_any_label_is_refused(face):
    unlabelled = random_data()
    unlabelled.labels = {n: [-1] * len(v) for n, v in unlabelled.labels.items()}
    with pytest.raises(DataError, match="no frame of the validation split is labelled"):
        evaluate(unlabelled, [face])


def test_a_class_that_never_occurs_is_noted(data, face):
    without = replace(data, labels={n: [0 if c == 3 else c for c in v] for n, v in data.labels.items()})
    result = evaluate(without, [face], Settings(resamples=10))
    assert result.notes == ["No frame is labelled fear: F1 is the mean over the classes that occur in truth or guess."]


@pytest.mark.parametrize(
    ("sources", "settings", "message"),
    [
        (0, {}, "no scores given"),
        (1, {"fuse": ("swf",)}, "a single system cannot be fused"),
        (2, {"fuse": ("swif",)}, r"swif.*did you mean 'swf'"),
        (1, {"measure": "cmp"}, r"--measure 'cmp': unknown \(did you mean 'cpm'\?\)"),
        (1, {"folds": 1}, "--folds 1"),
        (-1, {}, r"two sources are called face; give them distinct names: NAME=PATH"),
    ],
)
def test_invalid_settings_are_refused(data, face, voice, sources, settings, message):
    given = [face, face] if sources < 0 else [face, voice][:sources]
    with pytest.raises(SettingsError, match=message):
        evaluate(data, given, Settings(**settings))


def test_saved_results_are_strict_json_and_loadable_fusions(fused, face, voice, tmp_path):
    paths = save_evaluation(fused, tmp_path)
    report = json.loads((tmp_path / "evaluation.json").read_text(), parse_constant=pytest.fail)
    assert [s["system"] for s in report["systems"]][:3] == ["face", "voice", "swf"]
    fitted = load(next(p for p in paths if p.name == "mcwf.safetensors"))
    given = [face.by_clip["v0"], voice.by_clip["v0"]]
    assert np.array_equal(fitted(given).values, fused.fitted["mcwf"](given).values)
