"""Real predictions of the synthetic sample with the default bundle and detector."""

from __future__ import annotations

import random
from fractions import Fraction

import av
import numpy as np
import onnxruntime
import pytest

import emofuse
from emofuse.core.time import Timeline
from emofuse.errors import MediaError, SettingsError
from emofuse.inference.predictor import Options, Predictor
from emofuse.media.video import VideoReader
from support.media_files import moving_bar, tone_burst, write_media


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(Options())


def test_rows_cover_the_clip_from_zero_to_its_end(talk):
    prediction = emofuse.predict(talk)
    with VideoReader(talk) as reader:
        assert prediction.timeline == Timeline.steps(5, end=reader.end)
    assert prediction.persons == [1]
    assert prediction.scores[1].valid.mean() > 0.5


def test_every_frame_has_one_row_per_decoded_frame(talk):
    prediction = emofuse.predict(talk, every_frame=True)
    with av.open(str(talk)) as container:
        decoded = sum(1 for _ in container.decode(video=0))
    assert len(prediction.table()) == decoded
    assert prediction.frames.tolist() == list(range(decoded))


def test_random_pushes_have_the_result_of_predict(talk, predictor):
    whole = predictor.predict(talk)
    rng = random.Random(0)
    session, collector = predictor.session(), predictor.collector()
    with VideoReader(talk) as reader:
        frames = list(reader.frames())  # every frame: the session itself skips those that it does not want
        while frames:
            size = rng.randint(1, 40)
            collector.add(session.push_frames(frames[:size]))
            frames = frames[size:]
        collector.add(session.close(reader.end))
    pushed = collector.prediction(talk.name, "default", {})
    assert pushed.timeline == whole.timeline
    assert pushed.frames.tolist() == whole.frames.tolist()
    assert pushed.persons == whole.persons
    # Only the face modality: the audio was not pushed.
    assert np.abs(pushed.modalities[1]["face"].values - whole.modalities[1]["face"].values).max() < 1e-4


def test_progress_ends_at_one(talk, predictor):
    fractions: list[float] = []
    predictor.predict(talk, progress=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1, abs=0.06)


def test_another_rate_has_other_steps(talk):
    prediction = emofuse.predict(talk, rate_hz=Fraction(5, 2))
    assert len(prediction.timeline) == 15


@pytest.mark.parametrize("rate", [0, -1, 5000])
def test_an_invalid_rate_is_refused(rate, talk):
    with pytest.raises(SettingsError, match="up to 1000 rows per second"):
        emofuse.predict(talk, rate_hz=rate)


def test_a_video_that_cannot_be_decoded_leaves_its_voice_and_says_so(tmp_path, predictor):
    path = write_media(tmp_path / "a.mp4", moving_bar(10), audio=tone_burst(44100))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"avcx"))
    prediction = predictor.predict(path)
    assert len(prediction.timeline) > 0
    reason = "only the voice was scored, its video is in a format that cannot be decoded here"
    assert prediction.metadata["warnings"] == [reason]
    silent = write_media(tmp_path / "b.mp4", moving_bar(10))
    silent.write_bytes(silent.read_bytes().replace(b"avc1", b"avcx"))
    with pytest.raises(MediaError, match="a format that cannot be decoded here"):
        predictor.predict(silent)


def test_a_device_that_is_listed_but_not_used_is_noted_and_not_named_in_results(predictor, monkeypatch):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine may have CUDA")
    before = predictor.identity
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", *before["providers"]])
    other = Predictor(predictor.options)
    assert other.identity == before
    assert [note for note in other.notes if note.startswith("--device auto: ")]
