"""Systems that can be trained, by name; definitions are frozen data and need no torch."""

from collections.abc import Mapping
from types import MappingProxyType

from emofuse.core.registry import find
from emofuse.systems.paper import PAPER_SYSTEMS
from emofuse.systems.small import SMALL_SYSTEMS
from emofuse.systems.small import WORDS_SYSTEMS as _OF_WORDS
from emofuse.systems.spec import FACE, VOICE, WORDS, FaceNet, Head, Probe, System, VoiceNet, WordsSystem, kind

__all__ = [
    "FACE",
    "SYSTEMS",
    "VOICE",
    "WORDS",
    "WORDS_SYSTEMS",
    "FaceNet",
    "Head",
    "Probe",
    "System",
    "VoiceNet",
    "WordsSystem",
    "kind",
    "system",
]

SYSTEMS: Mapping[str, System] = MappingProxyType({s.name: s for s in (*PAPER_SYSTEMS, *SMALL_SYSTEMS)})
WORDS_SYSTEMS: Mapping[str, WordsSystem] = MappingProxyType({s.name: s for s in _OF_WORDS})


def system(name: str) -> System:
    """The definition of a system.

    Raises:
        SettingsError: the name is unknown.

    >>> system("vggface2-svm").title
    'Visual 2'
    """
    return find(name, SYSTEMS, "system")
