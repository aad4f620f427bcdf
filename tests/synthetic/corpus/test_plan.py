"""The plan of a synthetic corpus: splits, frame rates, class frequencies, modalities, planted problems."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.errors import SettingsError
from emofuse.synthetic.corpus.intensity import face_of, intensities, voice_of
from emofuse.synthetic.corpus.plan import (
    FREQUENCIES,
    RATES_HZ,
    SNRS_DB,
    SPLITS,
    ScriptSegment,
    assign_emotions,
    assign_modes,
    frame_labels,
    plan_corpus,
    planted_problems,
)

SEEDS = range(6)


def labels_of(plan, split):
    rows = [frame_labels(entry, video) for video in plan if video.split == split for entry in video.entries]
    labels = np.concatenate(rows)
    return labels[labels >= 0]


def segments_of(plan):
    return [segment for video in plan for entry in video.entries for segment in entry.segments]


@pytest.mark.parametrize("seed", SEEDS)
def test_all_seven_classes_occur_in_every_split_of_twelve_videos(seed):
    plan = plan_corpus(12, 20.0, seed=seed)
    for split in SPLITS:
        assert set(labels_of(plan, split)) == set(range(7))


@pytest.mark.parametrize("seed", SEEDS)
def test_neutral_is_more_than_half_of_the_frames_and_disgust_fear_and_anger_are_rarest(seed):
    plan = plan_corpus(24, 30.0, seed=seed)
    for split in SPLITS:
        fractions = np.bincount(labels_of(plan, split), minlength=7) / len(labels_of(plan, split))
        assert 0.5 < fractions[0] < 0.65
        rare = fractions[AFFWILD2.encode(["disgust", "fear", "anger"])]
        often = fractions[AFFWILD2.encode(["happiness", "sadness"])]
        assert rare.max() < often.min()


def test_an_easy_corpus_has_balanced_classes_no_background_audio_and_low_frame_rates():
    plan = plan_corpus(24, 20.0, seed=1, easy=True)
    for split in SPLITS:
        fractions = np.bincount(labels_of(plan, split), minlength=7) / len(labels_of(plan, split))
        assert 0.1 < fractions.min() <= fractions.max() < 0.19
    assert {(video.background, video.snr_db) for video in plan} == {("none", None)}
    assert max(video.rate_hz for video in plan) == 15
    assert {p["code"] for p in planted_problems(plan)} == {"off-by-one", "unlabelled", "no-face", "no-audio"}


def test_half_of_the_emotional_time_is_expressed_in_both_modalities_and_much_in_only_one():
    shown = Counter()
    for segment in segments_of(plan_corpus(48, 30.0, seed=1)):
        if segment.emotion != "neutral":
            modalities = ("face" * (segment.face != "neutral"), "voice" * (segment.voice not in (None, "neutral")))
            shown[modalities] += segment.end - segment.start
    total = sum(shown.values())
    assert 0.4 < shown["face", "voice"] / total < 0.6
    assert shown["face", ""] / total > 0.15
    assert shown["", "voice"] / total > 0.15
    assert ("", "") not in shown


def test_each_modality_expresses_neutral_or_the_emotion_of_the_segment():
    for segment in segments_of(plan_corpus(12, 20.0, seed=2)):
        assert segment.face in ("neutral", segment.emotion)
        assert segment.voice in (None, "neutral", segment.emotion)


def test_of_two_subjects_one_speaks_at_a_time():
    pairs = [video for video in plan_corpus(24, 10.0, seed=0) if len(video.entries) == 2]
    assert len(pairs) == 4
    for video in pairs:
        left, right = video.entries
        assert (left.name, right.name) == (f"{video.name}_left", f"{video.name}_right")
        for one, other in zip(left.segments, right.segments, strict=True):
            assert (one.start, one.end) == (other.start, other.end)
            assert (one.voice is None) != (other.voice is None)


@pytest.mark.parametrize("seed", SEEDS)
def test_videos_of_pairs_are_in_more_than_one_split(seed):
    plan = plan_corpus(12, 4.0, seed=seed)
    assert len({video.split for video in plan if len(video.entries) == 2}) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_no_subject_is_in_two_splits(seed):
    plan = plan_corpus(24, 4.0, seed=seed)
    subjects = {s: {entry.subject for v in plan if v.split == s for entry in v.entries} for s in SPLITS}
    assert not subjects["train"] & subjects["validation"]
    assert not (subjects["train"] | subjects["validation"]) & subjects["test"]
    assert all(len({entry.subject for entry in video.entries}) == len(video.entries) for video in plan)


def test_splits_are_a_half_and_two_quarters():
    assert Counter(video.split for video in plan_corpus(24, 4.0, seed=0)) == {"train": 12, "validation": 6, "test": 6}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_frame_rate_noise_level_and_problem_occurs_in_twelve_videos(seed):
    plan = plan_corpus(12, 4.0, seed=seed)
    assert {video.rate_hz for video in plan} == set(RATES_HZ)
    assert {video.snr_db for video in plan} == set(SNRS_DB)
    assert {p["code"] for p in planted_problems(plan)} == {"off-by-one", "no-audio", "unlabelled", "no-face"}
    assert {entry.extra_lines for video in plan for entry in video.entries} == {-1, 0, 1}
    assert {entry.away and entry.away[2] for video in plan for entry in video.entries} == {None, "out", "turned"}


def test_a_video_has_at_most_one_problem():
    plan = plan_corpus(48, 10.0, seed=3)
    where = [problem["item"].removesuffix("_left").removesuffix("_right") for problem in planted_problems(plan)]
    assert len(where) == len(set(where))


def test_segments_cover_the_video_without_gaps():
    for video in plan_corpus(12, 7.3, seed=1):
        for entry in video.entries:
            borders = [(segment.start, segment.end) for segment in entry.segments]
            assert borders[0][0] == 0
            assert borders[-1][1] == pytest.approx(video.seconds, abs=1e-3)
            assert all(one[1] == other[0] for one, other in pairwise(borders))


def test_labels_follow_the_script_with_the_delay_of_the_annotation():
    video = plan_corpus(12, 20.0, seed=0)[0]
    entry = video.entries[0]
    change = next(n for n, s in enumerate(entry.segments[1:], 1) if s.emotion != entry.segments[n - 1].emotion)
    border = entry.segments[change].start
    labels = frame_labels(entry, video)
    at = int(np.ceil((border + entry.delay) * float(video.rate_hz)))
    assert AFFWILD2.names[labels[at]] == entry.segments[change].emotion
    assert AFFWILD2.names[labels[at - 1]] == entry.segments[change - 1].emotion
    assert 0.1 <= entry.delay <= 0.4


def test_class_frequencies_are_met_for_segments_of_any_length():
    rng = np.random.default_rng(0)
    frames = rng.uniform(20, 300, 400)
    emotions = np.array(assign_emotions(frames, rng))
    for name, frequency in FREQUENCIES.items():
        assert frames[emotions == name].sum() / frames.sum() == pytest.approx(frequency, abs=0.01)


def test_with_few_segments_common_classes_come_first():
    emotions = assign_emotions(np.full(5, 30.0), np.random.default_rng(0))
    assert sorted(emotions) == ["happiness", "neutral", "neutral", "neutral", "sadness"]


def test_without_speech_only_the_face_expresses_the_emotion():
    modes = assign_modes(["fear"] * 20, [False] * 20, np.random.default_rng(0))
    assert modes == ["face"] * 20


def test_intensity_fades_between_segments_and_varies_within_them():
    script = [ScriptSegment(0, 3), ScriptSegment(3, 6, "anger", "anger", face_strength=0.8), ScriptSegment(6, 9)]
    times = np.linspace(0, 9, 901)
    anger = intensities(script, times, face_of, rng=np.random.default_rng(0))[:, AFFWILD2.index("anger")]
    assert anger[times < 2.74].max() == 0
    assert 0.3 < anger[300] / anger[330] < 0.7
    assert np.abs(np.diff(anger)).max() < 0.04
    assert 0.8 * 0.69 < anger[(times > 3.3) & (times < 5.7)].min() < anger.max() <= 0.8


def test_a_voice_can_stay_neutral_while_the_face_does_not():
    script = [ScriptSegment(0, 3, "fear", face="fear", voice="neutral")]
    for shown, expected in ((face_of, 0), (voice_of, 1)):
        values = intensities(script, np.array([1.5]), shown, rng=np.random.default_rng(0))
        assert (values[0, 0] == 1) == expected


def test_too_few_or_too_short_videos_are_refused():
    with pytest.raises(SettingsError, match="at least 3"):
        plan_corpus(2, 20.0, seed=0)
    with pytest.raises(SettingsError, match="at least 4 s"):
        plan_corpus(12, 3.0, seed=0)
    with pytest.raises(SettingsError, match="at least 4 s"):
        plan_corpus(12, float("nan"), seed=0)
