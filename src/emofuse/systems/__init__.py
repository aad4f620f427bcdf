"""Systems that can be trained, by name; definitions are frozen data and need no torch."""

from collections.abc import Mapping
from types import MappingProxyType

from emofuse.core.registry import find
from emofuse.systems.paper import PAPER_SYSTEMS
from emofuse.systems.small import SMALL_SYSTEMS
from emofuse.systems.spec import FACE, VOICE, FaceNet, Head, Probe, System, VoiceNet, kind

__all__ = ["FACE", "SYSTEMS", "VOICE", "FaceNet", "Head", "Probe", "System", "VoiceNet", "kind", "system"]

SYSTEMS: Mapping[str, System] = MappingProxyType({s.name: s for s in (*PAPER_SYSTEMS, *SMALL_SYSTEMS)})


def system(name: str) -> System:
    """The definition of a system.

    Raises:
        SettingsError: the name is unknown.

    >>> system("vggface2-svm").title
    'Visual 2'
    """
    return find(name, SYSTEMS, "system")
