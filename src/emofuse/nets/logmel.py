"""Log-mel spectra of waveforms as layers, so that they are exported with the network.

The convention is that of librosa and of torchlibrosa, which PANN was trained with: periodic Hann windows centred on
every `hop`-th sample, ends mirrored (without repeating the last sample), power spectra, triangular bands of equal area
on Slaney's mel scale, in decibels with a floor of -100.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.errors import SettingsError

FLOOR = 1e-10

# Slaney's scale: linear up to 1000 Hz, which is 15 mel; above, 27 mel are a factor of 6.4.
_BREAK_HZ, _BREAK_MEL = 1000.0, 15.0
_STEP = math.log(6.4) / 27


@dataclass(frozen=True)
class LogMelSettings:
    """Windows of `window` samples every `hop` samples, in `mels` bands between `fmin` and `fmax` hertz.

    The defaults are those of PANN at 16 kHz.

    Raises:
        SettingsError: a value is out of its range.
    """

    rate_hz: int = 16_000
    window: int = 512
    hop: int = 160
    mels: int = 64
    fmin: float = 50.0
    fmax: float = 8_000.0

    def __post_init__(self) -> None:
        if min(self.rate_hz, self.hop, self.mels) < 1 or self.window < 2 or self.window % 2:
            raise SettingsError(
                f"log-mel: a rate of {self.rate_hz} Hz, a window of {self.window} and a hop of {self.hop} samples and "
                f"{self.mels} bands are not possible; give whole numbers above 0, and an even window."
            )
        if not 0 <= self.fmin < self.fmax <= self.rate_hz / 2:
            raise SettingsError(
                f"log-mel: bands from {self.fmin:g} to {self.fmax:g} Hz at {self.rate_hz} Hz; "
                f"give increasing frequencies, from 0 to at most {self.rate_hz / 2:g}."
            )

    @property
    def least_samples(self) -> int:
        """Length of the shortest waveform whose ends can be mirrored."""
        return self.window // 2 + 1


class LogMel(nn.Module):
    """Waveforms float [n, samples] -> decibels float32 [n, samples // hop + 1, mels], also under autocast.

    Waveforms shorter than `least_samples` are padded with zeros at the end.

    Source: librosa, `feature.melspectrogram` with `pad_mode="reflect"`, and `power_to_db` with `top_db=None`.

    >>> LogMel()(torch.zeros(2, 48_000)).shape
    torch.Size([2, 301, 64])
    """

    def __init__(self, settings: LogMelSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or LogMelSettings()
        real, imag = fourier(settings.window)
        for name, values in (("real", real), ("imag", imag), ("mel", mel_bands(settings))):
            self.register_buffer(name, values.float())
        self.real: Tensor
        self.imag: Tensor
        self.mel: Tensor

    def forward(self, waves: Tensor) -> Tensor:
        settings = self.settings
        # In bfloat16, the loudest bin would hide all bins 50 dB below it.
        with torch.autocast(waves.device.type, enabled=False):
            waves = at_least(waves.float(), settings.least_samples).unsqueeze(1)
            mirrored = functional.pad(waves, (settings.window // 2, settings.window // 2), mode="reflect")
            # One convolution is faster than two.
            spectrum = functional.conv1d(mirrored, torch.cat((self.real, self.imag)), stride=settings.hop)
            real, imag = spectrum.chunk(2, dim=1)
            power = (real.square() + imag.square()).transpose(1, 2)
            return 10 * torch.log10((power @ self.mel).clamp(min=FLOOR))


def decibels(spectrum: LogMel, waves: Tensor) -> Tensor:
    """The output of `spectrum`, computed by FFT, which is many times faster but not available in an ONNX export."""
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


def at_least(waves: Tensor, samples: int) -> Tensor:
    """Waveforms [n, any], padded with zeros at the end to at least `samples`.

    >>> at_least(torch.ones(1, 2), 3)
    tensor([[1., 1., 0.]])
    """
    missing = samples - waves.shape[1]
    return functional.pad(waves, (0, missing)) if missing > 0 else waves


def fourier(window: int) -> tuple[Tensor, Tensor]:
    """Filters float64 [window / 2 + 1, 1, window] of a Fourier transform with a periodic Hann window."""
    time = torch.arange(window)
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi * time.double() / window)
    # Whole turns are removed in integers, before any rounding.
    turns = (torch.arange(window // 2 + 1)[:, None] * time) % window
    angle = -2 * math.pi * turns.double() / window
    return (hann * torch.cos(angle)).unsqueeze(1), (hann * torch.sin(angle)).unsqueeze(1)


def mel_bands(settings: LogMelSettings) -> Tensor:
    """Weights float64 [window / 2 + 1, mels] of frequencies in bands, each a triangle of area 1 over hertz.

    Source: Slaney, Auditory Toolbox, 1998; `librosa.filters.mel` with its defaults.
    """
    low, high = _mel(settings.fmin), _mel(settings.fmax)
    edges = _hertz(torch.linspace(low, high, settings.mels + 2, dtype=torch.float64))
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    hertz = torch.arange(settings.window // 2 + 1, dtype=torch.float64)[:, None] * settings.rate_hz / settings.window
    triangles = torch.minimum((hertz - left) / (centre - left), (right - hertz) / (right - centre)).clamp(min=0)
    return triangles * 2 / (right - left)


def _mel(hertz: float) -> float:
    if hertz < _BREAK_HZ:
        return hertz * _BREAK_MEL / _BREAK_HZ
    return _BREAK_MEL + math.log(hertz / _BREAK_HZ) / _STEP


def _hertz(mel: Tensor) -> Tensor:
    above = _BREAK_HZ * torch.exp(_STEP * (mel - _BREAK_MEL))
    return torch.where(mel < _BREAK_MEL, mel * _BREAK_HZ / _BREAK_MEL, above)
