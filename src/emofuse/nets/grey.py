"""A net on colour faces that is given grey ones."""

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
