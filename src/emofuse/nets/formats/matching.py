"""From the names in a file to the names in a network: no array missing or unexpected, every shape right."""

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


def from_hwio(kernel: NDArray[Any]) -> NDArray[Any]:
    """Kernel [height, width, in, out] of Keras and MatConvNet -> [out, in, height, width] of torch."""
    return kernel.transpose(3, 2, 0, 1)


@dataclass(frozen=True)
class TensorSource:
    """The origin of a tensor: name and shape in the file, and the conversion to the network's layout."""

    name: str
    shape: tuple[int, ...]
    convert: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray


def take(
    arrays: Mapping[str, NDArray[Any]],
    wanted: Mapping[str, TensorSource],
    *,
    path: Path,
    what: str,
    ignored: Callable[[str], bool] = lambda _: False,
) -> dict[str, Tensor]:
    """Tensors by their names in the network.

    Args:
        arrays: the content of the file at `path`.
        wanted: name in the network -> its origin.
        what: the network, for messages.
        ignored: whether a name in the file is allowed without being wanted.
    Raises:
        WeightsError: an array is missing, unexpected, of another shape, or not finite; the first one is named.
    """
    names = {s.name for s in wanted.values()}
    unexpected = [n for n in arrays if n not in names and not ignored(n)]
    found = f"found {sum(not ignored(n) for n in arrays)} arrays"
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
        raise WeightsError(f"{path}: not {what}: {unexpected[0]!r} does not belong to it; {found}.")
    return {name: _tensor(source.convert(arrays[source.name])) for name, source in wanted.items()}


def _tensor(array: NDArray[Any]) -> Tensor:
    integers = np.issubdtype(array.dtype, np.integer)
    # A contiguous copy, because the array may be a view of the file's content.
    return torch.from_numpy(np.array(array, np.int64 if integers else np.float32, order="C"))
