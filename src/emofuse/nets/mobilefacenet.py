"""MobileFaceNet as published by foamliu/MobileFaceNet, with its state dict name for name, and a classifier on it.

Depthwise and inverted residual blocks with ReLU6, but ReLU in the first depthwise block (`dw_conv`); batch norm
with torch's eps of 1e-5; no activation after the global depthwise convolution. Checked against the published ONNX file,
which says all this. Source: Chen et al., MobileFaceNets, 2018.
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
from emofuse.nets.formats.matching import Source, take
from emofuse.nets.layers import check_layer, collect


@dataclass(frozen=True)
class InvertedResiduals:
    """`count` blocks of one width: the first has the stride; the inside is `expand` times as wide as what comes in."""

    expand: int
    width: int
    count: int
    stride: int


@dataclass(frozen=True)
class MobileFaceNetSettings:
    """Widths of the parts in order; size must be 16 times a whole number; embedding: a layer of `layer_names`."""

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
    embedding: str = "identity"


class MobileFaceNet(nn.Module):
    """Faces float [n, 3, 112, 112], preprocessed -> (embedding [n, 128], logits [n, classes]).

    The embedding is that of the identity; compare it by the cosine.

    Raises:
        SettingsError: there is no such embedding layer.
    """

    head: ClassVar[tuple[str, ...]] = ("classify.",)
    layer_names: ClassVar[tuple[str, ...]] = ("stem", "blocks", "wide", "pool", "identity", "logits")

    def __init__(self, settings: MobileFaceNetSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or MobileFaceNetSettings()
        check_layer(settings.embedding, self.layer_names, net="mobilefacenet")
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

    @classmethod
    def tiny(cls, classes: int = 7) -> MobileFaceNet:
        """A net of a few thousand parameters on faces of 32 pixels with the same interface, for tests."""
        groups = (InvertedResiduals(2, 16, 2, 2), InvertedResiduals(2, 16, 1, 2), InvertedResiduals(2, 16, 2, 2))
        return cls(MobileFaceNetSettings(stem=16, groups=groups, wide=24, identity=8, classes=classes, size=32))

    def steps(self, faces: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Name and output of each layer of `layer_names`, one by one."""
        x = self.dw_conv(self.conv1(faces))
        yield "stem", x
        x = self.features(x)
        yield "blocks", x
        x = self.conv2(x)
        yield "wide", x
        x = self.gdconv(x)
        yield "pool", x.flatten(1)
        x = self.bn(self.conv3(x)).flatten(1)
        yield "identity", x
        yield "logits", self.classify(self.dropout(x))

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding, logits = collect(self.steps(faces), (self.settings.embedding, "logits"))
        return embedding, logits

    def embed(self, faces: Tensor, *, layer: str | None = None) -> Tensor:
        """One layer by its name, the settings' embedding unless said.

        "identity" [n, 128], "pool" [n, 512], "wide" [n, 512, 7, 7], "blocks" [n, 128, 7, 7], "stem" [n, 64, 56, 56].

        Raises:
            SettingsError: there is no such layer.
        """
        layer = layer or self.settings.embedding
        check_layer(layer, self.layer_names, net="mobilefacenet")
        return collect(self.steps(faces), (layer,))[0]


def at_size(net: MobileFaceNet, size: int) -> MobileFaceNet:
    """The same net for faces of another size, its weights copied; a multiple of 16.

    Only the kernel of the global depthwise convolution depends on the size: it is interpolated, and keeps its sum.
    """
    other = MobileFaceNet(replace(net.settings, size=size))
    kernel = "gdconv.depthwise.weight"
    tensors = dict(net.state_dict())
    width, sides = tensors[kernel].shape[2], (size // 16, size // 16)
    scaled = functional.interpolate(tensors[kernel], sides, mode="bilinear", align_corners=False)
    tensors[kernel] = scaled * (width / sides[0]) ** 2
    other.load_state_dict(tensors)
    return other


def build(classes: int = 7, *, tiny: bool = False) -> MobileFaceNet:
    """The published architecture, or a small one; see `emofuse.nets.catalogue.Network`."""
    return MobileFaceNet.tiny(classes) if tiny else MobileFaceNet(MobileFaceNetSettings(classes=classes))


def load_torch(path: Path, settings: MobileFaceNetSettings | None = None) -> dict[str, Tensor]:
    """The 307 tensors of the net below its classifier from `mobilefacenet.pt`, whose names are those of the net.

    Raises:
        WeightsError: the file cannot be read, or is not of this net.
    """
    with torch.device("meta"):
        net = MobileFaceNet(settings)
    own = {k: v for k, v in net.state_dict().items() if not k.startswith(net.head)}
    wanted = {k: Source(k, tuple(v.shape)) for k, v in own.items()}
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
