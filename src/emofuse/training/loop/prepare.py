"""From rows as they are kept to what the net takes, with or without random changes; all in torch, on any device.

A `Prepare` is a frozen data class. Random changes come in two steps: `draw` takes all numbers for a whole step of
training from a generator, and the call applies those of some of the examples. So what happens to an example depends on
its place in the step, and not on how the step is divided among batches and processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from emofuse.core.colour import LUMA, Colour
from emofuse.errors import SettingsError, ShapeError
from emofuse.training.loop.face_augment import CompactAugment, Draws, FaceAugment


class Prepare(Protocol):
    """How inputs become what the net takes; its `repr` is part of what a checkpoint belongs to."""

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        """The random numbers for n examples, each a tensor [n, ...]."""
        ...

    def __call__(self, batch: Tensor, draws: Draws | None = None, *, strength: float = 1.0) -> Tensor:
        """Prepared examples; changed by `draws` times `strength`, or as they are."""
        ...


def part(draws: Draws, rows: slice) -> Draws:
    """The draws of some of the examples."""
    return {name: values[rows] for name, values in draws.items()}


@dataclass(frozen=True)
class Faces:
    """Faces uint8 [n, h, w] (grey) or [n, h, w, 3] (RGB) -> float [n, channels, size, size].

    colour: channels that the net wants; grey faces are repeated, colour ones made grey as needed.
    mean, scale: one for each channel; the net takes (pixel - mean) / scale, pixels from 0 to 255.
    size: side of what the net takes; None leaves it as it is.
    augment: the random changes, at that size; None for none.
    """

    colour: Colour = Colour.GREY
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (255.0,)
    size: int | None = None
    augment: FaceAugment | None = CompactAugment()  # noqa: RUF009 (frozen)

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
            return batch.unsqueeze(1).expand(-1, len(self.mean), -1, -1)
        if self.colour is Colour.GREY:
            return (batch.float() @ torch.tensor(LUMA, device=batch.device)).unsqueeze(1)
        channels = batch.permute(0, 3, 1, 2)
        return channels.flip(1) if self.colour is Colour.BGR else channels

    def _resized(self, faces: Tensor) -> Tensor:
        if self.size is None or tuple(faces.shape[2:]) == (self.size, self.size):
            return faces
        smaller = self.size < min(faces.shape[2:])
        size = [self.size, self.size]
        return functional.interpolate(faces, size, mode="bilinear", align_corners=False, antialias=smaller)
