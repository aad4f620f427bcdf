"""The network of the bundled face detector: luma in; scores, boxes and landmarks at three strides out.

Convolutions with few channels while the maps are large, then depthwise separable ones; features of coarse strides are
added to those of finer ones, and each stride has a head of its own. Anchor-free: each cell predicts one face.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
CHANNELS = (16, 24, 48, 64, 64)  # at strides 2, 4, 8, 16 and 32
BLOCKS = (1, 3, 4, 2)  # residual blocks at strides 4, 8, 16 and 32
FEATURES = 48  # of each head
VALUES = 15  # of a cell: logit of the score, 4 of the box, 10 of the landmarks
_RARE = -4.6  # logit of 0.01: at first, hardly any cell holds a face


class FaceDetectorNet(nn.Module):
    """Luma uint8 or float [n, 1, height, width], 0 to 255, sides divisible by 32, to one map per stride.

    A map is float [n, 15, height / stride, width / stride]: the logit of the score; logarithms of the distances from
    the centre of the cell to the left, upper, right and lower side of the box; x and y of five landmarks relative to
    that centre. Distances are in strides.
    """

    def __init__(self) -> None:
        super().__init__()
        stem, quarter, fine, middle, coarse = CHANNELS
        self.stem = _dense(1, stem, stride=2)
        self.quarter = _stage(_dense(stem, quarter, stride=2), quarter, BLOCKS[0], kernel=3)
        self.fine = _stage(_dense(quarter, fine, stride=2), fine, BLOCKS[1], kernel=3)
        self.middle = _stage(_separable(fine, middle, stride=2), middle, BLOCKS[2], kernel=5)
        self.coarse = _stage(_separable(middle, coarse, stride=2), coarse, BLOCKS[3], kernel=5)
        self.lateral = nn.ModuleList(_dense(n, FEATURES, kernel=1) for n in (fine, middle, coarse))
        self.merge = nn.ModuleList(_separable(FEATURES, FEATURES) for _ in range(2))
        self.heads = nn.ModuleList(
            nn.Sequential(_separable(FEATURES, FEATURES), nn.Conv2d(FEATURES, VALUES, 1)) for _ in STRIDES
        )
        for head in self.heads:
            bias = head[-1].bias  # type: ignore[index]
            assert isinstance(bias, nn.Parameter)
            nn.init.zeros_(bias)
            with torch.no_grad():
                bias[0] = _RARE

    def forward(self, luma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One map for each of `STRIDES`."""
        fine = self.fine(self.quarter(self.stem(luma.float() / 128 - 1)))
        middle = self.middle(fine)
        coarse = self.lateral[2](self.coarse(middle))
        middle = self.merge[1](self.lateral[1](middle) + _doubled(coarse))
        fine = self.merge[0](self.lateral[0](fine) + _doubled(middle))
        return self.heads[0](fine), self.heads[1](middle), self.heads[2](coarse)


class _Residual(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.block = _separable(channels, channels, kernel=kernel)

    def forward(self, features: Tensor) -> Tensor:
        added: Tensor = features + self.block(features)
        return added


def _stage(first: nn.Module, channels: int, blocks: int, *, kernel: int) -> nn.Sequential:
    return nn.Sequential(first, *(_Residual(channels, kernel) for _ in range(blocks)))


def _dense(channels: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _separable(channels: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.Conv2d(channels, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _doubled(features: Tensor) -> Tensor:
    return nn.functional.interpolate(features, scale_factor=2.0, mode="nearest")
