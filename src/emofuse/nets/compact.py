"""The compact face network of the default bundle: a small residual net on grey 48x48 faces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from emofuse.nets.formats import onnx
from emofuse.nets.formats.matching import Source, take
from emofuse.nets.grey import standardised


@dataclass(frozen=True)
class CompactFaceSettings:
    """Widths of the residual stages (each halves the image) and the dropout before the last layer."""

    widths: tuple[int, ...] = (40, 80, 160, 320)
    dropout: float = 0.3
    classes: int = 7
    size: int = 48


class CompactFace(nn.Module):
    """Grey faces float [n, 1, 48, 48] (any scale) -> (embedding [n, 320], logits [n, classes]).

    Each image is standardised to zero mean and unit deviation first: light and contrast of the
    recording say nothing about the emotion.
    """

    head: ClassVar[tuple[str, ...]] = ("classify.",)

    def __init__(self, settings: CompactFaceSettings | None = None) -> None:
        super().__init__()
        settings = settings or CompactFaceSettings()
        self.settings = settings
        widths = settings.widths
        self.stem = nn.Sequential(_conv3(1, widths[0]), nn.BatchNorm2d(widths[0]), nn.ReLU(), nn.MaxPool2d(2))
        self.stages = nn.Sequential(
            *(
                _Residual(before, width, stride=1 if n == 0 else 2)
                for n, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False))
            )
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.classify = nn.Linear(widths[-1], settings.classes)

    @classmethod
    def tiny(cls, classes: int = 7) -> CompactFace:
        """A net of some ten thousand parameters with the same interface, for tests."""
        # Below 16 channels oneDNN's strided 1x1 convolution in channels-last layout can crash.
        return cls(CompactFaceSettings(widths=(16, 16), classes=classes))

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.stages(self.stem(standardised(faces))).mean(dim=(2, 3))
        return embedding, self.classify(self.dropout(embedding))


def build(classes: int = 7, *, tiny: bool = False) -> CompactFace:
    """The network of the default bundle, or a smaller one; see `emofuse.nets.catalogue.Network`."""
    return CompactFace.tiny(classes) if tiny else CompactFace(CompactFaceSettings(classes=classes))


def load_onnx(path: Path, settings: CompactFaceSettings | None = None) -> dict[str, Tensor]:
    """All tensors of the net from an ONNX file that it was exported to, alone or as the first of a committee, such as
    that of the default bundle.

    An exported convolution has its batch norm in itself; the batch norms that come back do nothing but add its bias.

    Raises:
        WeightsError: the file cannot be read, or is not of this net.
    """
    with torch.device("meta"):
        net = CompactFace(settings)
    wanted = {}
    for n, (conv, norm) in enumerate(_convolutions(net)):
        shape = tuple(net.get_parameter(f"{conv}.weight").shape)
        wanted[f"{conv}.weight"] = Source(f"conv{n}/weight", shape)
        wanted[f"{norm}.bias"] = Source(f"conv{n}/bias", shape[:1])
    for part in ("weight", "bias"):
        wanted[f"classify.{part}"] = Source(f"dense0/{part}", tuple(net.get_parameter(f"classify.{part}").shape))
    tensors = take(onnx.read(path), wanted, path=path, what="the compact face net", spare=lambda _: True)
    for _, norm in _convolutions(net):
        layer = net.get_submodule(norm)
        assert isinstance(layer, nn.BatchNorm2d)
        one = torch.ones(layer.num_features)
        tensors |= {f"{norm}.weight": one.clone(), f"{norm}.running_mean": 0 * one}
        tensors |= {f"{norm}.running_var": one - layer.eps, f"{norm}.num_batches_tracked": torch.tensor(0)}
    return tensors


def _convolutions(net: CompactFace) -> Iterator[tuple[str, str]]:
    """Names of the convolutions, in the order in which they are run, and of the batch norm after each."""
    yield "stem.0", "stem.1"
    for n, stage in enumerate(net.stages):
        yield f"stages.{n}.body.0", f"stages.{n}.body.1"
        yield f"stages.{n}.body.3", f"stages.{n}.body.4"
        if isinstance(stage.skip, nn.Sequential):
            yield f"stages.{n}.skip.0", f"stages.{n}.skip.1"


class _Residual(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv3(before, width, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            _conv3(width, width),
            nn.BatchNorm2d(width),
        )
        same = before == width and stride == 1
        self.skip: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def _conv3(before: int, width: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
