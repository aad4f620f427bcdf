"""The systems of the paper (arXiv 2010.03692, Table 1) and their kin by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from emofuse.core.names import nearest
from emofuse.errors import SettingsError
from emofuse.systems.paper_face import FACE_SYSTEMS
from emofuse.systems.paper_voice import VOICE_SYSTEMS
from emofuse.systems.spec import System, VoiceSystem

SYSTEMS: Mapping[str, System | VoiceSystem] = MappingProxyType({**FACE_SYSTEMS, **VOICE_SYSTEMS})


def system(name: str) -> System | VoiceSystem:
    """The definition of a name.

    Raises:
        SettingsError: there is none.
    """
    if name not in SYSTEMS:
        raise SettingsError(f"system {name!r}: unknown{nearest(name, SYSTEMS)}; choose {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]
