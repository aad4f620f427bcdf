"""torch weight files as named arrays. Only tensors are read; a file that would run code is refused."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emofuse.errors import WeightsError
from emofuse.nets.formats.kinds import unreadable

KIND = "a torch file of tensors (a state dict)"
# Keys of the state dict in a checkpoint.
_INSIDE = ("state_dict", "model", "model_state_dict")
# The 16 kHz checkpoint of PANN also stores the order of its examples, int64 arrays as written by NumPy 1.
_rebuild: Any = np.empty(0).__reduce__()[0]
_ARRAYS: list[Any] = [
    (_rebuild, "numpy.core.multiarray._reconstruct"),
    _rebuild,
    np.ndarray,
    np.dtype,
    type(np.dtype(np.int64)),
]


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays by their names in the state dict, in its order.

    Raises:
        WeightsError: the file is missing, truncated, has other content than tensors and plain arrays, or no names.
    """
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_ARRAYS):
            warnings.simplefilter("ignore")  # about old formats
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch have no common error, and their messages are long
        raise unreadable(path, KIND, type(error).__name__) from None
    tensors = _tensors(content)
    if not tensors:
        raise WeightsError(f"{path}: no named tensors; expected {KIND}, found {type(content).__name__}.")
    return {k: _array(v) for k, v in tensors.items()}


def _tensors(content: Any) -> dict[str, torch.Tensor]:
    if not isinstance(content, Mapping):
        return {}
    for key in _INSIDE:
        if isinstance(content.get(key), Mapping):
            return _tensors(content[key])
    return {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    # NumPy has no bfloat16.
    array: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
    return array
