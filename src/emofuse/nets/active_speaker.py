"""Two small networks whose outputs agree where a mouth moves as the voice sounds: one for mouths, one for the voice.

The evidence that a face speaks in a frame of 40 ms is the dot product of both outputs. Inputs are chunks with context
on both sides, which is cut off again, so that chunks of a long recording join without seams.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 32  # of the outputs
MEL_FRAMES = 4  # of the spectrum per frame of video


class MouthNet(nn.Module):
    """Normalised mouths float [n, frames, size, size] -> float [n, frames - 2 * margin, WIDTH]."""

    def __init__(self, *, margin: int, channels: tuple[int, int, int] = (12, 24, 32), width: int = 48) -> None:
        super().__init__()
        one, two, three = channels
        self.margin = margin
        # Each frame is accompanied by its change from the frame before, in which the motion of lips is plain.
        self.image = nn.Sequential(
            _conv2d(2, one, 5, 2), _conv2d(one, two, 3, 2), _conv2d(two, three, 3, 2), nn.Dropout2d(0.1)
        )
        self.reduce = nn.Sequential(nn.Conv2d(three, 16, 1), nn.Flatten(), nn.Linear(16 * 9, width), nn.ReLU())
        self.time = nn.Sequential(_conv1d(width, width, 5), _conv1d(width, width, 5), nn.Dropout(0.2))
        self.out = nn.Conv1d(width, WIDTH, 3, padding=1)

    def forward(self, mouths: Tensor) -> Tensor:
        n, frames, size, _ = mouths.shape
        before = torch.cat([mouths[:, :1], mouths[:, :-1]], dim=1)
        pair = torch.stack([mouths, mouths - before], dim=2).reshape(n * frames, 2, size, size)
        features = self.reduce(self.image(pair)).reshape(n, frames, -1).transpose(1, 2)
        out: Tensor = self.out(self.time(features)).transpose(1, 2)
        return out[:, self.margin : frames - self.margin]


class VoiceNet(nn.Module):
    """Log-mel spectra float [n, frames * MEL_FRAMES, bands] -> float [n, frames - 2 * margin, WIDTH]."""

    def __init__(self, *, margin: int, bands: int = 40, width: int = 48) -> None:
        super().__init__()
        self.margin = margin
        self.spectrum = nn.Sequential(
            _conv1d(bands, width, 5, stride=2), _conv1d(width, width, 5, stride=2), nn.Dropout(0.2)
        )
        self.time = nn.Sequential(_conv1d(width, width, 5), nn.Dropout(0.2))
        self.out = nn.Conv1d(width, WIDTH, 3, padding=1)

    def forward(self, spectra: Tensor) -> Tensor:
        frames = spectra.shape[1] // MEL_FRAMES
        out: Tensor = self.out(self.time(self.spectrum(spectra.transpose(1, 2)))).transpose(1, 2)
        return out[:, self.margin : frames - self.margin]


def _conv2d(inputs: int, outputs: int, size: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def _conv1d(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv1d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm1d(outputs), nn.ReLU())
