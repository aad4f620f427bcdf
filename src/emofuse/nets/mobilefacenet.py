"""MobileFaceNet as published by foamliu/MobileFaceNet, with the names of its state dict, and a classifier.

Depthwise and inverted residual blocks with ReLU6, but ReLU in the first depthwise block (`dw_conv`); batch norm with
torch's eps of 1e-5; no activation after the global depthwise convolution. Verified against the published ONNX file.
Source: Chen et al., MobileFaceNets, 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.nets.formats import state_dict
from emofuse.nets.formats.matching import TensorSource, take


@dataclass(frozen=True)
class InvertedResiduals:
    """`count` blocks of one width: the first has the stride; the inside is `expand` times as wide as the input."""

    expand: int
    width: int
    count: int
    stride: int


@dataclass(frozen=True)
class MobileFaceNetSettings:
    """Widths of the layers in order; `size`, in pixels, must be a multiple of 16."""

    stem: int = 64
    groups: tuple[InvertedResiduals, ...] = (
        InvertedResiduals(2, 64, 5, 2),
        InvertedResiduals(4, 128, 1, 2),
        InvertedResiduals(2, 128, 6, 1),
        InvertedResiduals(4, 128, 1, 2),
        InvertedResiduals(2, 128, 2, 1),
    )
    wide: int = 512
    identity: int = 128
    dropout: float = 0.0
    classes: int = 7
    size: int = 112


class MobileFaceNet(nn.Module):
    """Preprocessed faces float [n, 3, 112, 112] -> (embedding [n, 128], logits [n, classes]).

    The embedding is the one of the identity; compare it by cosine.
    """

    head: ClassVar[tuple[str, ...]] = ("classify.",)

    def __init__(self, settings: MobileFaceNetSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or MobileFaceNetSettings()
        stem, wide = settings.stem, settings.wide
        self.conv1 = _conv_norm_relu6(3, stem, 3, stride=2)
        self.dw_conv = _DepthwiseSeparable(stem)
        self.features = nn.Sequential(*_residuals(settings))
        self.conv2 = _conv_norm_relu6(settings.groups[-1].width, wide, 1)
        self.gdconv = _GlobalDepthwise(wide, settings.size // 16)
        self.conv3 = nn.Conv2d(wide, settings.identity, 1)
        self.bn = nn.BatchNorm2d(settings.identity)
        self.dropout = nn.Dropout(settings.dropout)
        self.classify = nn.Linear(settings.identity, settings.classes)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        return self.classified(self.map(faces))

    def map(self, faces: Tensor) -> Tensor:
        """The last map, float [n, wide, size / 16, size / 16]."""
        last: Tensor = self.conv2(self.features(self.dw_conv(self.conv1(faces))))
        return last

    def classified(self, last: Tensor) -> tuple[Tensor, Tensor]:
        """The embedding and the logits of the last map."""
        embedding = self.bn(self.conv3(self.gdconv(last))).flatten(1)
        return embedding, self.classify(self.dropout(embedding))


def build(classes: int = 7, *, tiny: bool = False) -> MobileFaceNet:
    """The published architecture, or one of a few thousand parameters for faces of 32 pixels."""
    if not tiny:
        return MobileFaceNet(MobileFaceNetSettings(classes=classes))
    groups = (InvertedResiduals(2, 16, 2, 2), InvertedResiduals(2, 16, 1, 2), InvertedResiduals(2, 16, 2, 2))
    return MobileFaceNet(MobileFaceNetSettings(16, groups, wide=24, identity=8, classes=classes, size=32))


def build_64(classes: int = 7, *, tiny: bool = False) -> MobileFaceNet:
    """The architecture for faces of 64 pixels, as in the default bundle, or the tiny one."""
    return build(tiny=True, classes=classes) if tiny else MobileFaceNet(MobileFaceNetSettings(classes=classes, size=64))


def at_size(net: MobileFaceNet, size: int) -> MobileFaceNet:
    """The same network for faces of another size, a multiple of 16, with copied weights.

    Only the kernel of the global depthwise convolution depends on the size: it is interpolated, and keeps its sum.
    """
    other = MobileFaceNet(replace(net.settings, size=size))
    kernel = "gdconv.depthwise.weight"
    tensors = dict(net.state_dict())
    tensors[kernel] = resized_kernel(tensors[kernel], size // 16)
    other.load_state_dict(tensors)
    return other


def resized_kernel(kernel: Tensor, side: int) -> Tensor:
    """A kernel [n, 1, any, any] interpolated to [n, 1, side, side], with the same sum."""
    scaled = functional.interpolate(kernel, (side, side), mode="bilinear", align_corners=False)
    return scaled * (kernel.shape[2] / side) ** 2


def load_torch(path: Path, settings: MobileFaceNetSettings | None = None) -> dict[str, Tensor]:
    """The 307 tensors below the classifier from `mobilefacenet.pt`, which has the same names.

    Raises:
        WeightsError: the file cannot be read, or belongs to another network.
    """
    with torch.device("meta"):
        net = MobileFaceNet(settings)
    own = {k: v for k, v in net.state_dict().items() if not k.startswith(net.head)}
    wanted = {k: TensorSource(k, tuple(v.shape)) for k, v in own.items()}
    return take(state_dict.read(path), wanted, path=path, what="MobileFaceNet")


def _residuals(settings: MobileFaceNetSettings) -> Iterator[nn.Module]:
    before = settings.stem
    for group in settings.groups:
        for n in range(group.count):
            yield _InvertedResidual(before, group, stride=group.stride if n == 0 else 1)
            before = group.width


def _conv_norm_relu6(before: int, width: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, width, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU6())


class _DepthwiseSeparable(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.pointwise = nn.Conv2d(width, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.depthwise(x)))
        return torch.relu(self.bn2(self.pointwise(x)))


class _GlobalDepthwise(nn.Module):
    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, size, groups=width, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        weighted: Tensor = self.bn(self.depthwise(x))
        return weighted


class _InvertedResidual(nn.Module):
    def __init__(self, before: int, group: InvertedResiduals, *, stride: int) -> None:
        super().__init__()
        inside = before * group.expand
        self.adds = stride == 1 and before == group.width
        self.conv = nn.Sequential(
            _conv_norm_relu6(before, inside, 1),
            _conv_norm_relu6(inside, inside, 3, stride=stride, groups=inside),
            nn.Conv2d(inside, group.width, 1, bias=False),
            nn.BatchNorm2d(group.width),
        )

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.conv(x)
        return x + inner if self.adds else inner
