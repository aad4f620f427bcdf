"""Export of a trained network to an ONNX file, which is compared with it."""

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
    """Write `net` as ONNX with a free batch size, and compare it with torch on all of `example` and on its first row.

    Args:
        example: a tensor [n, ...] for each input.
        outputs, inputs: names, in order.
    Returns:
        The largest difference of an output on `example`, relative to the largest value of that output.
    Raises:
        SettingsError: the difference is above 1e-4; no file is written.
    """
    given = (example,) if isinstance(example, Tensor) else tuple(example)
    net.eval()
    with atomic(path) as partial, warnings.catch_warnings():
        # The exporter warns that a newer one exists, which needs further packages. It also warns about a fixed batch
        # size in LSTMs and about sizes that become constants; the comparison below covers two batch sizes.
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
                f"{path}: the exported network differs from the torch network by {error:.1e}, more than "
                f"{LARGEST_ERROR:.0e}."
            )
    return error


def _difference(net: nn.Module, given: tuple[Tensor, ...], names: tuple[str, ...], path: Path) -> float:
    with torch.inference_mode():
        output = net(*given)
    expected = [t.numpy() for t in ((output,) if isinstance(output, Tensor) else output)]
    network = OnnxNetwork(path, Engine(device="cpu"))
    found = network.run(tuple(network.outputs), {name: t.numpy() for name, t in zip(names, given, strict=True)})
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(expected, found, strict=True))


def face_example(size: int, *, n: int = 4, channels: int = 1) -> Tensor:
    """Random faces float [n, channels, size, size] for exporting and comparing networks."""
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0))


def wave_example(samples: int, *, n: int = 2) -> Tensor:
    """Random audio float [n, samples] for exporting and comparing networks."""
    return 0.1 * torch.randn(n, samples, generator=torch.Generator().manual_seed(0))
