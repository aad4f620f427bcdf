"""Reading the layers of a net by name: a net gives its layers one by one, and no more is computed than is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from emofuse.core.registry import nearest
from emofuse.errors import SettingsError


def check_layer(layer: str, layers: Sequence[str], *, net: str) -> None:
    """Refuse a layer that the net does not have.

    Raises:
        SettingsError: there is no such layer; the nearest is suggested.
    """
    if layer not in layers:
        raise SettingsError(f"{net}: no layer {layer!r}{nearest(layer, layers)}; it has {', '.join(layers)}.")


def collect(steps: Iterable[tuple[str, Tensor]], names: Sequence[str]) -> tuple[Tensor, ...]:
    """Outputs of the layers `names`, in their order; what comes after the last of them is not computed."""
    found: dict[str, Tensor] = {}
    for name, output in steps:
        if name in names:
            found[name] = output
            if len(found) == len(set(names)):
                break
    return tuple(found[n] for n in names)
