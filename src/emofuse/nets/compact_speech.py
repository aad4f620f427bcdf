"""The compact speech network of the default bundle: a small residual net on log-mel spectra of a few seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.nets.logmel import FLOOR, LogMel, LogMelSettings, at_least

_SCALE_DB = 15.0


@dataclass(frozen=True)
class CompactSpeechSettings:
    """Widths of the residual stages, the spectrum, and what makes training harder.

    floor_db: how far below the mean of its band over the voice a sound drowns. Deeper floors let in what differs
        between recordings and not between emotions: noise, rooms, and how a codec treats pauses.
    warp, stretch: in training, bands are moved up or down, and time is made longer or shorter, by up to these shares.
    masks: of bands and of steps each, how many are hidden in training.
    mask_share: how much of the bands or steps each hides at most.
    dropout: before the last layer.
    """

    widths: tuple[int, ...] = (24, 48, 96, 160)
    spectrum: LogMelSettings = LogMelSettings(hop=256, fmax=7_600.0)  # noqa: RUF009 (frozen)
    floor_db: float = 25.0
    warp: float = 0.15
    stretch: float = 0.2
    masks: int = 1
    mask_share: float = 0.15
    dropout: float = 0.3
    classes: int = 7


class CompactSpeech(nn.Module):
    """Waveforms float [n, samples] at 16 kHz, any level -> (embedding [n, 320], logits [n, classes]).

    Each band is counted from its own mean over the voice, so neither the level of a recording, nor the colour of its
    microphone, nor silence around the voice matters. The embedding is mean and deviation over time, weighted by what
    the net attends to.
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

    @classmethod
    def tiny(cls, classes: int = 7) -> CompactSpeech:
        """A net of some ten thousand parameters with the same interface, for tests."""
        spectrum = LogMelSettings(window=256, hop=256, mels=16, fmax=7_600.0)
        return cls(CompactSpeechSettings(widths=(16, 16), spectrum=spectrum, classes=classes))

    def extra_repr(self) -> str:
        # A checkpoint belongs to a net by what it prints as; some settings are in no layer.
        return str(self.settings)

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        spectra = heard(self.spectrum, waves, self.settings, changed=self.training)
        found = self.stages(self.stem(spectra)).mean(dim=3)
        attention = self.attend(found).softmax(dim=2)
        mean = (attention * found).sum(dim=2)
        deviation = ((attention * found.square()).sum(dim=2) - mean.square()).clamp(min=1e-4).sqrt()
        embedding = torch.cat((mean, deviation), dim=1)
        return embedding, self.classify(self.dropout(embedding))


def build(classes: int = 7, *, tiny: bool = False) -> CompactSpeech:
    """The network, or a smaller one; see `emofuse.nets.catalogue.Network`."""
    return CompactSpeech.tiny(classes) if tiny else CompactSpeech(CompactSpeechSettings(classes=classes))


def stem(width: int) -> nn.Sequential:
    """Spectra [n, 1, steps, bands] -> [n, width, steps / 4, bands / 4]."""
    convolution = nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2))


def stages(widths: tuple[int, ...]) -> nn.Sequential:
    """Residual stages after a stem of the first width; the last one keeps its steps of time, 256 ms each."""
    strides = [(1, 1), *[(2, 2)] * (len(widths) - 2), (1, 2)][: len(widths)]
    shapes = zip((widths[0], *widths), widths, strides, strict=False)
    return nn.Sequential(*(_Residual(before, width, stride) for before, width, stride in shapes))


def heard(spectrum: LogMel, waves: Tensor, settings: CompactSpeechSettings, *, changed: bool) -> Tensor:
    """What a stem takes of waveforms [n, samples]: levelled spectra, changed at random as they are in training."""
    spectra = levelled(decibels(spectrum, waves), floor_db=settings.floor_db).unsqueeze(1) / _SCALE_DB
    if changed:
        spectra = warped(spectra, bands=settings.warp, steps=settings.stretch)
        spectra = masked(spectra, count=settings.masks, share=settings.mask_share)
    return spectra.contiguous(memory_format=torch.channels_last)


