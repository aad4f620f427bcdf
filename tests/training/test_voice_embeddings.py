"""Embeddings of windows for fitting a linear layer: those of prediction, cached, and those of augmented copies."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.core.calibration import LogitCalibration  # noqa: E402
from emofuse.core.chunks import Chunks  # noqa: E402
from emofuse.core.types import Clip  # noqa: E402
from emofuse.core.windows import Windows  # noqa: E402
from emofuse.inference.audio_stages import choose_audio_stages  # noqa: E402
from emofuse.models.voice import VoiceModality, voice_scorer  # noqa: E402
from emofuse.nets.speech_encoder import SpeechEncoder  # noqa: E402
from emofuse.runtime import Engine  # noqa: E402
from emofuse.systems.training_settings import SpeechAugment, WaveAugment  # noqa: E402
from emofuse.training.audio_cache import AudioCache  # noqa: E402
from emofuse.training.loop import Waveforms, fresh  # noqa: E402
from emofuse.training.voice import export_parts  # noqa: E402
from emofuse.training.voice_embeddings import WindowEmbeddings  # noqa: E402
from support.speech_bundles import tone, write_wave  # noqa: E402 (torch may be missing)
from support.tiny_networks import SPEECH_ENCODER  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
CHUNKS = Chunks(2.0, 0.24, 0.16)
WINDOWS = Windows(3.0, 1.0, rate_hz=16_000, min_voice_seconds=0.3)


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """Seven seconds, with a pause."""
    audio = np.concatenate([tone(2, 3.0, 0, rate=16_000), np.zeros(16_000, np.float32), tone(4, 3.0, 1, rate=16_000)])
    return Clip("talk", audio=write_wave(tmp_path / "talk.wav", audio, rate=16_000))


@pytest.fixture
def embeddings(tmp_path: Path) -> WindowEmbeddings:
    cache = AudioCache(WINDOWS, choose_audio_stages("none", "energy", Engine()), tmp_path / "audio")
    net = fresh(lambda: SpeechEncoder(SPEECH_ENCODER), seed=1).eval()
    return WindowEmbeddings(cache, net, CHUNKS, Waveforms(WaveAugment(speech=SpeechAugment(noise=1.0, speed=0.1))))


def test_windows_and_logits_are_those_of_prediction(embeddings, clip, tmp_path):
    net, cache = embeddings.net, embeddings.cache
    paths = tmp_path / "voice.onnx", tmp_path / "pool.onnx"
    export_parts(net, CHUNKS, WINDOWS, paths)
    voice = VoiceModality(paths[0], WINDOWS, LogitCalibration.identity(7), "none", "energy", CHUNKS, paths[1])
    scores = cache.scores(cache.path(clip), voice_scorer(voice, Engine(), classes=7))
    spoken = [(s.start, s.end, s.probabilities) for s in scores if s.probabilities is not None]
    found = embeddings(clip)
    assert [(w.start, w.end) for w in found] == [(start, end) for start, end, _ in spoken]
    with torch.inference_mode():
        rows = torch.from_numpy(np.stack([w.values for w in found]))
        probabilities = net.classify((rows - net.mean) / net.deviation).softmax(dim=1).numpy()
    np.testing.assert_allclose(probabilities, [p for _, _, p in spoken], atol=1e-4)


def test_embeddings_are_read_from_the_cache_the_second_time(embeddings, clip, monkeypatch):
    first = embeddings(clip)
    again = replace(embeddings)
    monkeypatch.setattr(WindowEmbeddings, "_embedded", None)
    assert all(np.array_equal(a.values, b.values) for a, b in zip(first, again(clip), strict=True))


def test_an_incomplete_cache_is_written_again(embeddings, clip, tmp_path):
    first = embeddings(clip)
    (path,) = (tmp_path / "audio").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(embeddings(clip)[0].values, first[0].values)


def test_another_encoder_or_chunk_is_another_cache(embeddings, clip, tmp_path):
    embeddings(clip)
    replace(embeddings, chunks=Chunks(1.0, 0.24, 0.16))(clip)
    replace(embeddings, net=fresh(lambda: SpeechEncoder(SPEECH_ENCODER), seed=2).eval())(clip)
    assert len(list((tmp_path / "audio").glob("*.safetensors"))) == 3


def test_augmented_copies_differ_from_each_other_and_are_the_same_every_time(embeddings, clip, tmp_path):
    values = [embeddings(clip, copy)[0].values for copy in range(3)]
    assert all(np.abs(a - b).max() > 1e-3 for a, b in pairwise(values))
    for path in (tmp_path / "audio").glob("*.safetensors"):
        path.unlink()
    assert np.array_equal(embeddings(clip, 2)[0].values, values[2])


def test_a_clip_without_speech_has_no_windows(embeddings, tmp_path):
    silent = write_wave(tmp_path / "silent.wav", np.zeros(64_000, np.float32), rate=16_000)
    assert embeddings(Clip("silent", audio=silent)) == []
