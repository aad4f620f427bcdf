"""Voice separation and speech detection by name, and the weights that a user provides for them."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.errors import SettingsError, WeightsError
from emofuse.media.audio import AudioBlock
from emofuse.models import weights
from emofuse.models.voice_stages import choose_separation, choose_speech_detector
from emofuse.runtime import Engine
from emofuse.speech import SEPARATORS, SPEECH_DETECTORS
from support.spleeter_networks import gain_network_pair


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    """The folder in EMOFUSE_WEIGHTS, the only one that can have weights; no package is installed."""
    monkeypatch.setattr(weights, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv(weights.VARIABLE, str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def test_the_separation_none_returns_audio_unchanged():
    block = AudioBlock(np.ones(160, np.float32), 0, 16000)
    assert choose_separation("none", Engine(1)).stream(16000).push(block) == [block]


def test_missing_weights_are_reported_in_one_line_with_their_source_and_folder():
    with pytest.raises(WeightsError) as error:
        choose_separation("spleeter", Engine(1))
    message = str(error.value)
    assert "\n" not in message
    assert "releases/download/source-separation-models/sherpa-onnx-spleeter-2stems.tar.bz2" in message
    assert "vocals.fp32.onnx and accompaniment.fp32.onnx into a folder of `emofuse weights path`" in message


@pytest.mark.parametrize("folder", ["", "sherpa-onnx-spleeter-2stems"])
def test_networks_are_found_in_the_folder_or_in_that_of_their_archive(mine, folder):
    (mine / folder).mkdir(exist_ok=True)
    gain_network_pair(mine / folder)
    block = AudioBlock(np.zeros(160, np.float32), 0, 16000)
    separation = choose_separation("spleeter", Engine(1))
    stream = separation.stream(16000)
    stream.push(block)
    assert len(stream.close()[0].samples) == 160
    assert separation.identity.startswith("spleeter:")


def test_full_precision_comes_before_the_others(mine):
    for form in (".int8", ".fp32"):
        for name, path in zip(("vocals", "accompaniment"), gain_network_pair(mine), strict=True):
            path.rename(mine / f"{name}{form}.onnx")
    found = weights.locate_set(weights.known("spleeter"))
    assert [path.name for path in found] == ["vocals.fp32.onnx", "accompaniment.fp32.onnx"]


def test_one_network_without_the_other_reports_which_is_missing(mine):
    vocals, accompaniment = gain_network_pair(mine)
    accompaniment.unlink()
    with pytest.raises(WeightsError, match=rf"^{vocals}: needs accompaniment\.fp32\.onnx in the same folder"):
        choose_separation("spleeter", Engine(1))


def test_weights_that_a_user_must_provide_are_never_downloaded(monkeypatch):
    def download(*_):
        raise AssertionError("downloaded")

    monkeypatch.setattr(weights, "_download", download)
    for name in ("spleeter", "silero", "whisper-tiny-en"):
        with pytest.raises(WeightsError, match="not found on this machine"):
            weights.fetch(weights.known(name))


def test_auto_detects_by_energy_with_a_note_if_silero_is_not_available():
    chosen = choose_speech_detector("auto")
    assert chosen.detector.identity == choose_speech_detector("energy").detector.identity
    assert "pip install --no-deps silero-vad" in chosen.note


def test_silero_by_name_is_an_error_if_it_is_not_available():
    with pytest.raises(WeightsError, match=r"pip install --no-deps silero-vad, or put silero_vad\.onnx into a folder"):
        choose_speech_detector("silero")


def test_silero_is_found_in_its_package_without_importing_it(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(weights, "folders", list)
    (tmp_path / "other_package" / "data").mkdir(parents=True)
    (tmp_path / "other_package" / "__init__.py").write_text("raise ImportError('torch')")
    (tmp_path / "other_package" / "data" / "silero_vad.onnx").write_bytes(b"net")
    entry = weights.Weights(
        "made", "silero_vad.onnx", "", None, "none", "a test", provide="", package=("other_package", "data")
    )
    assert weights.locate(entry) == tmp_path / "other_package" / "data" / "silero_vad.onnx"


def test_a_damaged_silero_is_reported_by_name_and_in_the_note_of_auto(mine):
    (mine / "silero_vad.onnx").write_bytes(b"a web page")
    with pytest.raises(WeightsError, match="cannot be read as an ONNX network"):
        choose_speech_detector("silero")
    assert "cannot be read as an ONNX network" in choose_speech_detector("auto").note


@pytest.mark.parametrize("name", SEPARATORS)
def test_mistyped_separations_suggest_the_nearest(name):
    with pytest.raises(SettingsError, match=f"did you mean '{name}'"):
        choose_separation(name + "e", Engine(1))


@pytest.mark.parametrize("name", ["auto", *SPEECH_DETECTORS])
def test_mistyped_detectors_suggest_the_nearest(name):
    with pytest.raises(SettingsError, match=f"did you mean '{name}'"):
        choose_speech_detector(name + "x")
