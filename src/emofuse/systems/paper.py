"""The systems of the paper (arXiv 2010.03692) and their kin by name, and the ten rows of its Table 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from emofuse.core.registry import nearest
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


@dataclass(frozen=True)
class TableRow:
    """A row of Table 1: one system, or a fusion of several.

    row: what the paper calls it. method: of `emofuse.fusion`, "" for a system alone.
    quoted_validation, quoted_test: the paper's CPM in percent; None where it gives none.
    """

    name: str
    row: str
    parts: tuple[str, ...]
    method: str = ""
    quoted_validation: float | None = None
    quoted_test: float | None = None


BASELINE_VALIDATION = 36.0  # CPM of the organisers' baseline, quoted by the paper

# Two of its fusions are numbered "Visual 2 & 4" and "2 & 3 & 4", but model 4 is audio; the text says what was meant.
TABLE1: Mapping[str, TableRow] = MappingProxyType(
    {
        r.name: r
        for r in (
            TableRow("vggface2", "Visual 1", ("vggface2",), "", 50.23, 40.60),
            TableRow("vggface2-svm", "Visual 2", ("vggface2-svm",), "", 55.66, 42.00),
            TableRow("vggfer-kelm", "Visual 3", ("vggfer-kelm",), "", 41.10),
            TableRow("cnn1d-lstm", "Raw audio 4", ("cnn1d-lstm",), "", 35.09),
            TableRow("pann", "Raw audio 5", ("pann",), "", 33.68),
            TableRow("mcwf-visual", "Visual 2 & 4", ("vggface2-svm", "vggfer-kelm"), "mcwf", 55.70, 41.70),
            TableRow(
                "swf-visual", "Visual 2 & 3 & 4", ("vggface2", "vggface2-svm", "vggfer-kelm"), "swf", 56.56, 41.90
            ),
            TableRow("mcwf-best", "Visual & Raw audio 2 & 4", ("vggface2-svm", "cnn1d-lstm"), "mcwf", 55.87, 42.10),
            TableRow(
                "mcwf-three",
                "Visual & Raw audio 2 & 4 & 5",
                ("vggface2-svm", "cnn1d-lstm", "pann"),
                "mcwf",
                54.78,
                41.60,
            ),
            TableRow(
                "swf-four",
                "Visual & Raw audio 2 & 3 & 4 & 5",
                ("vggface2-svm", "vggfer-kelm", "cnn1d-lstm", "pann"),
                "swf",
                55.54,
                41.80,
            ),
        )
    }
)


def table_row(name: str) -> TableRow:
    """The row of a name.

    Raises:
        SettingsError: there is none.

    >>> table_row("mcwf-best").parts
    ('vggface2-svm', 'cnn1d-lstm')
    """
    if name not in TABLE1:
        raise SettingsError(f"row {name!r}: unknown{nearest(name, TABLE1)}; choose {', '.join(TABLE1)}.")
    return TABLE1[name]
