"""Layers in front of networks on faces."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Resize(nn.Module):
    """Faces float [n, channels, any, any] -> [n, channels, size, size], bilinearly.

    A network on resized faces is `nn.Sequential(Resize(size), net)`. Mean and scale may be applied before: resizing is
    linear.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, faces: Tensor) -> Tensor:
        return functional.interpolate(faces, (self.size, self.size), mode="bilinear", align_corners=False)


class Normalise(nn.Module):
    """Faces float [n, channels, height, width] -> (faces - mean) / scale, with one mean and scale per channel.

    Grey faces [n, 1, height, width] are repeated for every channel.
    """

    def __init__(self, mean: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("scale", torch.tensor(scale).view(1, -1, 1, 1))
        self.mean: Tensor
        self.scale: Tensor

    def forward(self, faces: Tensor) -> Tensor:
        return (faces - self.mean) / self.scale


class Standardise(nn.Module):
    """Grey faces float [n, 1, height, width] of any scale, each with mean 128 and deviation 64."""

    def forward(self, faces: Tensor) -> Tensor:
        return 128 + 64 * standardised(faces)


def standardised(faces: Tensor) -> Tensor:
    """Each face with mean 0 and deviation 1: brightness and contrast of a recording carry no emotion.

    A uniform face becomes 0 everywhere.
    """
    centred = faces - faces.mean(dim=(1, 2, 3), keepdim=True)
    deviation = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    # A uniform image has deviation 0; the floor keeps the result at zero instead of infinity.
    return centred / (deviation + 1e-3)
