"""Nets on colour faces that are given grey ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FromGrey(nn.Module):
    """Grey faces float [n, 1, height, width], pixels 0 to 255, on every channel of `net`.

    mean, scale: one for each channel, as the net was trained: it takes (pixel - mean) / scale.
    """

    def __init__(self, net: nn.Module, mean: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("scale", torch.tensor(scale).view(1, -1, 1, 1))
        self.mean: Tensor
        self.scale: Tensor

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding, logits = self.net((faces - self.mean) / self.scale)
        return embedding, logits


class StandardisedGrey(nn.Module):
    """Grey faces float [n, 1, height, width] of any scale, each brought to mean 0 and deviation 1, on every channel of
    `net`: light and contrast of the recording say nothing about the emotion.

    For nets that were trained on about such values, as after ImageNet's mean and deviation.
    """

    def __init__(self, net: nn.Module, *, channels: int = 3) -> None:
        super().__init__()
        self.net, self.channels = net, channels

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding, logits = self.net(standardised(faces).expand(-1, self.channels, -1, -1))
        return embedding, logits


class Evened(nn.Module):
    """Grey faces float [n, 1, height, width] of any scale, each brought to mean 128 and deviation 64, to a `net` that
    takes pixels from 0 to 255.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding, logits = self.net(128 + 64 * standardised(faces))
        return embedding, logits


def standardised(faces: Tensor) -> Tensor:
    """Each face with mean 0 and deviation 1; a face of one grey is 0 all over."""
    centred = faces - faces.mean(dim=(1, 2, 3), keepdim=True)
    deviation = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    # A uniform image has no deviation; the floor keeps it at zero rather than at infinity.
    return centred / (deviation + 1e-3)
