from __future__ import annotations

import subprocess
import sys

import pytest

from emofuse.errors import SettingsError, WeightsError
from emofuse.nets.catalogue import (
    NETWORKS,
    Input,
    Network,
    all_published_weights,
    loaded,
    network,
    network_for,
    published_weights,
)


def test_reading_every_entry_imports_no_torch():
    code = (
        "import sys; from emofuse.nets.catalogue import NETWORKS, all_published_weights as every;"
        "assert NETWORKS.values() and list(every()); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_belong_to_the_network_that_lists_them():
    assert {w.name: n.name for n, w in all_published_weights()} == {
        "vggface2": "vggface2",
        "vggface": "vggface",
        "vggfer": "vggface",
        "mobilefacenet": "mobilefacenet",
        "expression": "mobilefacenet-64",
        "pann-16k": "cnn14-16k",
        "pann-32k": "cnn14-32k",
        "whisper-tiny-en": "speech-encoder",
    }
    assert network_for("vggfer") is NETWORKS["vggface"]
    with pytest.raises(WeightsError, match=r"weights 'pan-16k': unknown \(did you mean 'pann-16k'\?\)"):
        network_for("pan-16k")


@pytest.mark.parametrize("name", [w.name for _, w in all_published_weights()])
def test_every_weights_entry_has_a_source_and_a_licence(name):
    weights = published_weights(name)
    assert weights.source.startswith("https://") or weights.bundle
    assert all((weights.file, weights.form, weights.what, weights.licence))


@pytest.mark.parametrize(
    ("name", "window", "message"),
    [
        ("compact-speech", {"rate_hz": 8_000}, "needs audio at 16000 Hz, found 8000 Hz; set windows.rate_hz"),
        ("cnn14-16k", {"segments": 20}, "has one segment per window, found 20; set windows.segments to 1"),
        (
            "cnn1d-lstm",
            {"segments": 7, "samples": 48_000},
            "48000 samples cannot be divided into 7 segments",
        ),
    ],
)
def test_a_window_that_a_network_is_not_made_for_is_refused(name, window, message):
    pytest.importorskip("torch")
    with pytest.raises(SettingsError, match=f"{name}: {message}"):
        NETWORKS[name].build(**window)


def test_a_network_for_the_other_kind_of_input_is_refused():
    assert network("cnn14-16k", Input.WAVEFORMS).name == "cnn14-16k"
    with pytest.raises(SettingsError, match="network 'vggface2': takes faces, but waveforms are needed"):
        network("vggface2", Input.WAVEFORMS)
    with pytest.raises(SettingsError, match=r"network 'cnn14-16': unknown \(did you mean 'cnn14-16k'\?\)"):
        network("cnn14-16", Input.WAVEFORMS)


def test_a_builder_whose_packages_are_missing_says_what_to_install():
    with pytest.raises(SettingsError, match=r"needs nowhere; pip install 'emofuse\[train\]'"):
        loaded("nowhere.at:all")
    assert Network("own", builder=lambda classes, tiny: (classes, tiny)).build(3, tiny=True) == (3, True)


def test_systems_preprocess_faces_as_their_networks_expect():
    pytest.importorskip("torch")
    from emofuse.nets.vggface import AVERAGE_COLOUR
    from emofuse.systems import FACE, SYSTEMS

    faces = {name: system.net for name, system in SYSTEMS.items() if system.modality == FACE}
    for name, face in faces.items():
        wanted = network_for(face.weights).preprocessing
        found = (face.size, face.colour, face.scale[: len(face.mean)])
        assert found == (wanted.size, wanted.colour, wanted.scale)
        # The authors' code subtracts the means of VGG-Face, here in the order blue, green, red.
        expected = AVERAGE_COLOUR[::-1] if name.endswith("@code") and "vggface2" in name else wanted.mean
        assert face.mean == expected
