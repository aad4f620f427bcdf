"""The nets once more in NumPy, from their layers as files hold them: [n, h, w, channels], kernels [h, w, in, out]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]


def relative_error(found: Array, expected: Array) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def convolve(x: Array, kernel: Array, *, stride: int = 1, pad: tuple[int, int] = (0, 0)) -> Array:
    padded = np.pad(x, ((0, 0), pad, pad, (0, 0)))
    windows = sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(windows, kernel, axes=((3, 4, 5), (2, 0, 1)))


def max_pool(x: Array, size: int, stride: int) -> Array:
    return sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride].max(axis=(4, 5))


def keras_same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's rule for padding="same": the odd pixel goes to the end."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def resnet(layers: Mapping[str, Mapping[str, Array]], faces: Array, *, blocks: Sequence[int]) -> Array:
    """Pooled features [n, channels] of keras-vggface's RESNET50, by the names of its layers."""

    def conv_bn(x: Array, name: str, stride: int = 1) -> Array:
        kernel, norm = layers[name]["kernel"], layers[f"{name}/bn"]
        y = convolve(x, kernel, stride=stride, pad=keras_same(x.shape[1], kernel.shape[0], stride))
        deviation = np.sqrt(norm["moving_variance"] + 0.001)
        return (y - norm["moving_mean"]) / deviation * norm["gamma"] + norm["beta"]

    x = max_pool(np.maximum(conv_bn(faces, "conv1/7x7_s2", 2), 0), 3, 2)
    for stage, count in enumerate(blocks, start=2):
        for block in range(1, count + 1):
            name, stride = f"conv{stage}_{block}", 2 if stage > 2 and block == 1 else 1
            y = np.maximum(conv_bn(x, f"{name}_1x1_reduce", stride), 0)
            y = np.maximum(conv_bn(y, f"{name}_3x3"), 0)
            y = conv_bn(y, f"{name}_1x1_increase")
            x = np.maximum(y + (conv_bn(x, f"{name}_1x1_proj", stride) if block == 1 else x), 0)
    return x.mean(axis=(1, 2))


def simplenn(layers: Sequence[Mapping[str, Any]], x: Array) -> list[Array]:
    """What MatConvNet's vl_simplenn keeps: res(1) is the input, res(k + 1) the output of layer k."""
    res = [x]
    for layer in layers:
        x = res[-1]
        if layer["type"] == "conv":
            filters, biases = layer["weights"]
            res.append(convolve(x, filters, stride=layer["stride"], pad=(layer["pad"], layer["pad"])) + biases.ravel())
        elif layer["type"] == "relu":
            res.append(np.maximum(x, 0))
        elif layer["type"] == "pool":
            res.append(max_pool(x, layer["pool"], layer["stride"]))
        else:
            powers = np.exp(x - x.max(axis=3, keepdims=True))
            res.append(powers / powers.sum(axis=3, keepdims=True))
    return res
