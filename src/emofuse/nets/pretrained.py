"""Loading and saving weights: files as published, files imported from them, and networks trained here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emofuse.core.arrays import ArrayFormat
from emofuse.core.files import file_digest
from emofuse.errors import WeightsError
from emofuse.nets.catalogue import loaded, network_for, published_weights
from emofuse.nets.formats import kinds

FORMAT = ArrayFormat("weights file", 1, remedy="import or train the weights again", error=WeightsError)
_TRAINED = "emofuse-train"
_SAFETENSORS = "safetensors"  # the form of files published as such; origin() tells ours from them


def convert(path: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a published file, by their names in the network.

    Raises:
        WeightsError: the file is not the one of `name`, or `name` is part of the package.
    """
    if published_weights(name).bundle:
        raise WeightsError(f"weights {name!r} are part of emofuse; leave out --weights to start from them.")
    tensors: dict[str, Tensor] = loaded(published_weights(name).reader)(path, _published(name).settings)
    return tensors


def import_weights(path: Path, name: str, *, out: Path) -> Path:
    """Convert a published file to safetensors at `out`, which is returned; equal files are written as equal bytes.

    Raises:
        WeightsError: the file is not the one of `name`.
        OutputError: `out` cannot be written.
    """
    tensors = convert(path, name)
    about = {"name": name, "file": path.name, "sha256": file_digest(path), "form": published_weights(name).form}
    FORMAT.write(out, tensors, about, as_bytes=tensor_bytes)
    return out


def save_trained(net: nn.Module, path: Path, *, name: str, about: Mapping[str, str]) -> None:
    """Write a network that was trained here, so that others of its kind can start from it.

    Args:
        name: of the system that it was trained as.
        about: text to store with it, such as its licence.
    Raises:
        OutputError: the file cannot be written.
    """
    meaning = {**about, "name": name, "net": type(net).__name__, "form": _TRAINED}
    FORMAT.write(path, net.state_dict(), meaning, as_bytes=tensor_bytes)


def load_pretrained(net: Any, path: Path, *, name: str, fresh_head: bool = False) -> tuple[str, ...]:
    """Load the weights `name` into `net`, from the published file or the one that `import_weights` wrote.

    A file that `save_trained` wrote of the same kind of network is accepted for any name.

    Args:
        fresh_head: keep the last layers as they are, since their classes may differ from those of the file.
    Returns:
        Names of the tensors of the network that were not loaded: none, or those of the head.
    Raises:
        WeightsError: the file, the network and the name do not match; the network is unchanged.
    """
    weights = published_weights(name)
    expected: type[Any] = type(_published(name))
    if not isinstance(net, expected):
        raise WeightsError(f"weights {name!r} are for {expected.__name__}, not for {type(net).__name__}.")
    if kinds.kind(path) == kinds.SAFETENSORS and (weights.form != _SAFETENSORS or origin(path)):
        tensors = _read_written(path, name, type(net).__name__)
    else:
        tensors = loaded(weights.reader)(path, replace(net.settings, classes=weights.classes))
    own: dict[str, Tensor] = net.state_dict()
    fresh = tuple(k for k in own if k.startswith(net.head)) if fresh_head else ()
    tensors = {k: v for k, v in tensors.items() if k not in fresh}
    _check_match(tensors, {k: v for k, v in own.items() if k not in fresh}, path, heads=net.head)
    net.load_state_dict(tensors, strict=False)
    return fresh


def origin(path: Path) -> dict[str, str]:
    """What a file states about itself: at least name and form if `import_weights` or `save_trained` wrote it."""
    return FORMAT.read_meaning(path) or {}


def tensor_bytes(tensor: Tensor) -> NDArray[np.uint8]:
    """The bytes of a tensor, in order, for `ArrayFormat.write`."""
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return np.asarray(plain.view(torch.uint8).numpy(), np.uint8)


def _published(name: str) -> Any:
    """The network as published, without memory for its weights."""
    with torch.device("meta"):
        return network_for(name).build(published_weights(name).classes)


def _read_written(path: Path, name: str, net: str) -> dict[str, Tensor]:
    about = origin(path)
    trained = about.get("form") == _TRAINED
    if about.get("net") == net if trained else about.get("name") == name:
        return FORMAT.read(path, framework="pt")[0]
    found = "a file that neither `emofuse weights import` nor `emofuse train` wrote whole"
    if about:
        found = (
            f"a {about.get('net')} trained as {about.get('name')!r}" if trained else f"weights {about.get('name')!r}"
        )
    raise WeightsError(f"{path}: expected weights {name!r}, or a {net} that was trained here, found {found}.")


def _check_match(tensors: dict[str, Tensor], own: dict[str, Tensor], path: Path, *, heads: tuple[str, ...]) -> None:
    for name in (*own, *tensors):
        file, net = (list(t[name].shape) if name in t else None for t in (tensors, own))
        if file != net:
            hint = "; fresh_head=True keeps the last layers as they are" if name.startswith(heads) else ""
            raise WeightsError(
                f"{path}: {name!r} is {file or 'missing'} in the file and {net or 'missing'} in the network{hint}."
            )
