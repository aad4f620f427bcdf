"""How much memory a training or a scoring needs at most, so that no more of them run at once than there is room for.

A net's need grows by a line with its batch; both of its numbers were measured by benchmarks/memory.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from emofuse.systems.spec import System, VoiceSystem

_GB = 1_000_000_000
_TINY_BYTES = 1 * _GB
_SCORING_BYTES = 1 * _GB


@dataclass(frozen=True)
class _Line:
    """GB of a training: fixed, and for each example that the net sees at once. seconds: of sound in an example."""

    fixed: float
    each: float
    seconds: float = 0.0


# Lines through 4 and 8 examples at once, 0.2 GB above them for what is read meanwhile.
_NETS: Mapping[str, _Line] = MappingProxyType(
    {
        "vggface2": _Line(1.5, 0.11),
        "vggface": _Line(5.0, 0.08),
        "vggfer": _Line(5.0, 0.08),
        "mobilefacenet": _Line(0.8, 0.05),
        "compact": _Line(0.75, 0.003),
        "cnn1d-lstm": _Line(1.3, 0.07, 4.0),
        "cnn1d-lstm-16-bit": _Line(1.3, 0.09, 4.0),
        "cnn14-16k": _Line(3.6, 0.03, 3.0),
        "cnn14-32k": _Line(3.6, 0.03, 3.0),
        "compact-speech": _Line(0.7, 0.02, 3.0),
        "speech-towers": _Line(0.7, 0.02, 3.0),
    }
)
_LARGEST = _Line(4.0, 0.3)  # for nets that were not measured


def training_bytes(definition: System | VoiceSystem) -> int:
    """Of the training of a system, and of what comes after it.

    >>> from emofuse.systems.paper import system
    >>> training_bytes(system("vggface2")) > training_bytes(system("cnn1d-lstm"))
    True
    """
    if isinstance(definition, VoiceSystem):
        line = _NETS.get(definition.voice.net, _LARGEST)
        tiny, length = definition.voice.tiny, definition.voice.seconds / (line.seconds or definition.voice.seconds)
    else:
        line = _NETS.get(definition.face.weights, _LARGEST)
        tiny, length = definition.face.tiny, 1.0
    return _TINY_BYTES if tiny else int(_GB * (line.fixed + line.each * length * definition.fit.batch))


def scoring_bytes(definition: System | VoiceSystem) -> int:
    """Of the scoring of a part of a data set by a trained system."""
    net = definition.voice if isinstance(definition, VoiceSystem) else definition.face
    return _TINY_BYTES if net.tiny else _SCORING_BYTES
