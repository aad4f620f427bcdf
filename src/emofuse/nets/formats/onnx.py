"""ONNX files as named arrays: the convolutions and dense layers of a network, in the order of execution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from emofuse.nets.formats.kinds import unreadable

KIND = "an ONNX file"
_LAYERS = {"Conv": "conv", "Gemm": "dense"}


def read(path: Path) -> dict[str, NDArray[np.float32]]:
    """Arrays `conv0/weight`, `conv0/bias` ... and `dense0/weight`, `dense0/bias` ..., in the order of execution.

    Raises:
        WeightsError: the file is missing, truncated, or without such layers.
    """
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except (OSError, DecodeError, ValueError) as error:
        raise unreadable(path, KIND, type(error).__name__) from None
    kept = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:  # equal arrays are stored once and referenced; some are in half precision or integers
        if node.input and node.input[0] in kept:
            if node.op_type in ("Identity", "Cast"):
                kept[node.output[0]] = kept[node.input[0]]
            elif node.op_type == "DequantizeLinear":
                kept[node.output[0]] = _dequantised(*(kept[name] for name in node.input))
    arrays: dict[str, NDArray[np.float32]] = {}
    counts = dict.fromkeys(_LAYERS, 0)
    for node in graph.node:
        if node.op_type in _LAYERS:
            layer = f"{_LAYERS[node.op_type]}{counts[node.op_type]}"
            counts[node.op_type] += 1
            for part, name in zip(("weight", "bias"), node.input[1:], strict=False):
                if name in kept:
                    arrays[f"{layer}/{part}"] = np.asarray(kept[name], np.float32)
    if not arrays:
        raise unreadable(path, KIND, "no convolutions")
    return arrays


def _dequantised(integers: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any]) -> NDArray[np.float32]:
    """The values of integers with one scale, or one for each row."""
    rows = (-1, *[1] * (integers.ndim - 1)) if scale.ndim else ()
    return np.asarray((integers.astype(np.float32) - zero.reshape(rows)) * scale.reshape(rows), np.float32)
