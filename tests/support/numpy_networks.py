"""Reference implementations in NumPy, from layers in the layout of files: [n, h, w, channels], [h, w, in, out]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.signal import get_window
from scipy.special import expit

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
    """TensorFlow's padding="same", which adds the odd pixel at the end."""
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
    """The outputs of MatConvNet's vl_simplenn: res(1) is the input, res(k + 1) the output of layer k."""
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


def slaney_mel(hertz: float) -> float:
    return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)


def slaney_edges(low: float, high: float, count: int) -> Array:
    """Frequencies at equal distances on Slaney's mel scale."""
    inner = np.linspace(slaney_mel(low), slaney_mel(high), count)[1:-1]
    return np.array([low, *(brentq(lambda f, m=m: slaney_mel(f) - m, low, high, xtol=1e-9) for m in inner), high])


def log_mel(waves: Array, settings: Any) -> Array:
    """The result of librosa for each wave: power_to_db(melspectrogram(pad_mode="reflect"), top_db=None)."""
    window, half = settings.window, settings.window // 2
    padded = np.pad(waves, ((0, 0), (half, half)), mode="reflect")
    frames = sliding_window_view(padded, window, axis=1)[:, :: settings.hop]
    power = np.abs(np.fft.rfft(frames * get_window("hann", window), axis=2)) ** 2
    hertz = np.fft.rfftfreq(window, 1 / settings.rate_hz)
    edges = slaney_edges(settings.fmin, settings.fmax, settings.mels + 2)
    corners = zip(edges, edges[1:], edges[2:], strict=False)
    bands = [np.interp(hertz, corner, (0, 2 / (corner[2] - corner[0]), 0)) for corner in corners]
    return 10 * np.log10(np.maximum(power @ np.transpose(bands), 1e-10))


def cnn14(state: Mapping[str, Array], waves: Array, settings: Any) -> dict[str, Array]:
    """Outputs of the layers of PANN's Cnn14, from its state dict, by the names of its blocks."""

    def norm(x: Array, name: str) -> Array:
        deviation = np.sqrt(state[f"{name}.running_var"] + 1e-5)
        return (x - state[f"{name}.running_mean"]) / deviation * state[f"{name}.weight"] + state[f"{name}.bias"]

    layers = {"logmel": log_mel(waves, settings.logmel)}
    x = norm(layers["logmel"], "bn0")[..., None]
    for n in range(1, 1 + len(settings.widths)):
        for part in (1, 2):
            kernel = state[f"conv_block{n}.conv{part}.weight"].transpose(2, 3, 1, 0)
            x = np.maximum(norm(convolve(x, kernel, pad=(1, 1)), f"conv_block{n}.bn{part}"), 0)
        if n < len(settings.widths):
            x = sliding_window_view(x, (2, 2), axis=(1, 2))[:, ::2, ::2].mean(axis=(4, 5))
        layers[f"conv_block{n}"] = x.transpose(0, 3, 1, 2)
    over_frequency = x.mean(axis=2)
    layers["pool"] = over_frequency.max(axis=1) + over_frequency.mean(axis=1)
    layers["fc1"] = np.maximum(layers["pool"] @ state["fc1.weight"].T + state["fc1.bias"], 0)
    layers["logits"] = layers["fc1"] @ state["fc_audioset.weight"].T + state["fc_audioset.bias"]
    return layers


def keras_lstm(x: Array, kernel: Array, recurrent: Array, bias: Array) -> Array:
    """Keras's LSTM over [n, steps, before]; kernel [before, 4 width], recurrent [width, 4 width], gates i, f, c, o."""
    said = cell = np.zeros((len(x), len(recurrent)))
    steps = []
    for now in x.swapaxes(0, 1):
        i, f, c, o = np.split(now @ kernel + said @ recurrent + bias, 4, axis=1)
        cell = expit(f) * cell + expit(i) * np.tanh(c)
        said = expit(o) * np.tanh(cell)
        steps.append(said)
    return np.stack(steps, axis=1)


def keras_conv_pool(x: Array, kernel: Array, bias: Array, *, pool: int, average: bool) -> Array:
    """Conv1D(padding="same", activation="relu") and MaxPool1D or AveragePooling1D over [n, steps, channels]."""
    before, after = keras_same(x.shape[1], len(kernel), 1)
    windows = sliding_window_view(np.pad(x, ((0, 0), (before, after), (0, 0))), len(kernel), axis=1)
    y = np.maximum(np.einsum("ntck,kcd->ntd", windows, kernel) + bias, 0)
    pooled = y[:, : len(y[0]) // pool * pool].reshape(len(y), -1, pool, y.shape[2])
    return pooled.mean(axis=2) if average else pooled.max(axis=2)
