"""A net with its own resizing in front, so that faces of another size can be put in."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Resized(nn.Module):
    """Faces float [n, channels, any, any] brought to `size` pixels bilinearly, then `net`.

    Mean and scale may be taken off before: resizing keeps what is linear.
    """

    def __init__(self, net: nn.Module, size: int) -> None:
        super().__init__()
        self.net, self.size = net, size

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        sized = functional.interpolate(faces, (self.size, self.size), mode="bilinear", align_corners=False)
        embedding, logits = self.net(sized)
        return embedding, logits
