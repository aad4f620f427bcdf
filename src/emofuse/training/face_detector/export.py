"""The trained detector as ONNX, with weights in half precision."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from emofuse.core.files import atomic
from emofuse.nets.face_detector import STRIDES
from emofuse.training.loop.devices import laid_out
from emofuse.training.loop.quantise import halve_onnx


class _Exported(nn.Module):
    """The network with the score instead of its logit."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, luma: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.cat([m[:, :1].sigmoid(), m[:, 1:]], 1) for m in self.net(luma))


def export_detector(net: nn.Module, path: Path) -> None:
    """Write a detector as ONNX: input `luma` uint8 [n, 1, height, width], outputs `stride8`, `stride16`, `stride32`."""
    outputs = [f"stride{n}" for n in STRIDES]
    axes = {"luma": {0: "n", 2: "height", 3: "width"}}
    axes |= {f"stride{n}": {0: "n", 2: f"height{n}", 3: f"width{n}"} for n in STRIDES}
    with atomic(path) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a newer exporter needs further packages
        torch.onnx.export(
            _Exported(laid_out(copy.deepcopy(net).cpu(), torch.contiguous_format)).eval(),
            (torch.zeros(1, 1, 64, 96, dtype=torch.uint8),),
            str(partial),
            input_names=["luma"],
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
        halve_onnx(partial, partial)
