"""Small networks with the shapes of Spleeter's, whose masks are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE = [2, "splits", 512, 1024]


def gain_network(path: Path, factors, *, comment: str | None = None, shape=SHAPE) -> Path:
    """A network that multiplies magnitudes by a factor, or by one for each channel."""
    factor = np.asarray(factors, np.float32).reshape(-1, 1, 1, 1)
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    return _saved(path, nodes, {"factor": factor}, comment, shape)


def context_network(path: Path, seed: int, *, comment: str | None = None) -> Path:
    """A network that multiplies magnitudes by a mask from 5 x 5 frames and bins, zero-padded, as in a U-Net."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, 0.03, (2, 2, 5, 5)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["x"], ["rows"], perm=[1, 0, 2, 3]),
        helper.make_node("Conv", ["rows", "weight"], ["context"], kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
        helper.make_node("Sigmoid", ["context"], ["mask"]),
        helper.make_node("Mul", ["rows", "mask"], ["kept"]),
        helper.make_node("Transpose", ["kept"], ["y"], perm=[1, 0, 2, 3]),
    ]
    return _saved(path, nodes, {"weight": weight}, comment, SHAPE)


def gain_network_pair(folder: Path, vocals: float = 0.7, accompaniment: float = 0.3) -> tuple[Path, Path]:
    """Networks that return these fractions of the magnitudes."""
    return gain_network(folder / "vocals.fp32.onnx", vocals), gain_network(
        folder / "accompaniment.fp32.onnx", accompaniment
    )


def context_network_pair(folder: Path) -> tuple[Path, Path]:
    """Networks with context, and the metadata of those of sherpa-onnx."""
    return (
        context_network(folder / "vocals.fp32.onnx", 1, comment="vocals"),
        context_network(folder / "accompaniment.fp32.onnx", 2, comment="accompaniment"),
    )


def _saved(path: Path, nodes, constants, comment, shape) -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "stem", values[:1], values[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if comment is not None:
        # The published files say 41000 by mistake: they are for 44,100 Hz.
        metadata = {"model_type": "spleeter", "stems": "2", "sample_rate": "41000", "comment": comment}
        helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path
