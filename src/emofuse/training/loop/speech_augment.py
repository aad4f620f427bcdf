"""Augmentation of speech: another voice, microphone, room and background, which do not change the emotion."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from emofuse.systems.training_settings import SpeechAugment
from emofuse.training.loop.face_augment import Draws, uniform

_COSINES = 6  # in a random frequency response
_POINTS = 1025  # frequencies at which gains are computed; linear in between
_ROOM_SECONDS = 0.5
_SILENCE = 0.02  # of the loudest sample; quieter samples are silence
_VOICES = 6  # in babble noise
_LEAST_SECONDS = 0.1  # of speech; shorter speech is not repeated


@dataclass(frozen=True)
class SpeechChanges:
    """Changes waveforms float32 [n, samples] according to its settings."""

    settings: SpeechAugment

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        # The order of these draws determines the weights of every network that is trained with them.
        return {
            "speed": uniform(n, -math.log1p(self.settings.speed), math.log1p(self.settings.speed), generator),
            "colour_db": self.settings.colour_db * torch.randn(n, _COSINES, generator=generator),
            "narrow": uniform(n, 0, 1, generator),
            "low_hz": uniform(n, 20, 300, generator),
            "high_hz": torch.exp(uniform(n, math.log(3400), math.log(8000), generator)),
            "echo": uniform(n, 0, 1, generator),
            "decay_seconds": torch.exp(uniform(n, math.log(0.1), math.log(0.8), generator)),
            "echo_db": uniform(n, -20, 0, generator),
            "noise": uniform(n, 0, 1, generator),
            "noise_slope": uniform(n, 0, 2, generator),
            "noise_db": uniform(n, -35, -5, generator),
            # Rooms and noise have a seed per example, so that a process generates only those of its own examples.
            "speech_seed": torch.randint(2**62, (n,), generator=generator),
            "fill": uniform(n, 0, 1, generator),
            "begin": uniform(n, 0, 1, generator),
            "pause_seconds": uniform(n, 0, 0.25, generator),
            "babble": uniform(n, 0, 1, generator),
            "babble_db": uniform(n, -25, 0, generator),
            "voices": uniform(n * _VOICES, 0, 1, generator).view(n, _VOICES),
        }

    def __call__(self, waves: Tensor, draws: Draws, strength: float) -> Tensor:
        applies = {
            name: draws[name] < strength * getattr(self.settings, name)
            for name in ("narrow", "echo", "noise", "babble", "fill")
        }
        waves = _changed(waves, draws, applies["fill"], self._repeated)
        waves = _changed(waves, draws, applies["babble"], _babbled)
        if self.settings.speed:
            waves = _resampled(waves, torch.exp(strength * draws["speed"]))
        filtered = applies["narrow"] | applies["echo"] | (strength * self.settings.colour_db > 0)
        waves = _changed(waves, draws, filtered, partial(self._filtered, strength=strength))
        return _changed(waves, draws, applies["noise"], self._noisy)

    def _repeated(self, waves: Tensor, draws: Draws) -> Tensor:
        """The speech of each wave repeated from a random position; a wave with almost no speech is unchanged."""
        repeated = waves.clone()
        for row, wave in enumerate(waves):
            loud = (wave.abs() > _SILENCE * wave.abs().max()).nonzero().flatten()
            if len(loud) < 2 or int(loud[-1] - loud[0]) < _LEAST_SECONDS * self.settings.rate_hz:
                continue
            pause = wave.new_zeros(round(float(draws["pause_seconds"][row]) * self.settings.rate_hz))
            speech = torch.cat([wave[int(loud[0]) : int(loud[-1]) + 1], pause])
            begin = int(float(draws["begin"][row]) * len(speech))
            repeated[row] = speech.repeat(2 + len(wave) // len(speech))[begin : begin + len(wave)]
        return repeated

    def _noisy(self, waves: Tensor, draws: Draws) -> Tensor:
        noisy = waves.clone()
        for row, wave in enumerate(waves):
            noise = self._background(len(wave), draws, row).to(waves.device)
            noisy[row] += noise * wave.square().mean().sqrt()
        return noisy

    def _filtered(self, waves: Tensor, draws: Draws, strength: float) -> Tensor:
        narrow, echo = (draws[name] < strength * getattr(self.settings, name) for name in ("narrow", "echo"))
        size = _fast_size(waves.shape[1] + round(_ROOM_SECONDS * self.settings.rate_hz))
        spectrum = torch.fft.rfft(waves, size)
        gains = self._gains(strength * draws["colour_db"], narrow, draws)
        spectrum *= functional.interpolate(gains[:, None], spectrum.shape[1], mode="linear", align_corners=True)[:, 0]
        for row in echo.nonzero().flatten().tolist():
            spectrum[row] *= torch.fft.rfft(self._room(draws, row), size).to(waves.device)
        filtered: Tensor = torch.fft.irfft(spectrum, size)[:, : waves.shape[1]]
        return filtered

    def _gains(self, colour_db: Tensor, narrow: Tensor, draws: Draws) -> Tensor:
        """Factors [n, points] at frequencies from 0 to half the rate."""
        hz = torch.linspace(0, self.settings.rate_hz / 2, _POINTS, device=narrow.device)
        mel = torch.log1p(hz / 700) / math.log1p(self.settings.rate_hz / 1400)  # from 0 to 1
        cosines = torch.cos(math.pi * mel * torch.arange(1, _COSINES + 1, device=narrow.device)[:, None])
        low, high = draws["low_hz"][:, None], draws["high_hz"][:, None]
        inside = ((1 + (low / hz.clamp(min=1)) ** 8) * (1 + (hz / high) ** 16)).rsqrt()  # Butterworth
        return torch.exp(colour_db @ cosines * (math.log(10) / 20)) * torch.where(narrow[:, None], inside, 1.0)

    def _room(self, draws: Draws, row: int) -> Tensor:
        """The impulse response of a room: an impulse, then decaying noise."""
        seconds = torch.arange(round(_ROOM_SECONDS * self.settings.rate_hz)) / self.settings.rate_hz
        tail = _normal(len(seconds), draws, row) * torch.exp(
            -math.log(1000) * seconds / float(draws["decay_seconds"][row])
        )
        response: Tensor = tail * (_ratio(draws["echo_db"][row]) / tail.norm())
        response[0] = 1
        return response

    def _background(self, samples: int, draws: Draws, row: int) -> Tensor:
        """Noise [samples] of RMS `noise_db`, whose power falls with the frequency to the power of `noise_slope`."""
        spectrum = torch.fft.rfft(_normal(_fast_size(samples), draws, row))
        hz = torch.linspace(0, self.settings.rate_hz / 2, len(spectrum)).clamp(min=50)
        noise: Tensor = torch.fft.irfft(spectrum * hz.pow(-float(draws["noise_slope"][row]) / 2))[:samples]
        return noise * (_ratio(draws["noise_db"][row]) / noise.square().mean().sqrt())


def _changed(waves: Tensor, draws: Draws, rows: Tensor, change: Callable[[Tensor, Draws], Tensor]) -> Tensor:
    """A copy of the waves with some rows changed, or the waves themselves if there are none."""
    if not bool(rows.any()):
        return waves
    waves = waves.clone()
    waves[rows] = change(waves[rows], {name: values[rows] for name, values in draws.items()})
    return waves


def _babbled(waves: Tensor, draws: Draws) -> Tensor:
    """Waves [n, samples] plus babble noise: the sum of their own audio rotated to a random position for each voice."""
    samples = waves.shape[1]
    at = torch.arange(samples, device=waves.device)
    starts = (draws["voices"] * samples).long()
    babble = torch.zeros_like(waves)
    for k in range(_VOICES):
        rotated = (at * (1 - 2 * (k % 2)) + starts[:, k, None]) % samples
        babble = babble + waves.gather(1, rotated)
    own, others = (w.square().mean(dim=1, keepdim=True).sqrt() for w in (waves, babble))
    return waves + babble * own / others.clamp(min=1e-9) * (10 ** (draws["babble_db"][:, None] / 20))


def _ratio(decibels: Tensor) -> float:
    return float(10 ** (decibels / 20))


def _normal(count: int, draws: Draws, row: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(int(draws["speech_seed"][row])))


def _fast_size(samples: int) -> int:
    """An even size of at least `samples`, without large prime factors."""
    step = 1 << max(samples.bit_length() - 4, 1)
    return -(-samples // step) * step


def _resampled(waves: Tensor, factor: Tensor) -> Tensor:
    """Each wave `factor` times as fast about its middle, with silence at both ends if it becomes shorter."""
    samples = waves.shape[1]
    middle = (samples - 1) / 2
    at = middle + (torch.arange(samples, device=waves.device) - middle) * factor[:, None]
    left = at.clamp(0, samples - 2).long()
    weight = at - left
    between = waves.gather(1, left) * (1 - weight) + waves.gather(1, left + 1) * weight
    return torch.where((weight >= 0) & (weight <= 1), between, 0.0)