def decibels(spectrum: LogMel, waves: Tensor) -> Tensor:
    """What `spectrum` gives; outside of an export by fast Fourier transform, many times faster, which ONNX lacks."""
    if torch.onnx.is_in_onnx_export():
        exported: Tensor = spectrum(waves)
        return exported
    settings = spectrum.settings
    half = settings.window // 2
    with torch.autocast(waves.device.type, enabled=False):
        mirrored = functional.pad(
            at_least(waves.float(), settings.least_samples)[:, None], (half, half), mode="reflect"
        )
        hann = torch.hann_window(settings.window, device=waves.device)
        frames = torch.fft.rfft(mirrored[:, 0].unfold(1, settings.window, settings.hop) * hann)
        power = frames.real.square() + frames.imag.square()
        spectra: Tensor = 10 * torch.log10((power @ spectrum.mel).clamp(min=FLOOR))
        return spectra


def levelled(spectra: Tensor, *, floor_db: float) -> Tensor:
    """Decibels [n, steps, mels], each band counted from its mean power over the voice, above a soft floor so far below.

    The voice is where the power of all bands, weighted by itself over time, says that it is: silence before and after
    changes nothing.
    """
    power = torch.exp(spectra * (math.log(10) / 10))
    loud = power.sum(dim=2, keepdim=True)
    voice = loud.square().sum(dim=1, keepdim=True) / loud.sum(dim=1, keepdim=True)
    weight = loud / (loud + 0.003 * voice)
    mean = (power * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)
    return 10 * torch.log10(power / mean + 10 ** (-floor_db / 10))


def warped(spectra: Tensor, *, bands: float, steps: float) -> Tensor:
    """Spectra [n, 1, steps, mels] whose bands are moved up or down, the lowest one staying, and whose time runs slower
    or faster about the middle, each by up to the share given; the ends are repeated outwards.

    Drawn from torch's global generator, as dropout is.
    Source: Jaitly and Hinton 2013, vocal tract length perturbation.
    """
    if not (bands or steps):
        return spectra
    n, _, height, width = spectra.shape
    across, down = (
        torch.exp(math.log1p(share) * (2 * torch.rand(n, device=spectra.device) - 1)) for share in (bands, steps)
    )
    zero = torch.zeros_like(across)
    rows = torch.stack([across, zero, across - 1, zero, down, zero], dim=1).view(n, 2, 3)
    grid = functional.affine_grid(rows, [n, 1, height, width], align_corners=True)
    return functional.grid_sample(spectra, grid, padding_mode="border", align_corners=True)


def masked(spectra: Tensor, *, count: int, share: float) -> Tensor:
    """Spectra [n, 1, steps, mels] with `count` stretches of bands and of time at their mean.

    Drawn from torch's global generator, as dropout is.
    Source: Park et al. 2019, SpecAugment.
    """
    n, _, steps, mels = spectra.shape
    hidden = torch.zeros(n, steps, mels, dtype=torch.bool, device=spectra.device)
    for _ in range(count):
        hidden |= (
            _stretch(n, steps, share, spectra.device)[:, :, None] | _stretch(n, mels, share, spectra.device)[:, None]
        )
    return torch.where(hidden[:, None], spectra.mean(dim=(2, 3), keepdim=True), spectra)


def _stretch(n: int, size: int, share: float, device: torch.device) -> Tensor:
    width = size * share * torch.rand(n, 1, device=device)
    start = (size - width) * torch.rand(n, 1, device=device)
    place = torch.arange(size, device=device)
    return (place >= start) & (place < start + width)


class _Residual(nn.Module):
    def __init__(self, before: int, width: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        same = before == width and stride == (1, 1)
        self.skip: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))
