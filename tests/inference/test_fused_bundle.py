"""Predicting with bundles of face and voice: videos of squares that are more or less light, with tones."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from emofuse.core.calibration import LogitCalibration
from emofuse.core.labels import AFFWILD2
from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Clip
from emofuse.errors import MediaError, SettingsError
from emofuse.evaluation.sources import open_source
from emofuse.faces.detector import Face
from emofuse.inference.batch import plan, predict_file
from emofuse.inference.prediction import Prediction
from emofuse.inference.predictor import Options, Predictor, predict
from emofuse.inference.summary import describe
from emofuse.media.audio import AudioBlock, AudioReader
from emofuse.media.video import VideoReader
from support.fused_bundles import RATE, Squares, image_of, predictor, write_bundle, write_video
from support.media_files import write_media
from support.speech_bundles import tone, write_wave
from support.turned_heads import MODEL, landmarks

NAMES = list(AFFWILD2.names)
BOTH = {"face": 0.6, "voice": 0.4}
ALL = {"face": [0.5, 0.1, 0.3, 0.3, 0.2, 0.6, 0.3], "face-windows": 0.2, "voice": 0.0}
ALL["voice"] = [0.8 - w for w in ALL["face"]]


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("both"), BOTH)


@pytest.fixture(scope="module")
def all_three(tmp_path_factory) -> Path:
    hot = LogitCalibration(0.7, (0.3, 0, 0, 0, -0.2, 0, 0))
    return write_bundle(
        tmp_path_factory.mktemp("three"), ALL, calibrations={"any": hot, "voice": LogitCalibration.identity(7)}
    )


def spoken(seconds: float) -> np.ndarray:
    return tone(2, seconds, 0, rate=44_100)


def half_seen(folder: Path) -> Path:
    """10 s with a voice; for 1 s and 1 s there is a face and none, in turn."""
    levels = [(120 + 2 * n if n // 5 % 2 == 0 else 0,) for n in range(50)]
    return write_video(folder / "half.mkv", levels, spoken(10))


def by_hand(prediction: Prediction, weights: dict[str, object], person: int = 1) -> np.ndarray:
    """The modalities of one person fused row by row; NaN where none is valid. Nobody else is in the video."""
    rows = []
    for n in range(len(prediction.timeline)):
        there = {p: s.values[n] for p, s in prediction.modalities[person].items() if s.valid[n]}
        total = sum(np.broadcast_to(weights[p], 7) for p in there)
        fused = sum(np.broadcast_to(weights[p], 7) / total * row for p, row in there.items())
        rows.append(fused / fused.sum() if there else np.full(7, np.nan))
    return np.array(rows)


def test_rows_without_a_face_are_scored_by_the_voice_alone(both, tmp_path):
    prediction = predictor(both).predict(half_seen(tmp_path))
    table = prediction.table()
    assert table.person.tolist() == [1] * 50
    assert table.status.tolist() == (["ok"] * 5 + ["voice_only"] * 5) * 5
    assert table[NAMES].to_numpy() == pytest.approx(by_hand(prediction, BOTH), abs=2e-6)
    voice = prediction.modalities[1]["voice"]
    alone = (table.status == "voice_only").to_numpy()
    assert table[NAMES].to_numpy()[alone] == pytest.approx(voice.values[alone], abs=2e-6)


def test_single_faces_are_smoothed_over_the_faces_that_were_found(both, tmp_path):
    path = half_seen(tmp_path)
    found = predictor(both).predict(path).modalities[1]["face"]
    raw = predictor(write_bundle(tmp_path / "raw", BOTH, smoothing=None)).predict(path).modalities[1]["face"]
    seen = np.flatnonzero(np.arange(50) // 5 % 2 == 0)
    assert np.flatnonzero(found.valid).tolist() == np.flatnonzero(raw.valid).tolist() == seen.tolist()
    for n in seen:
        weights = np.maximum(1 - np.abs(seen - n) / 7.5, 0)  # 1.5 s are seven and a half frames
        assert found.values[n] == pytest.approx(weights @ raw.values[seen] / weights.sum(), abs=1e-5)


def test_without_a_face_and_without_a_voice_there_is_no_score(both, tmp_path):
    levels = [(150 if n < 20 else 0,) for n in range(50)]
    audio = np.concatenate([spoken(2), np.zeros(8 * 44_100, np.float32)])
    table = predictor(both).predict(write_video(tmp_path / "a.mkv", levels, audio)).table()
    assert table.status.tolist() == ["ok"] * 20 + ["no_face"] * 30
    assert table.loc[table.status == "no_face", [*NAMES, "emotion", "confidence"]].isna().all(axis=None)


def test_rows_go_on_to_the_end_of_audio_that_outlasts_the_video(both, tmp_path):
    prediction = predictor(both).predict(write_video(tmp_path / "a.mkv", [(150,)] * 20, spoken(10)))
    assert prediction.timeline == Timeline.steps(5, end=ticks(10))
    table = prediction.table()
    assert table.status.tolist() == ["ok"] * 20 + ["voice_only"] * 30
    assert table.frame.isna().tolist() == [False] * 20 + [True] * 30
    assert prediction.metadata["warnings"] == [
        "the video ends at 4.0 s, the audio at 10.0 s: rows after the video have no frame"
    ]


def test_a_still_image_with_audio_is_scored_by_its_face_and_then_by_its_voice(both, tmp_path):
    prediction = predictor(both).predict(write_video(tmp_path / "a.mkv", [(150,)], spoken(4)))
    assert prediction.table().status.tolist() == ["ok"] + ["voice_only"] * 19


def test_audio_that_is_padded_by_less_than_a_second_adds_no_rows(both, tmp_path):
    prediction = predictor(both).predict(write_video(tmp_path / "a.mkv", [(150,)] * 20, spoken(4.9)))
    assert prediction.timeline == Timeline.steps(5, end=ticks(4))
    assert prediction.metadata["warnings"] == []


def test_a_summary_counts_frozen_rows_in_no_mean(both, tmp_path):
    frames, times = [image_of(150)] * 5 + [image_of(0)] * 5, [*range(5), *range(65, 70)]
    five = {"rate": Fraction(5), "time_base": Fraction(1, 5), "times": times}
    video = write_media(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="bgr0", **five)
    result = job(video, tmp_path / "out", both)
    table = pd.read_csv(result.task.paths["csv"])
    assert table.status.tolist() == ["ok"] * 29 + ["frozen"] * 36 + ["no_face"] * 5
    assert "36 of 70 time steps are frozen" in result.entry["warnings"][1]
    mean = table.loc[table.status == "ok", NAMES].mean()
    assert list(result.entry["persons"][0]["mean_probabilities"].values()) == pytest.approx(mean, abs=2e-4)


def test_with_digital_silence_or_no_audio_only_the_face_is_scored(both, tmp_path):
    levels = [(150,)] * 20
    mute = predictor(both).predict(write_video(tmp_path / "mute.mkv", levels))
    silent = predictor(both).predict(write_video(tmp_path / "silent.mkv", levels, np.zeros(4 * 44_100, np.float32)))
    assert mute.metadata["warnings"] == ["has no audio, so the voice was not scored"]
    assert silent.metadata["warnings"] == []
    for prediction in (mute, silent):
        assert prediction.table().status.tolist() == ["ok"] * 20
        assert prediction.scores[1].values == pytest.approx(prediction.modalities[1]["face"].values, abs=1e-6)
        assert not prediction.voice.valid.any()


def test_an_audio_file_is_scored_by_its_voice(both, tmp_path):
    audio = np.concatenate([tone(2, 4.0, 0), np.zeros(6 * RATE, np.float32)])
    prediction = predict(write_wave(tmp_path / "a.wav", audio), bundle=both)
    table = prediction.table()
    assert prediction.timeline == Timeline.steps(5, end=ticks(10))
    assert table.person.isna().all()
    assert table.frame.isna().all()
    assert set(table.status[:20]) == {"voice_only"}
    assert set(table.status[-20:]) == {"no_voice"}
    assert prediction.at(1.0)[0].status == "voice_only"


def test_every_frame_of_an_audio_file_is_refused(both, tmp_path):
    with pytest.raises(SettingsError, match="is an audio file, so --every-frame does not apply; use --rate"):
        predict(write_wave(tmp_path / "a.wav", tone(2, 1.0, 0)), bundle=both, every_frame=True)


def test_a_video_without_faces_is_scored_by_its_voice_without_a_person(both, tmp_path):
    audio = np.concatenate([spoken(4), np.zeros(4 * 44_100, np.float32)])
    prediction = predictor(both).predict(write_video(tmp_path / "a.mkv", [(0,)] * 40, audio))
    table = prediction.table()
    assert prediction.persons == []
    assert table.person.isna().all()
    assert set(table.status[:20]) == {"voice_only"}
    assert set(table.status[-10:]) == {"no_face"}
    assert table.frame.tolist() == list(range(40))


def test_two_persons_in_a_frame_share_the_weight_of_the_voice(both, tmp_path):
    """Both are there for 4 s, then the first alone, then nobody; each row by hand."""
    levels = [(150, 220)] * 20 + [(150, 0)] * 20 + [(0, 0)] * 10
    prediction = predictor(both).predict(write_video(tmp_path / "two.mkv", levels, spoken(10)))
    voice = prediction.modalities[1]["voice"].values
    assert np.array_equal(voice, prediction.modalities[2]["voice"].values)
    faces = {p: prediction.modalities[p]["face"].values for p in (1, 2)}
    for person in (1, 2):
        shared = (0.6 * faces[person] + 0.2 * voice) / 0.8
        assert prediction.scores[person].values[:20] == pytest.approx(shared[:20], abs=1e-6)
    assert prediction.scores[1].values[20:40] == pytest.approx((0.6 * faces[1] + 0.4 * voice)[20:40], abs=1e-6)
    assert prediction.statuses(2).tolist() == ["ok"] * 20 + ["no_face"] * 20 + ["voice_only"] * 10
    assert prediction.scores[2].values[40:] == pytest.approx(voice[40:], abs=1e-6)


def test_single_faces_face_windows_and_voice_are_fused_and_calibrated(all_three, tmp_path):
    prediction = predictor(all_three).predict(half_seen(tmp_path))
    expected = by_hand(prediction, ALL)
    faced = prediction.face_found(1)
    hot = np.log(expected) / 0.7 + np.array([0.3, 0, 0, 0, -0.2, 0, 0])
    expected = np.where(faced[:, None], softmax(hot, axis=1), expected)
    assert prediction.scores[1].values == pytest.approx(expected, abs=1e-5)
    assert prediction.modalities[1]["face-windows"].valid.tolist() == faced.tolist()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_pushes_of_frames_and_audio_have_the_result_of_predict(all_three, tmp_path, seed):
    path, rng = half_seen(tmp_path), np.random.default_rng(seed)
    loaded = predictor(all_three)
    whole = loaded.predict(path)
    session, collector = loaded.session(), loaded.collector()
    with VideoReader(path) as video:
        frames, end = list(video.frames()), video.end
    with AudioReader(path, rate_hz=RATE) as audio:
        samples = np.concatenate([block.samples for block in audio.blocks()])
    pushed_frames = pushed_samples = 0
    while pushed_frames < len(frames) or pushed_samples < len(samples):
        if rng.random() < 0.5:
            size = int(rng.integers(1, 15))
            collector.add(session.push_frames(frames[pushed_frames : pushed_frames + size]))
            pushed_frames += size
        elif pushed_samples < len(samples):
            size = int(rng.integers(1, 6000))
            collector.add(
                session.push_audio(
                    AudioBlock(samples[pushed_samples : pushed_samples + size], pushed_samples * ticks(1) // RATE, RATE)
                )
            )
            pushed_samples += size
    collector.add(session.close(end))
    pushed = collector.prediction(path.name, "x", {})
    assert pushed.timeline == whole.timeline
    assert pushed.statuses(1).tolist() == whole.statuses(1).tolist()
    assert np.abs(pushed.scores[1].values - whole.scores[1].values).max() < 1e-4


def test_a_face_is_returned_exactly_when_its_future_is_complete(both, tmp_path):
    """1.5 s are the first 8 frames; after the tracker's lookahead no more faces can be added to them."""
    session = predictor(both).session()
    assert session.faces.lookahead == ticks(Fraction(3, 2))
    path, delays = write_video(tmp_path / "a.mkv", [(150,)] * 40), []
    with VideoReader(path) as video:
        for frame in video.frames():
            delays += [frame.index - o.frame for o in session.push_frames([frame]).faces]
    assert set(delays) == {8 + session.faces.lookahead_frames}
    assert len(session.close(ticks(8)).faces) == 40 - len(delays)


