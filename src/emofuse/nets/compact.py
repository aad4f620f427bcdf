"""The compact face network of the default bundle: a small residual network for grey 48x48 faces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from emofuse.nets.formats import onnx
from emofuse.nets.formats.matching import TensorSource, take
from emofuse.nets.residual import Residual
from emofuse.nets.wrappers import standardised


@dataclass(frozen=True)
class CompactFaceSettings:
    """Widths of the residual stages (each halves the image) and the dropout before the last layer."""

    widths: tuple[int, ...] = (40, 80, 160, 320)
    dropout: float = 0.3
    classes: int = 7
    size: int = 48


class CompactFace(nn.Module):
    """Grey faces float [n, 1, 48, 48] of any scale -> (embedding [n, 320], logits [n, classes])."""

    head: ClassVar[tuple[str, ...]] = ("classify.",)

    def __init__(self, settings: CompactFaceSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or CompactFaceSettings()
        widths = settings.widths
        stem = nn.Conv2d(1, widths[0], 3, padding=1, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(widths[0]), nn.ReLU(), nn.MaxPool2d(2))
        self.stages = nn.Sequential(
            *(
                Residual(before, width, stride=1 if n == 0 else 2)
                for n, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False))
            )
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.classify = nn.Linear(widths[-1], settings.classes)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.stages(self.stem(standardised(faces))).mean(dim=(2, 3))
        return embedding, self.classify(self.dropout(embedding))


def build(classes: int = 7, *, tiny: bool = False) -> CompactFace:
    """The network of the default bundle, or one of some ten thousand parameters."""
    # With fewer than 16 channels, oneDNN's strided 1x1 convolution can crash in channels-last layout.
    return CompactFace(CompactFaceSettings((16, 16) if tiny else CompactFaceSettings.widths, classes=classes))


def load_onnx(path: Path, settings: CompactFaceSettings | None = None) -> dict[str, Tensor]:
    """All tensors from an ONNX file that the network was exported to, alone or as the first member of an ensemble.

    The default bundle's file is such an ensemble. Exporting folds each batch norm into its convolution; the restored
    batch norms only add the bias.

    Raises:
        WeightsError: the file cannot be read, or belongs to another network.
    """
    with torch.device("meta"):
        net = CompactFace(settings)
    wanted = {}
    for n, (conv, norm) in enumerate(_convolutions(net)):
        shape = tuple(net.get_parameter(f"{conv}.weight").shape)
        wanted[f"{conv}.weight"] = TensorSource(f"conv{n}/weight", shape)
        wanted[f"{norm}.bias"] = TensorSource(f"conv{n}/bias", shape[:1])
    for name in ("weight", "bias"):
        wanted[f"classify.{name}"] = TensorSource(f"dense0/{name}", tuple(net.get_parameter(f"classify.{name}").shape))
    tensors = take(onnx.read(path), wanted, path=path, what="the compact face network", ignored=lambda _: True)
    for _, norm in _convolutions(net):
        layer = net.get_submodule(norm)
        assert isinstance(layer, nn.BatchNorm2d)
        one = torch.ones(layer.num_features)
        tensors |= {f"{norm}.weight": one.clone(), f"{norm}.running_mean": 0 * one}
        tensors |= {f"{norm}.running_var": one - layer.eps, f"{norm}.num_batches_tracked": torch.tensor(0)}
    return tensors


def _convolutions(net: CompactFace) -> Iterator[tuple[str, str]]:
    """Names of the convolutions in the order of execution, and of the batch norm after each."""
    yield "stem.0", "stem.1"
    for n, stage in enumerate(net.stages):
        yield f"stages.{n}.body.0", f"stages.{n}.body.1"
        yield f"stages.{n}.body.3", f"stages.{n}.body.4"
        if isinstance(stage.skip, nn.Sequential):
            yield f"stages.{n}.skip.0", f"stages.{n}.skip.1"
