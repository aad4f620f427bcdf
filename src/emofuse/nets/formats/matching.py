"""From the names of a file to the names of a net, strictly: nothing missing, nothing left over, every shape right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emofuse.errors import WeightsError


def _as_it_is(array: NDArray[Any]) -> NDArray[Any]:
    return array


def from_hwio(kernel: NDArray[Any]) -> NDArray[Any]:
    """Kernel [height, width, in, out] of Keras and MatConvNet -> [out, in, height, width] of torch."""
    return kernel.transpose(3, 2, 0, 1)


@dataclass(frozen=True)
class Source:
    """Where a tensor comes from: its name and shape in the file, and how it is turned into the net's layout."""

    name: str
    shape: tuple[int, ...]
    turn: Callable[[NDArray[Any]], NDArray[Any]] = _as_it_is


def take(
    arrays: Mapping[str, NDArray[Any]],
    wanted: Mapping[str, Source],
    *,
    path: Path,
    what: str,
    spare: Callable[[str], bool] = lambda _: False,
) -> dict[str, Tensor]:
    """Tensors by their names in the net.

    Args:
        arrays: what a reader found in the file at `path`.
        wanted: name in the net -> where it comes from.
        what: the net, for messages.
        spare: tells of a name in the file whether it may be there without being wanted.
    Raises:
        WeightsError: names the first array that is missing, left over, of another shape, or not finite.
    """
    names = {s.name for s in wanted.values()}
    unexpected = [n for n in arrays if n not in names and not spare(n)]
    found = f"found {sum(not spare(n) for n in arrays)} arrays"
    if unexpected:
        found += f", {len(unexpected)} of them unknown, such as {unexpected[0]!r}"
    for source in wanted.values():
        if source.name not in arrays:
            raise WeightsError(f"{path}: not {what}: {source.name!r} is missing; {found}.")
        if arrays[source.name].shape != source.shape:
            shapes = f"has shape {list(arrays[source.name].shape)}, expected {list(source.shape)}"
            raise WeightsError(f"{path}: not {what}: {source.name!r} {shapes}.")
        if not np.isfinite(arrays[source.name]).all():
            raise WeightsError(f"{path}: {source.name!r} has values that are not finite; get the file again.")
    if unexpected:
        raise WeightsError(f"{path}: not {what}: {unexpected[0]!r} is not part of it; {found}.")
    return {name: _tensor(source.turn(arrays[source.name])) for name, source in wanted.items()}


def _tensor(array: NDArray[Any]) -> Tensor:
    whole = np.issubdtype(array.dtype, np.integer)
    # A copy that is contiguous and owned, whatever the file's array was a view of.
    return torch.from_numpy(np.array(array, np.int64 if whole else np.float32, order="C"))
