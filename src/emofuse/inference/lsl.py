"""Scores of live faces as a stream of Lab Streaming Layer, for recording together with other instruments.

One stream of irregular rate, with one sample for each scored face of each frame: the probabilities of the emotions, not
smoothed over time, valence, the number of the person and the confidence. A sample has the time of its frame on the
clock of LSL: that at which the sample is sent, less the age of the frame, which counts from its arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emofuse.analysis.person_rows import VALENCE, valence
from emofuse.core.version import __version__
from emofuse.errors import SettingsError
from emofuse.inference.live import LiveFace

STREAM_TYPE = "Emotion"


class LslOutlet:
    """An outlet of LSL, until it is deleted.

    Raises:
        SettingsError: pylsl or its library is not installed.
    """

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self._lsl, self._labels = _pylsl(), tuple(labels)
        channels = channels_of(labels)
        info = self._lsl.StreamInfo(
            name, STREAM_TYPE, len(channels), self._lsl.IRREGULAR_RATE, self._lsl.cf_float32, f"emofuse-{name}"
        )
        description = info.desc()
        description.append_child_value("manufacturer", f"emofuse {__version__}")
        listed = description.append_child("channels")
        for label, unit in channels:
            channel = listed.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", unit)
            channel.append_child_value("type", STREAM_TYPE)
        self._outlet = self._lsl.StreamOutlet(info)

    def push(self, faces: Sequence[LiveFace], age: float) -> None:
        """Send the scored faces of a frame that arrived `age` seconds ago."""
        moment = self._lsl.local_clock() - age
        for face in faces:
            if face.probabilities is not None:
                self._outlet.push_sample(sample_of(face, self._labels), moment)


def channels_of(labels: Sequence[str]) -> list[tuple[str, str]]:
    """The label and the unit of each channel."""
    probabilities = [(label, "probability") for label in labels]
    return [*probabilities, (VALENCE, "-1 to 1"), ("person", "number"), ("confidence", "probability")]


def sample_of(face: LiveFace, labels: Sequence[str]) -> list[float]:
    """The values of the channels for a scored face; the person is 0 while it is not decided."""
    assert face.probabilities is not None
    values = np.array([[face.probabilities[label] for label in labels]])
    of_valence = valence(values, labels)
    middle = float("nan") if of_valence is None else float(of_valence[0])
    return [*values[0].tolist(), middle, float(face.person or 0), float(face.confidence or 0)]


def _pylsl() -> Any:
    try:
        import pylsl
    except ImportError:
        raise SettingsError("--lsl: pylsl is not installed; pip install 'emofuse[lsl]'.") from None
    except RuntimeError:  # pylsl without its library
        raise SettingsError("--lsl: the library of LSL (liblsl) is not installed; see the page of pylsl.") from None
    return pylsl
