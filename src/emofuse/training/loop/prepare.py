"""From stored rows to the input of a network, with or without augmentation; all in torch, on any device.

A `Prepare` is a frozen data class. Augmentation has two steps: `draw` takes the random numbers for a whole step of
training from a generator, and the call applies those of some examples. So the augmentation of an example depends on its
position in the step, and not on the division of the step into batches and processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from emofuse.core.colour import LUMA, Colour
from emofuse.errors import SettingsError, ShapeError
from emofuse.nets.wrappers import Normalise, Standardise
from emofuse.systems.training_settings import WaveAugment
from emofuse.training.loop.face_augment import CompactAugment, Draws, FaceAugment, uniform
from emofuse.training.loop.speech_augment import SpeechChanges


class Prepare(Protocol):
    """Converts inputs to those of the network; its `repr` is part of the identity of a checkpoint."""

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        """The random numbers for n examples, each a tensor [n, ...]."""
        ...

    def __call__(self, batch: Tensor, draws: Draws | None = None, *, strength: float = 1.0) -> Tensor:
        """Prepared examples, augmented by `draws` times `strength`, or not augmented."""
        ...


def draws_of(draws: Draws, rows: slice) -> Draws:
    """The random numbers of some examples."""
    return {name: values[rows] for name, values in draws.items()}


@dataclass(frozen=True)
class Faces:
    """Faces uint8 [n, h, w] (grey) or [n, h, w, 3] (RGB) -> float [n, channels, size, size].

    colour: channels of the network's input; grey faces are repeated, colour faces made grey as needed.
    mean, scale: one per channel; the network's input is (pixel - mean) / scale, pixels from 0 to 255.
    size: side of the network's input; None to keep the size.
    standardise: make faces grey with equal mean and deviation, as `Standardise`, before `mean` and `scale`.
    augment: the augmentation, applied at that size; None for none.
    """

    colour: Colour = Colour.GREY
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (255.0,)
    size: int | None = None
    augment: FaceAugment | None = CompactAugment()  # noqa: RUF009 (frozen)
    standardise: bool = False

    def __post_init__(self) -> None:
        channels = self.colour.channels
        if len(self.mean) != channels or len(self.scale) != channels:
            raise SettingsError(
                f"faces: {len(self.mean)} means and {len(self.scale)} scales for {channels} channels "
                f"({self.colour}); give one for each channel."
            )

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        return self.augment.draw(n, generator) if self.augment else {}

    def __call__(self, batch: Tensor, draws: Draws | None = None, *, strength: float = 1.0) -> Tensor:
        faces = self._resized(self._coloured(batch).float().div(255).contiguous(memory_format=torch.channels_last))
        if draws is not None and self.augment is not None:
            draws = {name: values.to(faces.device) for name, values in draws.items()}
            faces = self.augment(faces, draws, strength)
        if self.standardise:
            faces = (255 * faces).contiguous(memory_format=torch.channels_last)
            normalised: Tensor = Normalise(self.mean, self.scale).to(faces.device)(Standardise()(faces))
            return normalised
        factor, offset = (
            torch.tensor(values, device=faces.device).view(1, -1, 1, 1)
            for values in ([255 / s for s in self.scale], [m / s for m, s in zip(self.mean, self.scale, strict=True)])
        )
        return (faces * factor - offset).contiguous(memory_format=torch.channels_last)

    def _coloured(self, batch: Tensor) -> Tensor:
        if batch.dtype != torch.uint8 or batch.ndim not in (3, 4) or (batch.ndim == 4 and batch.shape[3] != 3):
            raise ShapeError(
                f"faces: got {str(batch.dtype).removeprefix('torch.')} {tuple(batch.shape)}; "
                "give uint8 [n, height, width] (grey) or [n, height, width, 3] (RGB)."
            )
        if batch.ndim == 3:
            return batch.unsqueeze(1).expand(-1, 1 if self.standardise else len(self.mean), -1, -1)
        if self.standardise or self.colour is Colour.GREY:
            return (batch.float() @ torch.tensor(LUMA, device=batch.device)).unsqueeze(1)
        channels = batch.permute(0, 3, 1, 2)
        return channels.flip(1) if self.colour is Colour.BGR else channels

    def _resized(self, faces: Tensor) -> Tensor:
        if self.size is None or tuple(faces.shape[2:]) == (self.size, self.size):
            return faces
        smaller = self.size < min(faces.shape[2:])
        size = [self.size, self.size]
        return functional.interpolate(faces, size, mode="bilinear", align_corners=False, antialias=smaller)


@dataclass(frozen=True)
class Waveforms:
    """Waveforms float32 [n, samples] -> the same shape, augmented in training."""

    augment: WaveAugment = WaveAugment()  # noqa: RUF009 (frozen)

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        augment = self.augment
        own = {
            "gain": uniform(n, -augment.gain_db, augment.gain_db, generator),
            "noise": uniform(n, 0, augment.noise, generator),
            # Noise has a seed per example, so that a process generates only the noise of its own examples.
            "seed": torch.randint(2**62, (n,), generator=generator),
            "shift": torch.randint(-augment.shift_samples, augment.shift_samples + 1, (n,), generator=generator),
        }
        return own | (SpeechChanges(augment.speech).draw(n, generator) if augment.speech else {})

    def __call__(self, batch: Tensor, draws: Draws | None = None, *, strength: float = 1.0) -> Tensor:
        if not batch.is_floating_point() or batch.ndim != 2:
            raise ShapeError(
                f"waveforms: got {str(batch.dtype).removeprefix('torch.')} {tuple(batch.shape)}; "
                "give float32 [n, samples]."
            )
        waves, augment = batch.float(), self.augment
        if draws is None:
            return waves
        if augment.shift_samples:
            waves = _shifted(waves, (strength * draws["shift"]).round().long())
        if augment.speech is not None:
            here = {name: values.to(waves.device) for name, values in draws.items()}
            waves = SpeechChanges(augment.speech)(waves, here, strength)
        if augment.noise:
            rms = waves.square().mean(dim=1, keepdim=True).sqrt()
            noise = torch.stack([_white(waves.shape[1], int(seed)) for seed in draws["seed"]]).to(waves.device)
            waves = waves + strength * draws["noise"].to(waves.device)[:, None] * rms * noise
        if augment.gain_db:
            waves = waves * 10 ** (strength * draws["gain"].to(waves.device)[:, None] / 20)
        return waves


def _white(samples: int, seed: int) -> Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def _shifted(waves: Tensor, shift: Tensor) -> Tensor:
    moved = torch.zeros_like(waves)
    for row, by in enumerate(shift.tolist()):
        moved[row, max(by, 0) : waves.shape[1] + min(by, 0)] = waves[row, max(-by, 0) : waves.shape[1] - max(by, 0)]
    return moved