def test_the_memory_of_a_session_does_not_grow(all_three, tmp_path):
    session = predictor(all_three).session()
    with VideoReader(write_video(tmp_path / "a.mkv", [(150,)] * 300, spoken(1))) as video:
        for frame in video.frames():
            session.push_frames([frame])
            assert sum(len(p.faces) for p in session.faces._smoother._persons.values()) <= 2 * 8 + 6
            assert sum(map(len, session.faces._window_stages[0]._open.values())) <= 10 + 5 + 6


def test_rows_below_the_minimum_confidence_are_uncertain_and_keep_their_probabilities(both, tmp_path):
    path = half_seen(tmp_path)
    plain, strict = (predictor(both, min_confidence=c).predict(path).table() for c in (0, 0.3))
    low = plain.confidence < 0.3
    assert 0 < low.sum() < 50
    assert set(strict.emotion[low]) == {"uncertain"}
    assert (strict.emotion[~low] == plain.emotion[~low]).all()
    pd.testing.assert_frame_equal(strict.drop(columns="emotion"), plain.drop(columns="emotion"))


def test_segments_and_moments_are_uncertain_too(both, tmp_path):
    prediction = predictor(both, min_confidence=1.0).predict(half_seen(tmp_path))
    assert {s.emotion for s in prediction.segments()} == {"uncertain"}
    assert [s.status for s in prediction.segments()[:3]] == ["ok", "voice_only", "ok"]
    moment = prediction.at(1.5)[0]
    assert (moment.status, moment.emotion) == ("voice_only", "uncertain")
    assert moment.confidence == max(moment.probabilities.values())


