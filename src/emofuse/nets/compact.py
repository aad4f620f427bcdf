"""The compact face network of the default bundle: a small residual net on grey 48x48 faces."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
