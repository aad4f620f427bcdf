from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from emofuse.core.time import ticks
from emofuse.errors import SettingsError, WeightsError
from emofuse.words import whisper
from emofuse.words.transcript import Word


class Model:
    """A fake of `faster_whisper.WhisperModel`."""

    def __init__(self, folder: str, **options: object) -> None:
        assert Path(folder).is_dir()
        assert options["device"] == "cpu"

    def transcribe(self, samples: np.ndarray, **options: object) -> tuple[object, SimpleNamespace]:
        assert options["temperature"] == 0.0
        words = [SimpleNamespace(start=0.5, end=1.0, word=" Hi."), SimpleNamespace(start=1.0, end=1.0, word=" ")]
        segment = SimpleNamespace(start=0.5, end=1.25, text=" Hi. ", words=words)
        return iter([segment]), SimpleNamespace(language="en")


def absent(name: str, **_: object) -> str:
    if name == "nonsense":
        raise ValueError("Invalid model size 'nonsense', expected one of: tiny, base")
    raise FileNotFoundError("no snapshot\nin the cache")


@pytest.fixture
def installed(monkeypatch) -> None:
    package, utils = ModuleType("faster_whisper"), ModuleType("faster_whisper.utils")
    package.WhisperModel, utils.download_model = Model, absent
    monkeypatch.setitem(sys.modules, "faster_whisper", package)
    monkeypatch.setitem(sys.modules, "faster_whisper.utils", utils)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(whisper, "version", lambda package: "1.0")


def test_without_faster_whisper_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'emofuse\[words\]'"):
        whisper.load_transcriber("base.en")


@pytest.mark.usefixtures("installed")
def test_a_model_that_is_not_on_this_machine_is_not_downloaded():
    with pytest.raises(WeightsError, match=r"base\.en: is not on this machine.*download_model\('base\.en'\)"):
        whisper.load_transcriber("base.en")


@pytest.mark.usefixtures("installed")
def test_an_unknown_model_is_refused_with_those_that_exist():
    with pytest.raises(
        SettingsError, match=r"neither a folder nor a model of faster-whisper \(Invalid model size .*tiny, base"
    ):
        whisper.load_transcriber("nonsense")


@pytest.mark.usefixtures("installed")
def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"has no model\.bin"):
        whisper.load_transcriber(str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_segments_become_cues_with_the_times_of_words(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"x")
    transcriber = whisper.load_transcriber(str(tmp_path))
    found = transcriber(np.zeros(16_000, np.float32))
    (cue,) = found.cues
    assert (cue.start, cue.end, cue.text, found.language) == (ticks(0.5), ticks(1.25), "Hi.", "en")
    assert cue.words == (Word(ticks(0.5), ticks(1.0), "Hi."),)
    assert transcriber.identity.startswith("faster-whisper 1.0 ctranslate2 1.0 ")