@pytest.mark.parametrize("least", [-0.1, 1.01, float("nan")])
def test_a_minimum_confidence_outside_0_to_1_is_refused(least):
    with pytest.raises(SettingsError, match=r"--min-confidence .*: give a number from 0 to 1"):
        Options(min_confidence=least)


def test_per_modality_adds_columns_of_each_modality(all_three, tmp_path):
    path = half_seen(tmp_path)
    plain = predictor(all_three).predict(path)
    prediction = predictor(all_three, per_modality=True).predict(path)
    columns = [f"{modality}_{name}" for modality in ("face", "face_windows", "voice") for name in NAMES]
    table = prediction.table()
    assert table.columns.tolist() == [*plain.table().columns, *columns]
    for modality, scores in prediction.modalities[1].items():
        written = table[[f"{modality.replace('-', '_')}_{name}" for name in NAMES]].to_numpy()
        assert np.isnan(written).all(axis=1).tolist() == (~scores.valid).tolist()
        assert written[scores.valid] == pytest.approx(scores.values[scores.valid], abs=1e-5)
    read = pd.read_csv(prediction.save(tmp_path / "t.csv"), dtype={"person": "Int64", "frame": "Int64"})
    pd.testing.assert_frame_equal(read, table, check_dtype=False)


def test_a_bundle_of_one_modality_has_its_columns_even_without_a_face(tmp_path):
    bundle = write_bundle(tmp_path, {"face": 1.0}, smoothing=None)
    table = predictor(bundle, per_modality=True).predict(write_video(tmp_path / "a.mkv", [(0,)] * 5)).table()
    assert table[[f"face_{name}" for name in NAMES]].isna().all(axis=None)
    assert set(table.status) == {"no_face"}


