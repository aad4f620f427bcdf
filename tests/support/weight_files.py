"""Weight files in the formats of others, with random values: Keras, MatConvNet (MATLAB 7, 7.3), torch, safetensors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.io import savemat

Array = NDArray[Any]
KerasLayers = dict[str, dict[str, Array]]
_NUMBERS = count()


def shared_weights(name: str) -> Path:
    """A file of the shared weights; the test is skipped if it is missing."""
    folder = Path(os.environ.get("EMOFUSE_TEST_WEIGHTS") or Path(__file__).parents[3] / "shared" / "weights")
    if not (folder / name).is_file():
        pytest.skip(f"needs {name} of the shared weights: set EMOFUSE_TEST_WEIGHTS")
    return folder / name


def resnet_layers(settings: Any, rng: np.random.Generator) -> KerasLayers:
    """The layers of RESNET50(include_top=False) in the order of Keras, for blocks, widths and stem of `settings`."""
    layers: KerasLayers = {"input_1": {}}

    def add(name: str, size: int, before: int, width: int) -> None:
        scale = np.sqrt(2 / (size * size * before))
        layers[name] = {"kernel": rng.normal(0, scale, (size, size, before, width)).astype(np.float32)}
        layers[f"{name}/bn"] = {
            "gamma": rng.uniform(0.5, 1.5, width).astype(np.float32),
            "beta": rng.normal(0, 0.1, width).astype(np.float32),
            "moving_mean": rng.normal(0, 0.1, width).astype(np.float32),
            # Some near eps, so that a wrong eps shows.
            "moving_variance": rng.uniform(0.005, 1.5, width).astype(np.float32),
        }

    add("conv1/7x7_s2", 7, 3, settings.stem)
    before = settings.stem
    for stage, (blocks, width) in enumerate(zip(settings.blocks, settings.widths, strict=True), start=2):
        for block in range(1, blocks + 1):
            name = f"conv{stage}_{block}"
            add(f"{name}_1x1_reduce", 1, before, width)
            layers[f"activation_{stage}_{block}"] = {}
            add(f"{name}_3x3", 3, width, width)
            add(f"{name}_1x1_increase", 1, width, 4 * width)
            if block == 1:
                add(f"{name}_1x1_proj", 1, before, 4 * width)
            before = 4 * width
    return layers


def pann_shapes(
    *,
    window: int,
    mels: int = 64,
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048),
    hidden: int = 2048,
    classes: int = 527,
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the state dict in the checkpoints of PANN's Cnn14."""
    bins = window // 2 + 1
    shapes: dict[str, tuple[int, ...]] = {
        "spectrogram_extractor.stft.conv_real.weight": (bins, 1, window),
        "spectrogram_extractor.stft.conv_imag.weight": (bins, 1, window),
        "logmel_extractor.melW": (bins, mels),
    }

    def norm(name: str, width: int) -> None:
        shapes.update({f"{name}.{k}": (width,) for k in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    norm("bn0", mels)
    for n, (before, width) in enumerate(zip((1, *widths), widths, strict=False), start=1):
        shapes[f"conv_block{n}.conv1.weight"] = (width, before, 3, 3)
        shapes[f"conv_block{n}.conv2.weight"] = (width, width, 3, 3)
        norm(f"conv_block{n}.bn1", width)
        norm(f"conv_block{n}.bn2", width)
    for name, before, width in (("fc1", widths[-1], hidden), ("fc_audioset", hidden, classes)):
        shapes |= {f"{name}.weight": (width, before), f"{name}.bias": (width,)}
    return shapes


def pann_state(shapes: Mapping[str, tuple[int, ...]], rng: np.random.Generator) -> dict[str, Array]:
    """Random values of these shapes that keep activations in range."""

    def values(name: str, shape: tuple[int, ...]) -> Array:
        if not shape:
            return np.array(600_000)
        if name.endswith(("running_var", "bn1.weight", "bn2.weight", "bn0.weight")):
            return rng.uniform(0.5, 1.5, shape).astype(np.float32)
        scale = 0.1 if len(shape) == 1 else np.sqrt(2 / np.prod(shape[1:]))
        return (scale * rng.standard_normal(shape, np.float32)).astype(np.float32)

    return {name: values(name, shape) for name, shape in shapes.items()}


def write_keras(path: Path, layers: Mapping[str, Mapping[str, Array]], *, root: str = "/") -> Path:
    with h5py.File(path, "w") as file:
        top = file.require_group(root)
        top.attrs["layer_names"] = np.array([n.encode() for n in layers])
        for name, weights in layers.items():
            group = top.require_group(name)
            group.attrs["weight_names"] = np.array([f"{name}/{w}:0".encode() for w in weights], "S")
            for weight, array in weights.items():
                group.create_dataset(f"{name}/{weight}:0", data=array)
    return path


def vgg_layers(settings: Any, rng: np.random.Generator, *, classes: int) -> list[dict[str, Any]]:
    """The layers of vgg_face.mat in its order, for widths, convolutions, hidden and size of `settings`."""
    layers: list[dict[str, Any]] = []

    def conv(name: str, size: int, before: int, width: int, pad: int) -> None:
        filters = rng.standard_normal((size, size, before, width), np.float32)
        filters *= np.float32(np.sqrt(2 / (size * size * before)))
        biases = rng.normal(0, 0.1, (1, width)).astype(np.float32)
        layers.append({"name": name, "type": "conv", "weights": [filters, biases], "stride": 1, "pad": pad})

    before = 3
    for block, (width, times) in enumerate(zip(settings.widths, settings.convolutions, strict=True), start=1):
        for n in range(1, times + 1):
            conv(f"conv{block}_{n}", 3, before, width, 1)
            layers.append({"name": f"relu{block}_{n}", "type": "relu"})
            before = width
        layers.append({"name": f"pool{block}", "type": "pool", "pool": 2, "stride": 2, "pad": 0})
    conv("fc6", settings.size // 2 ** len(settings.widths), before, settings.hidden, 0)
    layers.append({"name": "relu6", "type": "relu"})
    conv("fc7", 1, settings.hidden, settings.hidden, 0)
    layers.append({"name": "relu7", "type": "relu"})
    conv("fc8", 1, settings.hidden, classes, 0)
    layers.append({"name": "prob", "type": "softmax"})
    return layers


def average_image(size: int, rng: np.random.Generator) -> Array:
    return rng.uniform(80, 140, (size, size, 3)).astype(np.float32)


def in_net(layers: list[dict[str, Any]], average: Array) -> dict[str, Any]:
    """As vgg_face.mat: all in the variable `net`, the average in `net.normalization`."""
    return {"net": {"layers": layers, "normalization": {"averageImage": average, "imageSize": np.array([[1.0, 2, 3]])}}}


def at_top(layers: list[dict[str, Any]], average: Array) -> dict[str, Any]:
    """As vgg-face.mat of MatConvNet's own site: `layers` and `meta` at the top of the file."""
    return {"layers": layers, "meta": {"normalization": {"averageImage": average}, "inputs": "data"}}


def write_mat7(path: Path, content: Mapping[str, Any]) -> Path:
    savemat(path, {k: _cells(v) for k, v in content.items()})
    return path


def _cells(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _cells(v) for k, v in value.items()}
    if isinstance(value, list):
        cell = np.empty((1, len(value)), object)
        for n, v in enumerate(value):
            cell[0, n] = _cells(v)
        return cell
    return value if isinstance(value, str) else np.atleast_2d(value)


def write_mat73(path: Path, content: Mapping[str, Any]) -> Path:
    """As MATLAB's save -v7.3: HDF5 behind 512 bytes, axes reversed, cells as references into #refs#."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_group("#refs#")
        for name, value in content.items():
            _put(file, name, value, file)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    return path


def _put(group: h5py.Group, name: str, value: Any, file: h5py.File) -> h5py.Group | h5py.Dataset:
    if isinstance(value, dict):
        made = group.create_group(name)
        made.attrs["MATLAB_class"] = np.bytes_(b"struct")
        for k, v in value.items():
            _put(made, k, v, file)
        return made
    if isinstance(value, list) and not value:
        made = group.create_dataset(name, data=np.array([0, 0], np.uint64))
        made.attrs["MATLAB_empty"] = np.uint8(1)
        made.attrs["MATLAB_class"] = np.bytes_(b"cell")
    elif isinstance(value, list):
        made = group.create_dataset(name, data=_references(value, file), dtype=h5py.ref_dtype)
        made.attrs["MATLAB_class"] = np.bytes_(b"cell")
    elif isinstance(value, str):
        made = group.create_dataset(name, data=np.array([[ord(c)] for c in value], np.uint16))
        made.attrs["MATLAB_class"] = np.bytes_(b"char")
    else:
        made = group.create_dataset(name, data=np.atleast_2d(value).T)
        made.attrs["MATLAB_class"] = np.bytes_(b"single")
    return made


def _references(values: Iterable[Any], file: h5py.File) -> Array:
    refs = file["#refs#"]
    made = [_put(refs, f"r{next(_NUMBERS)}", v, file).ref for v in values]
    column = np.empty((len(made), 1), object)
    column[:, 0] = made
    return column


def write_struct_array73(path: Path, layers: list[dict[str, Any]], average: Array) -> Path:
    """The same, with `layers` as a struct array: each field is a list of references that is not a cell."""
    write_mat73(path, {"meta": {"normalization": {"averageImage": average}}})
    with h5py.File(path, "r+") as file:
        group = file.create_group("layers")
        group.attrs["MATLAB_class"] = np.bytes_(b"struct")
        for field in ("name", "type", "weights"):
            column = _references([layer.get(field, []) for layer in layers], file)
            group.create_dataset(field, data=column, dtype=h5py.ref_dtype)
    return path


def cut(path: Path) -> Path:
    """The same file, truncated to half its size."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def whisper_state(net: Any) -> dict[str, torch.Tensor]:
    """The tensors of a Whisper encoder as published, with parts of the model that its first blocks do not need."""
    prefix, width, blocks = "model.encoder.", net.settings.width, net.settings.blocks
    own = {prefix + k: v for k, v in net.state_dict().items() if not k.startswith("spectrum.")}
    last = f"layers.{blocks - 1}."
    later = {k.replace(last, f"layers.{blocks}."): v.clone() for k, v in own.items() if last in k}
    norm = {f"{prefix}layer_norm.{part}": torch.ones(width) for part in ("weight", "bias")}
    return own | later | norm | {"model.decoder.embed_tokens.weight": torch.ones(5, width)}


def write_whisper(path: Path, net: Any, changes: Mapping[str, torch.Tensor | None] = MappingProxyType({})) -> Path:
    """A published file of a Whisper encoder, with some tensors replaced, or left out where None is given."""
    state = whisper_state(net) | changes
    save_file({k: v for k, v in state.items() if v is not None}, path)
    return path
