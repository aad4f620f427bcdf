"""Fusion methods by name: those here, and those of other packages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType

from emofuse.core.registry import nearest
from emofuse.errors import SettingsError
from emofuse.fusion.contract import FusionMethod
from emofuse.fusion.log_pool import LogPool
from emofuse.fusion.refine import Refinement
from emofuse.fusion.search import DirichletSearch
from emofuse.fusion.stacking import Stacking
from emofuse.fusion.weighted import Mean

GROUP = "emofuse.fusion"

METHODS: Mapping[str, FusionMethod] = MappingProxyType(
    {
        m.name: m
        for m in (
            Mean(),
            DirichletSearch("swf", per_class=False),
            DirichletSearch("mcwf", per_class=True),
            DirichletSearch("swf-refined", per_class=False, refinement=Refinement()),
            DirichletSearch("mcwf-refined", per_class=True, refinement=Refinement()),
            LogPool(),
            Stacking(),
        )
    }
)


def method(name: str) -> FusionMethod:
    """A fusion method by its name.

    Another package adds one as an entry point of the group `emofuse.fusion` that is a `FusionMethod`, and holds it to
    `emofuse.testing.check_fusion`.

    Raises:
        SettingsError: no such method, or its package does not load.

    >>> method("swf").name
    'swf'
    """
    if name in METHODS:
        return METHODS[name]
    others = entry_points(group=GROUP)
    if name not in others.names:
        known = [*METHODS, *sorted(others.names)]
        raise SettingsError(f"fusion {name!r}: unknown{nearest(name, known)}; choose {', '.join(known)}.")
    try:
        found: FusionMethod = others[name].load()
    except (ImportError, AttributeError) as error:
        raise SettingsError(
            f"fusion {name!r}: {others[name].value} does not load ({error}); install its package again."
        ) from error
    return found
