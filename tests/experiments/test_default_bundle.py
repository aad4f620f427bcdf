"""The recipe of the default bundle, with small networks on a few synthetic faces and voices."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from emofuse.core.labels import AFFWILD2
from emofuse.core.parallel import Here
from emofuse.core.settings import with_settings
from emofuse.errors import DataError, SettingsError
from emofuse.experiments.default_bundle import (
    DefaultBundleRequest,
    DefaultBundleSettings,
    make_default,
    temperature,
    weights_in,
)
from emofuse.faces.detector import Face
from emofuse.faces.pose import HeadModel
from emofuse.systems import system
from emofuse.training.loop import quantise_dense_onnx
from support.fused_bundles import anger_and_happiness, use_square_detector
from support.small_face_data import SHORT, write_face_data, write_face_weights
from support.speech_bundles import tone, write_wave
from support.spoken_words import SYSTEM, write_sentences

VOICE = {"net.separation": "none", "net.activity": "none", "net.tiny": "true", "net.probe.copies": "0"}
SETTINGS = DefaultBundleSettings(
    SHORT, with_settings(system("speech-encoder"), VOICE), SYSTEM, face_drop=100, voice_drop=100, folds=3
)


def write_speech(path: Path) -> None:
    """A clip list of two corpora, one of which lacks the last class."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "subject", "corpus", "split"])
        for corpus, classes in (("a", 7), ("b", 6)):
            for n in range(3 * classes):
                name, label, split = f"{corpus}/{n}.wav", n % classes, "train" if n < 2 * classes else "validation"
                write_wave(path.parent / name, tone(label, 3.0, n))
                rows.writerow([name, AFFWILD2.names[label], f"{corpus}-{split}", corpus, split])


class WholeImages:
    """Detects a face that fills the image."""

    identity = "whole"
    colour = True
    certain_score = 0.85
    head_model = HeadModel()

    def __call__(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        return [Face(np.array([0, 0, width, height], np.float32), 0.9, None)]


@pytest.fixture
def request_(tmp_path, monkeypatch) -> DefaultBundleRequest:
    use_square_detector(monkeypatch)
    monkeypatch.setattr("emofuse.experiments.quantise_bundle.choose_detector", lambda *_: WholeImages())
    small = partial(quantise_dense_onnx, least_weights=64)
    monkeypatch.setattr("emofuse.experiments.quantise_bundle.fit.quantise_dense_onnx", small)
    write_face_data(tmp_path / "data" / "faces")
    write_speech(tmp_path / "data" / "speech.csv")
    anger_and_happiness(tmp_path / "data").rename(tmp_path / "data" / "clips.csv")
    write_sentences(tmp_path / "data" / "sentences")
    face = write_face_weights(tmp_path / "mobilefacenet.pt")
    return DefaultBundleRequest(tmp_path / "data", tmp_path / "out", face, None, SETTINGS)


@pytest.mark.slow
def test_one_run_makes_the_fused_bundle_and_a_second_run_trains_nothing(request_, monkeypatch):
    lines: list[str] = []
    bundle, result = make_default(request_, executor=Here(), report=lines.append, progress=lambda *_: None)
    assert (bundle.name, bundle.modalities) == ("default", ("face", "voice", "words"))
    assert bundle.face.identity is not None
    assert set(bundle.card["bundles"]) == {"default-face", "speech-encoder", "text-linear"}
    assert {"int8", "calibration"} <= bundle.card["bundles"]["speech-encoder"].keys()
    assert result.clips == 6
    assert any(line.startswith("temperature by corpora held out") for line in lines)
    monkeypatch.setattr("emofuse.experiments.default_bundle.train_system", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr("emofuse.experiments.default_bundle.train_words", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr("emofuse.training.default_face.train", lambda *_: pytest.fail("trained again"))
    again, _ = make_default(request_, executor=Here(), report=lines.append, progress=lambda *_: None)
    assert again.identity == bundle.identity


def test_missing_data_are_named_before_anything_is_trained(tmp_path):
    (tmp_path / "faces").mkdir()
    request = DefaultBundleRequest(tmp_path, tmp_path / "out", tmp_path / "face.pt", None, SETTINGS)
    with pytest.raises(DataError, match=r"speech\.csv: does not exist; docs/model-card\.md lists the data"):
        make_default(request, executor=Here(), report=lambda _: None, progress=lambda *_: None)


def test_the_weights_are_found_by_their_published_names(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(SettingsError, match="starts from the weights 'mobilefacenet'"):
        weights_in(tmp_path, DefaultBundleSettings())
    (tmp_path / "mobilefacenet.pt").touch()
    expected = (tmp_path / "mobilefacenet.pt", tmp_path / "model.safetensors")
    assert weights_in(tmp_path, DefaultBundleSettings()) == expected


def test_the_temperature_of_overconfident_scores_is_above_1():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 7, 4000)
    logits = 1.5 * np.eye(7)[truth] + rng.gumbel(size=(4000, 7))
    found = temperature(np.float32(3 * logits), truth)
    assert found.factor > 2
    assert found.after < found.before / 2
