"""The outlet of Lab Streaming Layer, received in the same process where its library loads."""

from __future__ import annotations

import sys

import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.errors import SettingsError
from emofuse.inference.live import WAITING, LiveFace
from emofuse.inference.lsl import LslOutlet, channels_of, sample_of

PROBABILITIES = dict(zip(AFFWILD2.names, (0.1, 0.05, 0.05, 0.1, 0.5, 0.15, 0.05), strict=True))
FACE = LiveFace(2, None, (0.1, 0.1, 0.2, 0.2), PROBABILITIES, "happiness", 0.5, "ok")
UNSCORED = LiveFace(None, None, (0.5, 0.1, 0.2, 0.2), None, None, None, WAITING)


def test_channels_have_labels_and_units():
    channels = channels_of(AFFWILD2.names)
    assert len(channels) == 10
    assert channels[0] == ("neutral", "probability")
    assert channels[-3:] == [("valence", "-1 to 1"), ("person", "number"), ("confidence", "probability")]


def test_a_sample_has_the_values_of_the_channels():
    assert sample_of(FACE, AFFWILD2.names) == pytest.approx([*PROBABILITIES.values(), 0.35, 2, 0.5])


def test_without_pylsl_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(SettingsError, match=r"--lsl: pylsl is not installed; pip install 'emofuse\[lsl\]'\."):
        LslOutlet("x", AFFWILD2.names)


@pytest.mark.slow  # finding the stream takes a network and about a second
def test_samples_arrive_with_the_time_of_their_frame():
    pylsl = pytest.importorskip("pylsl", exc_type=Exception)
    outlet = LslOutlet("emofuse-test", AFFWILD2.names)
    found = pylsl.resolve_byprop("name", "emofuse-test", timeout=10)
    if not found:
        pytest.skip("streams of LSL are not found on this machine")
    inlet = pylsl.StreamInlet(found[0])
    inlet.open_stream(timeout=5)
    sent = pylsl.local_clock()
    outlet.push([FACE, UNSCORED], age=0.25)
    sample, stamp = inlet.pull_sample(timeout=5)
    assert sample == pytest.approx(sample_of(FACE, AFFWILD2.names), abs=1e-6)
    assert stamp == pytest.approx(sent - 0.25, abs=0.1)
    channel = inlet.info().desc().child("channels").first_child()
    assert channel.child_value("label") == "neutral"
    assert channel.child_value("unit") == "probability"
    assert inlet.pull_sample(timeout=0.2)[0] is None