def job(path: Path, out: Path, bundle: Path, **options: object):
    (planned,) = plan([path], out=out, options=Options(str(bundle), **options))
    return predict_file(predictor(bundle, **options), planned, None, lambda _: None)


def test_another_minimum_confidence_or_other_columns_are_predicted_again(both, tmp_path):
    path, out = half_seen(tmp_path), tmp_path / "out"
    again = [({}, False), ({}, True), ({"min_confidence": 0.3}, False), ({"min_confidence": 0.3}, True)]
    again += [({"min_confidence": 0.4}, False), ({"per_modality": True}, False), ({"per_modality": True}, True)]
    for options, skipped in again:
        assert job(path, out, both, **options).skipped == skipped


def test_the_summary_lists_the_stages_and_the_fraction_of_voice_only_rows(both, tmp_path):
    entry = job(half_seen(tmp_path), tmp_path / "out", both, min_confidence=0.3).entry
    assert (entry["detector"], entry["modalities"], entry["min_confidence"]) == ("squares", ["face", "voice"], 0.3)
    assert entry["separation"] == "none"
    assert entry["voice_activity"].startswith("energy")
    assert (entry["persons"][0]["face_fraction"], entry["persons"][0]["voice_only_fraction"]) == (0.5, 0.5)
    assert entry["voice"]["fraction"] == 1.0
    json.dumps(entry)


