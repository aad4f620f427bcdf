"""Nets whose weights lie on disk in half precision: half the size, computed in float32 as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from emofuse.core.files import atomic

_LEAST = 256  # numbers, below which an array is not worth it
_SUFFIX = "_half"


def halve_onnx(net: Path, path: Path) -> int:
    """Write an ONNX net with its weights in float16 and casts to float32, which ONNX Runtime does once, on loading.

    Weights that float16 cannot hold stay as they are. Equal nets give equal bytes.

    Returns:
        How many arrays are in half precision.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model: Any = onnx.load(net)
    graph, casts = model.graph, []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _LEAST:
            continue
        with np.errstate(over="ignore"):
            half = numpy_helper.to_array(tensor).astype(np.float16)
        if np.isfinite(half).all():
            graph.initializer.remove(tensor)
            graph.initializer.append(numpy_helper.from_array(half, tensor.name + _SUFFIX))
            casts.append(helper.make_node("Cast", [tensor.name + _SUFFIX], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    with atomic(path) as partial:
        onnx.save(model, partial)
    return len(casts)
