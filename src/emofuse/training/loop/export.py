"""From a trained torch net to an ONNX file that is checked against it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from emofuse.core.files import atomic
from emofuse.errors import SettingsError
from emofuse.runtime import Engine, OnnxNetwork
from emofuse.training.loop.devices import laid_out

LARGEST_ERROR = 1e-4


def export_onnx(
    net: nn.Module,
    example: Tensor | Sequence[Tensor],
    path: Path,
    *,
    outputs: tuple[str, ...],
    inputs: tuple[str, ...] = ("input",),
) -> float:
    """Write `net` as ONNX with a free batch size, and check it against torch with all of `example` and its first row.

    Args:
        example: a tensor [n, ...] for each input.
        outputs, inputs: their names, in order.
    Returns:
        The largest difference of any output on `example`, relative to that output's largest value.
    Raises:
        SettingsError: the difference is above 1e-4; no file is left behind.
    """
    given = (example,) if isinstance(example, Tensor) else tuple(example)
    net.eval()
    with atomic(path) as partial, warnings.catch_warnings():
        # The exporter warns that a newer one exists; that one needs packages we do without. It also warns of a fixed
        # batch size in LSTMs and of sizes that it takes as constant. Parity is checked below, for two batch sizes.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            laid_out(net, torch.contiguous_format),
            given,
            str(partial),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: {0: "n"} for name in (*inputs, *outputs)},
            opset_version=17,
            dynamo=False,
        )
        error = max(_difference(net, rows, inputs, partial) for rows in (given, tuple(t[:1] for t in given)))
        if not error <= LARGEST_ERROR:
            raise SettingsError(
                f"{path}: the exported net differs from the torch net by {error:.1e}, more than {LARGEST_ERROR:.0e}."
            )
    return error


def _difference(net: nn.Module, given: tuple[Tensor, ...], names: tuple[str, ...], path: Path) -> float:
    with torch.inference_mode():
        answer = net(*given)
    expected = [t.numpy() for t in ((answer,) if isinstance(answer, Tensor) else answer)]
    network = OnnxNetwork(path, Engine(device="cpu"))
    found = network.run(tuple(network.outputs), {name: t.numpy() for name, t in zip(names, given, strict=True)})
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(expected, found, strict=True))


def face_example(size: int, *, n: int = 4, channels: int = 1) -> Tensor:
    """Random faces float [n, channels, size, size] to export and compare nets with."""
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0))


def wave_example(samples: int, *, n: int = 2) -> Tensor:
    """Random sound float [n, samples] to export and compare nets with."""
    return 0.1 * torch.randn(n, samples, generator=torch.Generator().manual_seed(0))