def test_voice_only_rows_count_in_an_evaluation(both, tmp_path):
    path = half_seen(tmp_path)
    prediction = predictor(both).predict(path)
    table = prediction.save(tmp_path / "half.csv")
    scores = open_source(table).scores(Clip("half", path), prediction.timeline, AFFWILD2)
    assert scores.valid.all()
    assert scores.values == pytest.approx(prediction.scores[1].values, abs=1e-5)


def test_audio_that_cannot_be_read_is_a_warning_if_there_are_faces(both, tmp_path, monkeypatch):
    def blocks(*_: object) -> None:
        raise MediaError("a.mkv: its audio is broken")

    monkeypatch.setattr(AudioReader, "blocks", blocks)
    prediction = predictor(both).predict(write_video(tmp_path / "a.mkv", [(150,)] * 10, spoken(2)))
    assert prediction.table().status.tolist() == ["ok"] * 10
    assert "only faces are scored from there: a.mkv: its audio is broken" in prediction.metadata["warnings"][0]


def test_progress_increases_and_ends_at_one(both, tmp_path):
    fractions: list[float] = []
    Predictor(Options(str(both))).predict(half_seen(tmp_path), progress=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


class TurnedSquares(Squares):
    """The same, with landmarks: the lighter faces are turned by 60 degrees."""

    head_model = MODEL

    def __call__(self, image: np.ndarray) -> list[Face]:
        faces = []
        for face in super().__call__(image):
            x, y = face.box[:2].astype(int) + 4
            faces.append(Face(face.box, face.score, landmarks((60 if image[y, x, 0] > 200 else 0, 0, 0))))
        return faces


def test_a_face_that_is_turned_too_far_leaves_the_row_to_the_voice_and_keeps_its_box(both, tmp_path):
    path = write_video(tmp_path / "turning.mkv", [(220 if 10 <= n < 20 else 150,) for n in range(30)], spoken(6))
    limited, unlimited = predictor(both, max_yaw=45.0), predictor(both)
    limited.detector = unlimited.detector = TurnedSquares()
    some, every = limited.predict(path), unlimited.predict(path)
    assert some.statuses(1).tolist() == ["ok"] * 10 + ["voice_only"] * 10 + ["ok"] * 10
    assert set(every.statuses(1)) == {"ok"}
    assert some.modalities[1]["face"].valid.tolist() == [True] * 10 + [False] * 10 + [True] * 10
    assert some.faces[1].found.all()
    assert np.array_equal(some.faces[1].values, every.faces[1].values)
    assert (some.metadata["max_yaw"], "max_yaw" in every.metadata) == (45.0, False)
    assert limited.identity != unlimited.identity


def test_who_is_turned_away_beside_others_has_no_score(both, tmp_path):
    path = write_video(tmp_path / "two.mkv", [(150, 220)] * 20, spoken(4))
    limited = predictor(both, max_yaw=45.0)
    limited.detector = TurnedSquares()
    prediction = limited.predict(path)
    assert set(prediction.statuses(1)) == {"ok"}
    assert set(prediction.statuses(2)) == {"turned"}
    second = describe(prediction)["persons"][1]
    assert (second["face_fraction"], second["turned_fraction"]) == (1.0, 1.0)
    assert (second["mean_face"]["yaw"], second["mean_probabilities"]) == (60.0, None)
