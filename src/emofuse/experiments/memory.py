"""How much memory a training or a scoring needs at most, so that no more of them run at once than there is room for.

A net's need grows by a line with its batch; both of its numbers were measured by benchmarks/memory.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from emofuse.systems import System, VoiceNet

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
        "speech-ensemble": _Line(0.7, 0.02, 3.0),
    }
)
_LARGEST = _Line(4.0, 0.3)  # for nets that were not measured


def training_bytes(definition: System) -> int:
    """Of the training of a system, and of what comes after it.

    >>> from emofuse.systems import system
    >>> training_bytes(system("vggface2")) > training_bytes(system("cnn1d-lstm"))
    True
    """
    net, length = definition.net, 1.0
    line = _NETS.get(net.network if isinstance(net, VoiceNet) else net.weights, _LARGEST)
    if line.seconds and definition.windows is not None:
        length = definition.windows.seconds / line.seconds
    return _TINY_BYTES if net.tiny else int(_GB * (line.fixed + line.each * length * definition.fit.batch))


def scoring_bytes(definition: System) -> int:
    """Of the scoring of a part of a data set by a trained system."""
    return _TINY_BYTES if definition.net.tiny else _SCORING_BYTES
