"""Smaller ONNX networks: quantised to int8 with calibration on real inputs, or with weights in half precision.

In int8, activations become uint8, one range for each tensor; weights become int8, one scale for each output channel.
Networks with attention keep their activations in float32: only the inputs of large dense layers become uint8, with
ranges that are measured at each inference (`quantise_dense_onnx`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import atomic
from emofuse.core.registry import nearest
from emofuse.errors import SettingsError, ShapeError, WeightsError
from emofuse.runtime import Engine, OnnxNetwork

Array = NDArray[np.float32]
Feed = dict[str, Array]

FIRST, LAST = "first", "last"
_LEAST_HALVED = 256  # values; smaller arrays stay in float32
_HALF = "_half"
_REMEDY = "give a file of export_onnx"
_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
# These are computed in int8 as well, because each in float32 would need two conversions.
_PASSING = frozenset({"Add", "AveragePool", "Clip", "GlobalAveragePool", "MaxPool", "Relu"})
_INT8 = ("Quantize", "Dequantize", "DynamicQuantize", "QLinear", "ConvInteger", "MatMulInteger", "QGemm")


def quantise_onnx(net: Path, path: Path, *, calibration: Iterable[Array], keep: Sequence[str] = (LAST,)) -> None:
    """Write the int8 form of an ONNX network with one input.

    Weights have 7 bits: x86 without VNNI adds two products of u8 and s8 in 16 bits and saturates, so a network with
    weights of 8 bits would be silently wrong there. Equal networks, calibration and layers to keep are written as equal
    bytes. Batches are read one at a time.

    Args:
        net: a network written by `export_onnx`, or one whose weights `halve_onnx` has stored in half precision.
        path: the new file.
        calibration: batches float32 [n, ...] that determine the ranges of the activations.
        keep: layers that stay in float32: `first`, `last` (convolution or matrix product), or prefixes of names.
    Raises:
        WeightsError: `net` is not an ONNX file.
        SettingsError: it is already quantised, has several inputs, or has no layer to quantise.
        ShapeError: a batch has another shape or is not finite, or there is none.
        OutputError: `path` cannot be written; no file is written.
    """
    if path.resolve() == net.resolve():
        raise SettingsError(f"{path}: the int8 network would replace the float32 network; give another path.")
    model = _read(net)
    given = _Input.of(OnnxNetwork(net, Engine(device="cpu"), error=WeightsError, remedy=_REMEDY), net)
    chosen = _chosen(model.graph, keep, net)
    with atomic(path) as partial, _beside(partial) as folder:
        _write(model, folder / "net.onnx")
        _quantise(folder / "net.onnx", folder / "int8.onnx", chosen, given.checked(calibration))
        _write_in_order(folder / "int8.onnx", partial, [node.name for node in model.graph.node])


def quantise_dense_onnx(net: Path, path: Path, *, least_weights: int = 1 << 18) -> None:
    """Write an ONNX network whose dense layers of at least `least_weights` weights are computed in int8.

    Ranges of activations are measured at each inference, so no calibration is needed; weights have 7 bits, as in
    `quantise_onnx`. Equal networks are written as equal bytes.

    Raises:
        WeightsError: `net` is not an ONNX file.
        SettingsError: it is already quantised, or has no such layer.
        OutputError: `path` cannot be written; no file is written.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = _read(net)
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    dense = [n.name for n in model.graph.node if n.op_type == "MatMul" and sizes.get(n.input[1], 0) >= least_weights]
    if not dense:
        raise SettingsError(f"{net}: no dense layer has {least_weights} weights or more; give a larger network.")
    with atomic(path) as partial, _beside(partial) as folder:
        _write(model, folder / "net.onnx")
        quantize_dynamic(
            folder / "net.onnx",
            partial,
            nodes_to_quantize=dense,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,  # 7 bits
            weight_type=QuantType.QInt8,
        )


# -- the network ----------------------------------------------------------------------------------------------


