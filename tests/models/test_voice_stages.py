"""Separation and voice activity by name, and the weights that a user brings for them."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.errors import SettingsError, WeightsError
from emofuse.media.audio import AudioBlock
from emofuse.models import weights
from emofuse.models.voice_stages import SEPARATIONS, SPEECH_DETECTORS, choose_separation, choose_speech_detector
from emofuse.runtime import Engine
from support.spleeter_networks import pair


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    """The folder that EMOFUSE_WEIGHTS names, the only one with weights; no package is installed."""
    monkeypatch.setattr(weights, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv(weights.VARIABLE, str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def test_none_passes_sound_on_as_it_is():
    sound = AudioBlock(np.ones(160, np.float32), 0, 16000)
    assert choose_separation("none", Engine(1)).stream(16000).push(sound) == [sound]


def test_without_weights_one_line_says_what_to_fetch_and_where_to_put_it():
    with pytest.raises(WeightsError) as error:
        choose_separation("spleeter", Engine(1))
    said = str(error.value)
    assert "\n" not in said
    assert "releases/download/source-separation-models/sherpa-onnx-spleeter-2stems.tar.bz2" in said
    assert "vocals.fp32.onnx and accompaniment.fp32.onnx into a folder of `emofuse weights path`" in said


@pytest.mark.parametrize("folder", ["", "sherpa-onnx-spleeter-2stems"])
def test_the_nets_are_found_in_the_folder_or_where_their_archive_unpacks_to(mine, folder):
    (mine / folder).mkdir(exist_ok=True)
    pair(mine / folder)
    sound = AudioBlock(np.zeros(160, np.float32), 0, 16000)
    separation = choose_separation("spleeter", Engine(1))
    stream = separation.stream(16000)
    stream.push(sound)
    assert len(stream.close()[0].samples) == 160
    assert separation.identity.startswith("spleeter:")


def test_the_full_precision_comes_before_the_others(mine):
    for form in (".int8", ".fp32"):
        for name, path in zip(("vocals", "accompaniment"), pair(mine), strict=True):
            path.rename(mine / f"{name}{form}.onnx")
    found = weights.locate_set(weights.known("spleeter"))
    assert [path.name for path in found] == ["vocals.fp32.onnx", "accompaniment.fp32.onnx"]


def test_a_net_without_the_other_says_which_is_missing(mine):
    vocals, accompaniment = pair(mine)
    accompaniment.unlink()
    with pytest.raises(WeightsError, match=rf"^{vocals}: accompaniment\.fp32\.onnx belongs beside it"):
        choose_separation("spleeter", Engine(1))


def test_what_a_user_has_to_bring_is_never_downloaded(monkeypatch):
    def download(*_):
        raise AssertionError("downloaded")

    monkeypatch.setattr(weights, "_download", download)
    for name in ("spleeter", "silero"):
        with pytest.raises(WeightsError, match="not on this machine"):
            weights.fetch(weights.known(name))


def test_auto_hears_by_energy_where_silero_is_not_here_and_says_so():
    chosen = choose_speech_detector("auto")
    assert chosen.detector.identity == choose_speech_detector("energy").detector.identity
    assert "pip install --no-deps silero-vad" in chosen.note


def test_silero_by_name_insists():
    with pytest.raises(WeightsError, match=r"pip install --no-deps silero-vad, or put silero_vad\.onnx into a folder"):
        choose_speech_detector("silero")


def test_silero_is_found_in_its_package_without_importing_it(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(weights, "folders", list)
    (tmp_path / "made_package" / "data").mkdir(parents=True)
    (tmp_path / "made_package" / "__init__.py").write_text("raise ImportError('torch')")
    (tmp_path / "made_package" / "data" / "silero_vad.onnx").write_bytes(b"net")
    entry = weights.Weights(
        "made", "silero_vad.onnx", "", None, "none", "a test", bring="", package=("made_package", "data")
    )
    assert weights.locate(entry) == tmp_path / "made_package" / "data" / "silero_vad.onnx"


def test_a_wrong_net_for_silero_is_not_replaced_in_silence(mine):
    (mine / "silero_vad.onnx").write_bytes(b"a web page")
    with pytest.raises(WeightsError, match="cannot be read as an ONNX network"):
        choose_speech_detector("silero")
    assert "cannot be read as an ONNX network" in choose_speech_detector("auto").note


@pytest.mark.parametrize("name", SEPARATIONS)
def test_mistyped_separations_suggest_the_nearest(name):
    with pytest.raises(SettingsError, match=f"did you mean '{name}'"):
        choose_separation(name + "e", Engine(1))


@pytest.mark.parametrize("name", SPEECH_DETECTORS)
def test_mistyped_detectors_suggest_the_nearest(name):
    with pytest.raises(SettingsError, match=f"did you mean '{name}'"):
        choose_speech_detector(name + "x")
