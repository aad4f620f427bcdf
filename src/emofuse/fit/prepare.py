"""From rows as they are kept to what the net takes, with or without random changes; all in torch, on any device.

A `Prepare` is a frozen data class. Random changes come in two steps: `draw` takes all numbers for a whole step of
training from a generator, and the call applies those of some of the examples. So what happens to an example depends on
its place in the step, and not on how the step is divided among batches and processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from emofuse.core.colour import LUMA, Colour
from emofuse.errors import SettingsError, ShapeError

Draws = dict[str, Tensor]


class Prepare(Protocol):
    """How inputs become what the net takes; its `repr` is part of what a checkpoint belongs to."""

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        """The random numbers for n examples, each a tensor [n, ...]."""
        ...

    def __call__(self, batch: Tensor, draws: Draws | None = None, *, strength: float = 1.0) -> Tensor:
        """Prepared examples; changed by `draws` times `strength`, or as they are."""
        ...


class FaceAugment(Protocol):
    """Random changes of faces float [n, channels, height, width] in 0 to 1."""

    def draw(self, n: int, generator: torch.Generator) -> Draws: ...

    def __call__(self, faces: Tensor, draws: Draws, strength: float) -> Tensor: ...


def part(draws: Draws, rows: slice) -> Draws:
    """The draws of some of the examples."""
    return {name: values[rows] for name, values in draws.items()}


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """n random numbers, float32 [n]."""
    return torch.empty(n).uniform_(low, high, generator=generator)


@dataclass(frozen=True)
class CompactAugment:
    """Turns to 20 degrees, scale 0.8 to 1.25, shifts to 8 % of the size, mirror, gamma 0.6 to 1.6,
    and a hidden square of up to a third of the side on half of the faces.
    """

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        # The order of the draws decides the weights of every net that was trained with them.
        return {
            "angle": uniform(n, -20, 20, generator),
            "scale": uniform(n, math.log(0.8), math.log(1.25), generator),
            "mirror": uniform(n, 0, 1, generator),
            "across": uniform(n, -0.16, 0.16, generator),
            "down": uniform(n, -0.16, 0.16, generator),
            "gamma": uniform(n, math.log(0.6), math.log(1.6), generator),
            "side": uniform(n, 0.1, 0.34, generator),
            "hides": uniform(n, 0, 1, generator),
            "top": uniform(n, 0, 1, generator),
            "left": uniform(n, 0, 1, generator),
        }

    def __call__(self, faces: Tensor, draws: Draws, strength: float) -> Tensor:
        scale = torch.exp(strength * draws["scale"])
        angle = (strength * draws["angle"].deg2rad(), torch.where(draws["mirror"] < 0.5, -1.0, 1.0))
        faces = _moved(faces, *angle, scale=scale, shift=(strength * draws["across"], strength * draws["down"]))
        gamma = torch.exp(strength * draws["gamma"]).view(-1, 1, 1, 1)
        return _hidden(faces.clamp(1e-4, 1).pow(gamma), draws, strength)


@dataclass(frozen=True)
class PaperAugment:
    """Turns, mirror and brightness as Keras' ImageDataGenerator does them: `brightness` multiplies the pixels.

    Source: paper, section 2.1: rotation to 40 degrees, horizontal flip, brightness 0.2 to 1.
    """

    rotation_degrees: float = 40.0
    mirror: bool = True
    brightness: tuple[float, float] = (0.2, 1.0)

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        return {
            "angle": uniform(n, -self.rotation_degrees, self.rotation_degrees, generator),
            "mirror": uniform(n, 0, 1, generator),
            "brightness": uniform(n, *self.brightness, generator),
        }

    def __call__(self, faces: Tensor, draws: Draws, strength: float) -> Tensor:
        mirror = torch.where((draws["mirror"] < 0.5) & self.mirror, -1.0, 1.0)
        one, zero = torch.ones_like(mirror), torch.zeros_like(mirror)
        faces = _moved(faces, strength * draws["angle"].deg2rad(), mirror, scale=one, shift=(zero, zero))
        light = 1 + strength * (draws["brightness"] - 1)
        return (faces * light.view(-1, 1, 1, 1)).clamp(0, 1)


def _moved(faces: Tensor, angle: Tensor, mirror: Tensor, *, scale: Tensor, shift: tuple[Tensor, Tensor]) -> Tensor:
    # The border is repeated outwards ("nearest" in Keras).
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = torch.stack([cos * mirror, -sin, shift[0], sin * mirror, cos, shift[1]], dim=1).view(-1, 2, 3)
    height, width = faces.shape[2:]
    if height != width:  # the grid is in halves of each side, but a turn keeps lengths in pixels
        ratio = torch.tensor([[1.0, height / width, 1.0], [width / height, 1.0, 1.0]], device=faces.device)
        rows = rows * ratio
    grid = functional.affine_grid(rows, [len(faces), 1, height, width], align_corners=False)
    return functional.grid_sample(faces, grid, padding_mode="border", align_corners=False)


def _hidden(faces: Tensor, draws: Draws, strength: float) -> Tensor:
    height, width = faces.shape[2:]
    side, top, left = strength * draws["side"] * (draws["hides"] < 0.5), draws["top"], draws["left"]
    y, x = (torch.arange(size, device=faces.device) / size for size in (height, width))
    hidden_y = (y >= (top - side / 2)[:, None]) & (y < (top + side / 2)[:, None])
    hidden_x = (x >= (left - side / 2)[:, None]) & (x < (left + side / 2)[:, None])
    hidden = (hidden_y[:, :, None] & hidden_x[:, None, :]).unsqueeze(1)
    return torch.where(hidden, faces.mean(dim=(1, 2, 3), keepdim=True), faces)


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
    augment: FaceAugment | None = CompactAugment()

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


AUGMENTS: Mapping[str, Callable[[], FaceAugment | None]] = MappingProxyType(
    {"none": lambda: None, "compact": CompactAugment, "paper": PaperAugment}
)