def _read(net: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(net)
    except (OSError, DecodeError) as error:
        reason = getattr(error, "strerror", None) or "it does not parse"
        raise WeightsError(
            f"{net}: cannot be read as an ONNX network ({reason}); give a file of export_onnx."
        ) from None
    found = next((node.op_type for node in model.graph.node if node.op_type.startswith(_INT8)), None)
    if found is not None:
        raise SettingsError(f"{net}: is already quantised (it has a {found}); give the float32 network.")
    for number, node in enumerate(model.graph.node):  # layers are selected by name, and some exporters write none
        node.name = node.name or f"{node.op_type}_{number}"
    _without_aliases(model.graph)
    _widen(model.graph)
    return model


def _without_aliases(graph: Any) -> None:
    # The exporter stores equal weights once, with aliases; the quantiser finds weights by name.
    alias = {tensor.name: tensor.name for tensor in graph.initializer}
    outputs = {output.name for output in graph.output}
    for node in list(graph.node):
        if node.op_type == "Identity" and node.input[0] in alias and node.output[0] not in outputs:
            alias[node.output[0]] = alias[node.input[0]]
            graph.node.remove(node)
        else:
            node.input[:] = [alias.get(name, name) for name in node.input]


def _widen(graph: Any) -> None:
    # Weights in half precision are the inputs of casts; the quantiser takes only stored weights.
    from onnx import TensorProto, numpy_helper

    halves = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    for node in list(graph.node):
        if node.op_type == "Cast" and node.input[0] in halves:
            values = numpy_helper.to_array(halves[node.input[0]]).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
            graph.node.remove(node)
    for tensor in halves.values():
        graph.initializer.remove(tensor)


def _write(model: Any, path: Path) -> None:
    import onnx

    # Marks the network as preprocessed, or ONNX Runtime warns on the root logger.
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    onnx.save(model, path)


def _chosen(graph: Any, keep: Sequence[str], net: Path) -> set[str]:
    """Names of the nodes to compute in int8: layers with weights, and operations between them."""
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    weighted = [n.name for n in graph.node if n.op_type in _WEIGHTED and n.input[1] in constants]
    kept = _kept([node.name for node in graph.node], weighted, keep, net)
    chosen: set[str] = set()
    held: set[str] = set()
    for node in graph.node:
        moving = [name for name in node.input if name and name not in constants]
        between = node.op_type in _PASSING and bool(held.intersection(moving))
        # Of sums, only those of two branches: a constant has no calibrated range.
        between &= node.op_type != "Add" or len(moving) == 2
        if node.name not in kept and (node.name in weighted or between):
            chosen.add(node.name)
            held.update(node.output)
    if not chosen:
        raise SettingsError(
            f"{net}: no convolution or matrix product is left to quantise; give a larger network or keep fewer layers."
        )
    return chosen


def _kept(names: Sequence[str], weighted: Sequence[str], keep: Sequence[str], net: Path) -> set[str]:
    kept: set[str] = set()
    ends = {FIRST: weighted[:1], LAST: weighted[-1:]}
    for name in keep:
        found = ends[name] if name in ends else [n for n in names if n.startswith(name)]
        if not found and name not in ends:
            raise SettingsError(
                f"{net}: no layer begins with {name!r}{nearest(name, weighted)}; give {FIRST}, {LAST}, or names of "
                f"the file, such as {', '.join(weighted[:2])}."
            )
        kept.update(found)
    return kept


@contextmanager
def _beside(partial: Path) -> Iterator[Path]:
    # Calibration writes a modified copy of the network; this name lets the next run remove that of a killed one.
    folder = partial.with_name(f"{partial.name}-work")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _quantise(net: Path, path: Path, chosen: set[str], batches: Iterator[Feed]) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        net,
        path,
        _Reader(batches),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=sorted(_WEIGHTED | _PASSING),
        nodes_to_quantize=sorted(chosen),
        per_channel=True,
        reduce_range=True,  # 7 bits
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def _write_in_order(net: Path, path: Path, names: Sequence[str]) -> None:
    """Write a network with its nodes in the order of `names`, each after the new ones that it needs.

    The quantiser interleaves the members of an ensemble, but weights are read back by the order of their layers.
    """
    import onnx

    model: Any = onnx.load(net)
    rank = {name: n for n, name in enumerate(names)}
    makers = {output: node for node in model.graph.node for output in node.output}
    ordered: dict[str, Any] = {}  # by first output

    def add(node: Any) -> None:
        if node.output[0] not in ordered:
            for name in node.input:
                if name in makers:
                    add(makers[name])
            ordered[node.output[0]] = node

    for node in sorted(model.graph.node, key=lambda node: rank.get(node.name, len(rank))):
        add(node)
    nodes = [*ordered.values()]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


class _Reader:
    """Batches in the interface of ONNX Runtime."""

    def __init__(self, batches: Iterator[Feed]) -> None:
        self._batches = batches

    def get_next(self) -> Feed | None:
        return next(self._batches, None)


# -- inputs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Input:
    """The only input of a network; a free size is a name or None."""

    name: str
    shape: tuple[int | str | None, ...]

    @classmethod
    def of(cls, session: OnnxNetwork, net: Path) -> _Input:
        if list(session.input_types.values()) != ["tensor(float)"]:
            found = ", ".join(f"{name} {kind}" for name, kind in session.input_types.items())
            raise SettingsError(f"{net}: takes {found}; only networks with one float32 input can be quantised.")
        ((name, shape),) = session.inputs.items()
        return cls(name, tuple(shape))

    def checked(self, batches: Iterable[Array]) -> Iterator[Feed]:
        batch, empty = None, True
        for number, batch in enumerate(batches):
            if batch.dtype != np.float32 or not self._takes(batch.shape):
                wanted = ", ".join(str(size) for size in self.shape)
                raise ShapeError(
                    f"quantise: batch {number} of calibration is {batch.dtype} {batch.shape}; the network takes "
                    f"float32 [{wanted}]."
                )
            if not np.isfinite(batch).all():
                raise ShapeError(f"quantise: batch {number} of calibration has values that are not finite.")
            empty &= len(batch) == 0
            if len(batch):
                yield {self.name: batch}
        if empty:
            raise ShapeError("quantise: calibration is empty; give at least one batch.")

    def _takes(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == len(self.shape) and all(
            not isinstance(wanted, int) or size == wanted for size, wanted in zip(shape, self.shape, strict=True)
        )


# -- half precision -------------------------------------------------------------------------------------------


def halve_onnx(net: Path, path: Path) -> int:
    """Write an ONNX network with weights in float16, which ONNX Runtime casts to float32 once, on loading.

    Weights beyond the range of float16 are unchanged. Equal networks are written as equal bytes.

    Returns:
        Number of arrays in half precision.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model: Any = onnx.load(net)
    graph, casts = model.graph, []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _LEAST_HALVED:
            continue
        with np.errstate(over="ignore"):
            half = numpy_helper.to_array(tensor).astype(np.float16)
        if np.isfinite(half).all():
            graph.initializer.remove(tensor)
            graph.initializer.append(numpy_helper.from_array(half, tensor.name + _HALF))
            casts.append(helper.make_node("Cast", [tensor.name + _HALF], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    with atomic(path) as partial:
        onnx.save(model, partial)
    return len(casts)
