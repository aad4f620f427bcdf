"""The compact speech network: a small residual network on log-mel spectra of a few seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.nets.logmel import LogMel, LogMelSettings, decibels
from emofuse.nets.masking import masked
from emofuse.nets.residual import Residual

_SCALE_DB = 15.0
TINY_SPECTRUM = LogMelSettings(window=256, hop=256, mels=16, fmax=7_600.0)


@dataclass(frozen=True)
class CompactSpeechSettings:
    """Widths of the residual stages, the spectrum, and the random changes in training.

    floor_db: floor of the levels, below the mean of each band over the voice. Deeper floors let in differences between
        recordings that are not emotion: noise, rooms, and how a codec treats pauses.
    warp, stretch: in training, bands are moved up or down, and time is stretched, by up to these fractions.
    masks: number of masks over bands, and over time steps, in training; each hides at most `mask_fraction` of them.
    dropout: before the last layer.
    """

    widths: tuple[int, ...] = (24, 48, 96, 160)
    spectrum: LogMelSettings = LogMelSettings(hop=256, fmax=7_600.0)  # noqa: RUF009 (frozen)
    floor_db: float = 25.0
    warp: float = 0.15
    stretch: float = 0.2
    masks: int = 1
    mask_fraction: float = 0.15
    dropout: float = 0.3
    classes: int = 7


class CompactSpeech(nn.Module):
    """Waveforms float [n, samples] at 16 kHz, any level -> (embedding [n, 320], logits [n, classes]).

    Levels of each band are relative to its own mean over the voice, so the level of a recording, the frequency response
    of its microphone, and silence around the voice have no effect. The embedding is mean and deviation over time,
    weighted by attention.
    """

    def __init__(self, settings: CompactSpeechSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or CompactSpeechSettings()
        widths = settings.widths
        self.spectrum = LogMel(settings.spectrum)
        self.stem, self.stages = stem(widths[0]), stages(widths)
        self.attend = nn.Sequential(nn.Conv1d(widths[-1], 64, 1), nn.Tanh(), nn.Conv1d(64, widths[-1], 1))
        self.dropout = nn.Dropout(settings.dropout)
        self.classify = nn.Linear(2 * widths[-1], settings.classes)

    def extra_repr(self) -> str:
        # A checkpoint is bound to the printed form of its network, and some settings appear in no layer.
        return str(self.settings)

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        spectra = levels(self.spectrum, waves, self.settings, augmented=self.training)
        x = self.stages(self.stem(spectra)).mean(dim=3)
        attention = self.attend(x).softmax(dim=2)
        mean = (attention * x).sum(dim=2)
        deviation = ((attention * x.square()).sum(dim=2) - mean.square()).clamp(min=1e-4).sqrt()
        embedding = torch.cat((mean, deviation), dim=1)
        return embedding, self.classify(self.dropout(embedding))


def build(classes: int = 7, *, tiny: bool = False) -> CompactSpeech:
    """The network, or one of some ten thousand parameters."""
    settings = CompactSpeechSettings((16, 16), TINY_SPECTRUM) if tiny else CompactSpeechSettings()
    return CompactSpeech(replace(settings, classes=classes))


def stem(width: int) -> nn.Sequential:
    """Spectra [n, 1, steps, bands] -> [n, width, steps / 4, bands / 4]."""
    convolution = nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2))


def stages(widths: tuple[int, ...]) -> nn.Sequential:
    """Residual stages after a stem of the first width; the last one keeps its time steps, of 256 ms each."""
    strides = [(1, 1), *[(2, 2)] * (len(widths) - 2), (1, 2)][: len(widths)]
    shapes = zip((widths[0], *widths), widths, strides, strict=False)
    return nn.Sequential(*(Residual(before, width, stride) for before, width, stride in shapes))


def levels(spectrum: LogMel, waves: Tensor, settings: CompactSpeechSettings, *, augmented: bool) -> Tensor:
    """Input [n, 1, steps, mels] of a stem for waveforms [n, samples], warped and masked if `augmented`."""
    spectra = relative_levels(decibels(spectrum, waves), floor_db=settings.floor_db).unsqueeze(1) / _SCALE_DB
    if augmented:
        spectra = warped(spectra, bands=settings.warp, steps=settings.stretch)
        spectra = masked(spectra, count=settings.masks, fraction=settings.mask_fraction)
    return spectra.contiguous(memory_format=torch.channels_last)


def relative_levels(spectra: Tensor, *, floor_db: float) -> Tensor:
    """Decibels [n, steps, mels] of each band relative to its mean power over the voice, with a soft floor below it.

    Steps count as voice by the power of all bands, weighted by itself over time, so silence around the voice has no
    effect.
    """
    power = torch.exp(spectra * (math.log(10) / 10))
    loud = power.sum(dim=2, keepdim=True)
    voice = loud.square().sum(dim=1, keepdim=True) / loud.sum(dim=1, keepdim=True)
    weight = loud / (loud + 0.003 * voice)
    mean = (power * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)
    return 10 * torch.log10(power / mean + 10 ** (-floor_db / 10))


def warped(spectra: Tensor, *, bands: float, steps: float) -> Tensor:
    """Spectra [n, 1, steps, mels] with bands moved up or down from the lowest, and time stretched about its middle.

    Each factor deviates from 1 by up to the given fraction; values at the ends are repeated outwards. Uses torch's
    global random generator, like dropout.
    Source: Jaitly and Hinton 2013, vocal tract length perturbation.
    """
    if not (bands or steps):
        return spectra
    n, _, height, width = spectra.shape
    across, down = (
        torch.exp(math.log1p(fraction) * (2 * torch.rand(n, device=spectra.device) - 1)) for fraction in (bands, steps)
    )
    zero = torch.zeros_like(across)
    rows = torch.stack([across, zero, across - 1, zero, down, zero], dim=1).view(n, 2, 3)
    grid = functional.affine_grid(rows, [n, 1, height, width], align_corners=True)
    return functional.grid_sample(spectra, grid, padding_mode="border", align_corners=True)
