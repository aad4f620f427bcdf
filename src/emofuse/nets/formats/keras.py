"""Keras weight files (HDF5, Keras 1 and 2) as named arrays: `conv1/7x7_s2/kernel`, `conv1/7x7_s2/bn/gamma`."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from emofuse.errors import WeightsError
from emofuse.nets.formats.kinds import unreadable

KIND = "a Keras weight file (HDF5)"
# Batch norm: torch's name -> Keras's name.
BATCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def read(path: Path) -> dict[str, NDArray[np.float32]]:
    """Arrays named `<layer>/<weight>` in the order of the layers; kernels [h, w, in, out].

    A complete saved model (its weights under `model_weights`) is read like a weight file.

    Raises:
        WeightsError: the file is missing, truncated, not HDF5, or without Keras's list of layers.
    """
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if not any(a in root.attrs for a in ("layer_names", "layer_names0")):
                raise WeightsError(f"{path}: an HDF5 file, but not {KIND}: layer_names is missing.")
            return {
                f"{layer}/{weight.rpartition('/')[2].removesuffix(':0')}": np.asarray(root[layer][weight])
                for layer in _names(root, "layer_names")
                for weight in _names(root[layer], "weight_names")
            }
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise unreadable(path, KIND, error) from None


def _names(group: h5py.Group, attribute: str) -> list[str]:
    # Keras splits lists past 64 KB into attribute0, attribute1 ...
    chunks = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(chunks)}" in group.attrs:
        chunks.append(f"{attribute}{len(chunks)}")
    names = [name for chunk in chunks for name in group.attrs[chunk]]
    return [n.decode() if isinstance(n, bytes) else str(n) for n in names]
