"""Who speaks in whole files: squares as faces, whatever they show of a mouth, and two real people side by side."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from emofuse.inference.live import LiveSession
from emofuse.inference.prediction import Prediction
from emofuse.inference.predictor import Options, Predictor
from emofuse.inference.renumbering import PersonChoice
from emofuse.inference.selection import Selection
from emofuse.media.audio import AudioReader
from emofuse.media.encode import write_video as encode
from emofuse.media.video import VideoReader
from support.fused_bundles import RATE, image_of, predictor, write_bundle
from support.fused_bundles import write_video as write_slow
from support.media_files import write_media
from support.portraits import CLIPS
from support.speech_bundles import tone

SLOW = "do not show who speaks (12 are needed): the voice is shared among all in view"


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("both"), {"face": 0.6, "voice": 0.4})


def spoken(seconds: float) -> np.ndarray:
    return tone(2, seconds, 0, rate=44_100)


def lossless(
    path: Path, levels: Sequence[tuple[int, ...]], *, times: Sequence[int] | None = None, **more: object
) -> Path:
    """A video of 25 frames per second, or with these times in milliseconds."""
    base = {"rate": Fraction(25), "time_base": Fraction(1, 25)} if times is None else {"time_base": Fraction(1, 1000)}
    images = [image_of(*row) for row in levels]
    return write_media(path, images, codec="ffv1", pix_fmt="bgr0", audio_codec="pcm_s16le", times=times, **base, **more)


def moving(n: int) -> list[tuple[int, ...]]:
    """Two squares that change at random."""
    return [tuple(row) for row in np.random.default_rng(0).integers(120, 250, (n, 2)).tolist()]


def speaking(prediction: Prediction) -> np.ndarray:
    return prediction.table().speaking.to_numpy(float)


def test_at_12_frames_per_second_and_more_each_row_has_who_speaks_and_a_part_of_the_voice(both, tmp_path):
    prediction = predictor(both, rotate=0).predict(lossless(tmp_path / "a.mkv", moving(100), audio=spoken(4)))
    table = prediction.table()
    assert table.columns[-2:].tolist() == ["speaking", "voice_weight"]
    assert table.speaking.between(0, 1).all()
    assert (table.groupby("start").voice_weight.sum() <= 1 + 1 / 64).all()
    assert prediction.metadata["warnings"] == []
    assert "active_speaker" in prediction.metadata


def test_with_5_frames_per_second_the_voice_is_shared_with_a_warning(both, tmp_path):
    prediction = predictor(both).predict(write_slow(tmp_path / "a.mkv", [(150, 200)] * 20, spoken(4)))
    assert prediction.metadata["warnings"] == [f"5 frames per second {SLOW}"]
    assert np.isnan(speaking(prediction)).all()
    assert (prediction.table().voice_weight == 0.5).all()


def test_one_person_at_5_frames_per_second_has_the_whole_voice_without_a_warning(both, tmp_path):
    prediction = predictor(both).predict(write_slow(tmp_path / "a.mkv", [(150,)] * 20, spoken(4)))
    assert prediction.metadata["warnings"] == []
    assert (prediction.table().voice_weight == 1).all()


@pytest.mark.parametrize("persons", ["1", "largest"])
def test_the_voice_is_also_shared_with_persons_who_are_left_out_of_the_table(both, tmp_path, persons):
    path = write_slow(tmp_path / "a.mkv", [(150, 200)] * 20, spoken(4))
    whole = predictor(both).predict(path)
    kept = predictor(both, persons=PersonChoice.parse(persons)).predict(path)
    assert kept.persons == [1]
    assert (kept.table().voice_weight == 0.5).all()
    assert any(np.array_equal(kept.scores[1].values, whole.scores[p].values) for p in whole.persons)


def test_without_audio_nothing_is_known_of_who_speaks(both, tmp_path):
    table = predictor(both, rotate=0).predict(lossless(tmp_path / "a.mkv", moving(50))).table()
    assert table[["speaking", "voice_weight"]].isna().all(axis=None)


def test_without_speech_nobody_speaks(both, tmp_path):
    silence = np.zeros(3 * 44_100, np.float32)
    table = predictor(both, rotate=0).predict(lossless(tmp_path / "a.mkv", moving(75), audio=silence)).table()
    assert (table.speaking == 0).all()
    assert table.voice_weight.isna().all()


def test_an_audio_file_has_a_voice_of_nobody(both, tmp_path):
    table = predictor(both).predict(write_media(tmp_path / "a.wav", audio=spoken(3), audio_codec="pcm_s16le")).table()
    assert table.speaking.isna().all()
    assert table.person.isna().all()


def test_a_bundle_without_a_voice_has_no_columns_of_who_speaks(tmp_path):
    face = predictor(write_bundle(tmp_path / "face", {"face": 1.0}))
    table = face.predict(lossless(tmp_path / "a.mkv", moving(25), audio=spoken(1))).table()
    assert not {"speaking", "voice_weight"} & set(table.columns)


def test_where_a_variable_frame_rate_is_low_it_is_not_known_who_speaks(both, tmp_path):
    times = [40 * n for n in range(75)] + [3000 + 250 * n for n in range(12)] + [6000 + 40 * n for n in range(75)]
    path = lossless(tmp_path / "a.mkv", moving(len(times)), times=times, audio=spoken(9))
    table = predictor(both).predict(path).table()
    known = table.assign(known=table.speaking.notna()).groupby("start").known.all()
    assert known[2.0]
    assert not known[4.0]
    assert known[8.0]
    assert (table[table.start == 4.0].voice_weight < 1).all()


@pytest.mark.parametrize("seed", range(2))
def test_who_speaks_does_not_depend_on_how_frames_and_audio_are_pushed(both, tmp_path, seed):
    path = lossless(tmp_path / "a.mkv", moving(120), audio=spoken(4.8))
    shared, rng = predictor(both, rotate=0), np.random.default_rng(seed)
    session, collector = shared.session(), shared.collector()
    with VideoReader(path) as video, AudioReader(path, rate_hz=RATE) as audio:
        frames, blocks, end = list(video.frames()), list(audio.blocks(0.7)), video.end
        while frames or blocks:
            n = int(rng.integers(1, 20))
            if frames and rng.random() < 0.7:
                collector.add(session.push_frames(frames[:n]))
                frames = frames[n:]
            elif blocks:
                collector.add(session.push_audio(blocks.pop(0)))
        collector.add(session.close(end))
    pushed, whole = collector.prediction("a.mkv", "x", {}), shared.predict(path)
    for person in whole.persons:
        for name, values in whole.speech[person].columns().items():
            assert np.array_equal(pushed.speech[person].columns()[name], values, equal_nan=True), name


def test_the_rows_of_a_part_are_those_of_the_part_alone(both, tmp_path):
    path = lossless(tmp_path / "a.mkv", moving(200), audio=spoken(8))
    part = predictor(both, rotate=0, selection=Selection.parse(2.0, 6.0)).predict(path)
    assert (part.timeline.start[0], len(part.table())) == (2 * 705_600_000, 40)
    assert not np.isnan(speaking(part)).any()


def test_a_live_session_uses_frames_between_those_it_processes(both):
    session = LiveSession(predictor(both))
    assert session.uses(0)


def side_by_side(path: Path, left: Path, right: Path, audible: Path) -> Path:
    """Two clips beside each other, of which one is audible."""
    for clip in (left, right):
        if not clip.is_file():
            pytest.skip(f"no {clip.name} in {CLIPS}; set EMOFUSE_TEST_DATA")
    videos = []
    for clip in (left, right):
        with VideoReader(clip) as video:
            videos.append([frame.rgb() for frame in video.frames()])
    with AudioReader(audible, rate_hz=48_000) as reader:
        audio = np.concatenate([block.samples for block in reader.blocks()])
    frames = (np.hstack(pair) for pair in zip(*videos, strict=False))
    encode(path, frames, rate_hz=Fraction(30_000, 1001), audio=audio)
    return path


@pytest.mark.parametrize("audible", [0, 1])
def test_of_two_real_people_the_one_who_is_audible_speaks(tmp_path, audible):
    clips = [CLIPS / "03-02-03_01.mp4", CLIPS / "08-01-05_01.mp4"]  # of speakers whom the networks were not trained on
    prediction = Predictor(Options()).predict(side_by_side(tmp_path / "a.mp4", *clips, clips[audible]))
    found = {}
    for person, rows in prediction.speech.items():
        x = prediction.faces[person].values[:, 0]
        found[int(np.nanmedian(x) > 0.5)] = np.nanmean(np.where(rows.speaking > 0, rows.speaking, np.nan))
    assert found[audible] > 0.5 > found[1 - audible]
