"""Preparing sound: waveforms with random loudness, noise and shifts, every option off unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from emofuse.errors import ShapeError
from emofuse.systems.training_settings import WaveAugment
from emofuse.training.loop.face_augment import Draws, uniform
from emofuse.training.loop.prepare import Faces, Prepare
from emofuse.training.loop.speech_augment import SpeechChanges


@dataclass(frozen=True)
class Waveforms:
    """Waveforms float32 [n, samples] -> the same shape, changed in training as `augment` says."""

    augment: WaveAugment = WaveAugment()  # noqa: RUF009 (frozen)

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        own = {
            "gain": uniform(n, -self.augment.gain_db, self.augment.gain_db, generator),
            "noise": uniform(n, 0, self.augment.noise, generator),
            # Noise is drawn from a seed of each example, so that a process draws only that of its own.
            "seed": torch.randint(2**62, (n,), generator=generator),
            "shift": torch.randint(
                -self.augment.shift_samples, self.augment.shift_samples + 1, (n,), generator=generator
            ),
        }
        speech = self.augment.speech
        return own | (SpeechChanges(speech).draw(n, generator) if speech else {})

    def __call__(self, batch: Tensor, draws: Draws | None = None, *, strength: float = 1.0) -> Tensor:
        if not batch.is_floating_point() or batch.ndim != 2:
            raise ShapeError(
                f"waveforms: got {str(batch.dtype).removeprefix('torch.')} {tuple(batch.shape)}; "
                "give float32 [n, samples]."
            )
        waves = batch.float()
        if draws is None:
            return waves
        if self.augment.shift_samples:
            waves = _shifted(waves, (strength * draws["shift"]).round().long())
        if self.augment.speech is not None:
            waves = SpeechChanges(self.augment.speech)(
                waves, {name: values.to(waves.device) for name, values in draws.items()}, strength
            )
        if self.augment.noise:
            rms = waves.square().mean(dim=1, keepdim=True).sqrt()
            noise = torch.stack([_white(waves.shape[1], int(seed)) for seed in draws["seed"]]).to(waves.device)
            waves = waves + strength * draws["noise"].to(waves.device)[:, None] * rms * noise
        if self.augment.gain_db:
            waves = waves * 10 ** (strength * draws["gain"].to(waves.device)[:, None] / 20)
        return waves


def _white(samples: int, seed: int) -> Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def _shifted(waves: Tensor, shift: Tensor) -> Tensor:
    moved = torch.zeros_like(waves)
    for row, by in enumerate(shift.tolist()):
        moved[row, max(by, 0) : waves.shape[1] + min(by, 0)] = waves[row, max(-by, 0) : waves.shape[1] - max(by, 0)]
    return moved


PREPARE: Mapping[str, Callable[..., Prepare]] = MappingProxyType({"faces": Faces, "waveforms": Waveforms})
