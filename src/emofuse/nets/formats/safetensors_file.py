"""safetensors files of other programs as named arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from emofuse.nets.formats.kinds import SAFETENSORS, unreadable


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays by their names; half precision becomes float32.

    Raises:
        WeightsError: the file is missing, truncated or of another kind.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: _array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise unreadable(path, SAFETENSORS, error) from None


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    # NumPy has no bfloat16.
    return np.asarray((tensor.float() if tensor.is_floating_point() else tensor).numpy())
