"""Pretrained weights of the nets by name: where they come from, how they are read, and how they are kept.

A file as it was published is converted to safetensors once with `import_weights`; `load_pretrained` takes either, and
what `save_trained` wrote of a net that was trained here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from emofuse.core.files import file_digest, write_bytes
from emofuse.errors import WeightsError
from emofuse.nets.catalogue import loaded, network_for, published_weights
from emofuse.nets.formats import kinds

_METADATA = "emofuse"
_TRAINED = "emofuse-train"


class Head(StrEnum):
    """What to do with the last layers of a net, whose classes may be others than the file's.

    STRICT: they come from the file, which must have them. FRESH: they stay as they are, whatever the file has.
    """

    STRICT = "strict"
    FRESH = "fresh"


def convert(path: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a file as it was published, by their names in the net.

    Raises:
        WeightsError: the file is not that of `name`.
    """
    tensors: dict[str, Tensor] = loaded(published_weights(name).reader)(path, _published(name).settings)
    return tensors


def import_weights(path: Path, name: str, *, out: Path) -> Path:
    """Convert a file as it was published to safetensors at `out`, and give `out`; equal files give equal bytes.

    Raises:
        WeightsError: the file is not that of `name`.
        OutputError: `out` cannot be written.
    """
    tensors = convert(path, name)
    origin = {"name": name, "file": path.name, "sha256": file_digest(path), "form": published_weights(name).form}
    # One key: safetensors writes several in any order.
    write_bytes(out, save(tensors, {_METADATA: json.dumps(origin, sort_keys=True)}))
    return out


def save_trained(net: nn.Module, path: Path, *, name: str, about: Mapping[str, str]) -> None:
    """Write a net that was trained here, so that others of its kind can start from it.

    Args:
        name: of the system that it was trained as.
        about: text to keep beside it, such as its licence.
    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    origin = {**about, "name": name, "net": type(net).__name__, "form": _TRAINED}
    write_bytes(path, save(tensors, {_METADATA: json.dumps(origin, sort_keys=True)}))


def load_pretrained(net: nn.Module, path: Path, *, name: str, head: Head = Head.STRICT) -> tuple[str, ...]:
    """Put the weights `name` into `net`, from the published file or the one that `import_weights` wrote.

    A file that `save_trained` wrote of the same kind of net is taken for any name.

    Returns:
        Names of the tensors of the net that did not come from the file: none, or those of the head.
    Raises:
        WeightsError: the file, the net and the name do not fit each other; the net is left as it was.
    """
    weights = published_weights(name)
    expected: type[Any] = type(_published(name))
    if not isinstance(net, expected):
        raise WeightsError(f"weights {name!r} are for {expected.__name__}, not for {type(net).__name__}.")
    if kinds.kind(path) == kinds.SAFETENSORS:
        tensors = _read_kept(path, name, net)
    else:
        tensors = loaded(weights.reader)(path, replace(net.settings, classes=weights.classes))
    own: dict[str, Tensor] = net.state_dict()
    fresh = tuple(k for k in own if k.startswith(net.head)) if Head(head) is Head.FRESH else ()
    tensors = {k: v for k, v in tensors.items() if k not in fresh}
    _check_fit(tensors, {k: v for k, v in own.items() if k not in fresh}, path, heads=net.head)
    net.load_state_dict(tensors, strict=False)
    return fresh


def _published(name: str) -> Any:
    """The network as published, without any weights in memory."""
    with torch.device("meta"):
        return network_for(name).build(published_weights(name).classes)


def origin(path: Path) -> dict[str, str]:
    """What a file says of itself: at least name and form if `import_weights` or `save_trained` wrote it, else nothing.

    Raises:
        WeightsError: the file cannot be read.
    """
    if kinds.kind(path) != kinds.SAFETENSORS:
        return {}
    try:
        with safe_open(path, "pt") as file:
            said = json.loads((file.metadata() or {}).get(_METADATA, "{}"))
    except (SafetensorError, ValueError) as error:
        raise kinds.unreadable(path, "a file that `emofuse weights import` wrote", error) from None
    return said if isinstance(said, dict) else {}


def _read_kept(path: Path, name: str, net: nn.Module) -> dict[str, Tensor]:
    said, kind = origin(path), type(net).__name__
    trained = said.get("form") == _TRAINED
    if said.get("net") == kind if trained else said.get("name") == name:
        with safe_open(path, "pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (no mapping)
    found = "a file that neither `emofuse weights import` nor `emofuse train` wrote"
    if said:
        found = f"a {said.get('net')} trained as {said.get('name')!r}" if trained else f"weights {said.get('name')!r}"
    raise WeightsError(f"{path}: expected weights {name!r}, or a {kind} that was trained here, found {found}.")


def _check_fit(tensors: dict[str, Tensor], own: dict[str, Tensor], path: Path, *, heads: tuple[str, ...]) -> None:
    for name in (*own, *tensors):
        file, net = (list(t[name].shape) if name in t else None for t in (tensors, own))
        if file != net:
            hint = "; head='fresh' leaves the last layers as they are" if name.startswith(heads) else ""
            raise WeightsError(
                f"{path}: {name!r} is {file or 'missing'} in the file and {net or 'missing'} in the net{hint}."
            )
