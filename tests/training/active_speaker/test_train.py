"""Training of the networks for active speakers, on made mouths that open with the voice."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emofuse.errors import DataError
from emofuse.faces.mouth import SIZE
from emofuse.speech.active_speaker import BANDS, CONTEXT, FRAMES, MEL_FRAMES, ActiveSpeakerNetworks
from emofuse.training.active_speaker import train as training
from emofuse.training.active_speaker.batches import LENGTH, mouths_at, random_batch, samples_at, spectra_of
from emofuse.training.active_speaker.clips import TalkingClip, read_clips
from emofuse.training.active_speaker.fit import SpeakerSettings, export_speaker, fit_speaker
from emofuse.training.active_speaker.train import SpeakerTraining, set_aside, train_speaker


def clip(speaker: str, seed: int, seconds: float = 4.0) -> TalkingClip:
    """A dark disc that is as large as the voice is loud, 30 times per second."""
    rng = np.random.default_rng(seed)
    times = np.arange(0, seconds, 1 / 30)
    knots = rng.random(int(seconds * 5) + 1)
    opening = np.interp(times, np.arange(len(knots)) / 5, knots)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    crops = np.where(np.hypot(x, y)[None] < 2 + 8 * opening[:, None, None], 40, 160).astype(np.uint8)
    clock = np.arange(int(seconds * 16_000)) / 16_000
    loud = np.interp(clock, np.arange(len(knots)) / 5, knots) ** 2
    samples = (0.3 * loud * rng.standard_normal(len(clock))).astype(np.float32)
    return TalkingClip(f"{speaker}-{seed}", speaker, times, crops, samples)


@pytest.fixture(scope="module")
def clips() -> list[TalkingClip]:
    return [clip(speaker, 10 * n + k) for n, speaker in enumerate("abc") for k in range(2)]


def test_a_batch_has_mouths_and_voices_of_one_length(clips):
    batch = random_batch(clips, 4, np.random.default_rng(0))
    assert batch.mouths.shape == (4, LENGTH, SIZE, SIZE)
    assert batch.spectra.shape == (4, LENGTH * MEL_FRAMES, BANDS)
    assert batch.inside.shape == (4, LENGTH)
    again = random_batch(clips, 4, np.random.default_rng(0))
    assert all((one == other).all() for one, other in zip(batch, again, strict=True))


def test_mouths_of_a_lower_frame_rate_are_means_of_fewer_frames(clips):
    grid = np.arange(10) / 25 + 1
    full, half = mouths_at(clips[0], grid), mouths_at(clips[0], grid, rate_hz=12)
    assert full.shape == half.shape
    assert 0 < np.abs(full - half).mean() < 20


def test_the_voice_before_and_after_a_clip_is_silent(clips):
    samples = samples_at(clips[0], -1.0, 2 * FRAMES)
    assert (samples[:15_000] == 0).all()
    assert samples[20_000:].any()
    assert spectra_of(samples).shape == (2 * FRAMES * MEL_FRAMES, BANDS)


def test_trained_networks_prefer_the_mouth_that_belongs_to_the_voice(clips, tmp_path):
    losses = list[float]()
    nets = fit_speaker(clips, SpeakerSettings(steps=25, batch=5, lr=5e-3), progress=lambda _, loss: losses.append(loss))
    assert losses[-1] > 0
    paths = export_speaker(nets, tmp_path, scale=1.5, bias=-0.25)
    networks = ActiveSpeakerNetworks(*paths)
    assert (networks.scale, networks.bias) == (1.5, -0.25)
    grid = 1 + (np.arange(-CONTEXT, FRAMES + CONTEXT) + 0.5) / FRAMES
    voice = networks.voice(spectra_of(samples_at(clips[0], 1 - CONTEXT / FRAMES, FRAMES + 2 * CONTEXT)))
    own, other = (float((networks.mouth(mouths_at(c, grid)) * voice).sum()) for c in (clips[0], clips[3]))
    assert own > other


def test_two_runs_write_equal_networks_and_a_result(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "read_clips", lambda _: clips)
    messages, settings = list[str](), SpeakerSettings(steps=2, batch=4)
    for name in ("one", "two"):
        train_speaker(SpeakerTraining(tmp_path, tmp_path / name, settings), report=messages.append)
    for network in ("active_speaker_mouth.onnx", "active_speaker_voice.onnx"):
        assert (tmp_path / "one" / network).read_bytes() == (tmp_path / "two" / network).read_bytes()
    result = json.loads((tmp_path / "one" / "result.json").read_text())
    assert (result["trained on"], result["set aside"]) == (["a", "b"], ["c"])
    assert "6 clips; trained on a, b; set aside: c" in messages


def test_one_speaker_is_not_enough(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "read_clips", lambda _: clips[:4])
    with pytest.raises(DataError, match="1 speakers to train on; give clips of at least two more"):
        train_speaker(SpeakerTraining(tmp_path, tmp_path / "out"))


def test_clips_without_speakers_are_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "clips.csv").write_text("path,label\na.mp4,anger\n")
    with pytest.raises(DataError, match="has no speaker; give a table with a column speaker"):
        read_clips(tmp_path / "clips.csv")


def test_the_third_and_the_last_speaker_are_set_aside():
    assert set_aside(["f", "a", "c", "b", "e", "d"]) == ["c", "f"]
    assert set_aside(["b", "a"]) == ["b"]
