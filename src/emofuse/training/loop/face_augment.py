"""Augmentation of faces: position, rotation, light and recording conditions, which do not change the emotion.

Random numbers are drawn for a whole step of training and applied to parts of it, as `Prepare` describes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from emofuse.core.colour import LUMA

Draws = dict[str, Tensor]


class FaceAugment(Protocol):
    """Augmentation of faces float [n, channels, height, width] in 0 to 1."""

    def draw(self, n: int, generator: torch.Generator) -> Draws: ...

    def __call__(self, faces: Tensor, draws: Draws, strength: float) -> Tensor: ...


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """n random numbers, float32 [n]."""
    return torch.empty(n).uniform_(low, high, generator=generator)


@dataclass(frozen=True)
class CompactAugment:
    """Rotation to 20 degrees, scale 0.8 to 1.25, shifts to 8 % of the size, mirroring, gamma 0.6 to 1.6, and on half of
    the faces a masked square of up to a third of the side.
    """

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        # The order of these draws determines the weights of every network that is trained with them.
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
        faces = moved(faces, *angle, scale=scale, shift=(strength * draws["across"], strength * draws["down"]))
        gamma = torch.exp(strength * draws["gamma"]).view(-1, 1, 1, 1)
        return masked(faces.clamp(1e-4, 1).pow(gamma), draws, strength)


@dataclass(frozen=True)
class PaperAugment:
    """Rotation, mirroring and brightness like those of Keras's ImageDataGenerator: `brightness` multiplies the pixels.

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
        faces = moved(faces, strength * draws["angle"].deg2rad(), mirror, scale=one, shift=(zero, zero))
        light = 1 + strength * (draws["brightness"] - 1)
        return (faces * light.view(-1, 1, 1, 1)).clamp(0, 1)


def moved(faces: Tensor, angle: Tensor, mirror: Tensor, *, scale: Tensor, shift: tuple[Tensor, Tensor]) -> Tensor:
    # The border is repeated outwards ("nearest" in Keras).
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = torch.stack([cos * mirror, -sin, shift[0], sin * mirror, cos, shift[1]], dim=1).view(-1, 2, 3)
    height, width = faces.shape[2:]
    if height != width:  # the grid is in halves of each side, but a rotation preserves lengths in pixels
        ratio = torch.tensor([[1.0, height / width, 1.0], [width / height, 1.0, 1.0]], device=faces.device)
        rows = rows * ratio
    grid = functional.affine_grid(rows, [len(faces), 1, height, width], align_corners=False)
    return functional.grid_sample(faces, grid, padding_mode="border", align_corners=False)


def masked(faces: Tensor, draws: Draws, strength: float, *, fraction: float = 0.5) -> Tensor:
    height, width = faces.shape[2:]
    side, top, left = strength * draws["side"] * (draws["hides"] < fraction), draws["top"], draws["left"]
    y, x = (torch.arange(size, device=faces.device) / size for size in (height, width))
    hidden_y = (y >= (top - side / 2)[:, None]) & (y < (top + side / 2)[:, None])
    hidden_x = (x >= (left - side / 2)[:, None]) & (x < (left + side / 2)[:, None])
    inside = (hidden_y[:, :, None] & hidden_x[:, None, :]).unsqueeze(1)
    return torch.where(inside, faces.mean(dim=(1, 2, 3), keepdim=True), faces)


# Luminance quantisation table of the JPEG standard (ITU-T T.81, Annex K).
_JPEG_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_SMALL_SIDES = (24, 32, 48)
_GRAIN = 48  # side of the noise pattern


@dataclass(frozen=True)
class VideoAugment:
    """Faces as in videos: the changes of `CompactAugment`, weaker in position and scale, then blur, light from a side,
    contrast, noise and compression artefacts, each on some of the faces.

    Sizes are fractions of the face's side, so the effect does not depend on the size in pixels. Values are maxima.

    grey: fraction of colour faces that become grey. tint: change of each colour channel, as a factor above 1.
    small: fraction of faces that are reduced to 24, 32 or 48 pixels and enlarged again.
    """

    turn_degrees: float = 15.0
    scale: float = 1.18
    shift: float = 0.06
    gamma: float = 1.5
    blur: float = 0.02
    side_light: float = 0.4
    contrast: float = 0.3
    noise: float = 0.03
    compression: float = 2.0
    grey: float = 0.0
    tint: float = 1.0
    small: float = 0.0

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        names = ("mirror", "hides", "top", "left", "blur", "blurs", "light", "lit", "noise", "noisy", "blocks")
        return {
            "angle": uniform(n, -self.turn_degrees, self.turn_degrees, generator),
            "scale": uniform(n, -math.log(self.scale), math.log(self.scale), generator),
            "across": uniform(n, -2 * self.shift, 2 * self.shift, generator),
            "down": uniform(n, -2 * self.shift, 2 * self.shift, generator),
            "gamma": uniform(n, -math.log(self.gamma), math.log(self.gamma), generator),
            "contrast": uniform(n, -self.contrast, self.contrast, generator),
            "side": uniform(n, 0.1, 0.34, generator),
            **{name: uniform(n, 0, 1, generator) for name in (*names, "greyed", "reduced")},
            "grain": torch.randn(n, 1, _GRAIN, _GRAIN, generator=generator),
            "tint": torch.empty(n, 3).uniform_(-math.log(self.tint), math.log(self.tint), generator=generator),
        }

    def __call__(self, faces: Tensor, draws: Draws, strength: float) -> Tensor:
        turn = (strength * draws["angle"].deg2rad(), torch.where(draws["mirror"] < 0.5, -1.0, 1.0))
        shift = (strength * draws["across"], strength * draws["down"])
        faces = moved(faces, *turn, scale=torch.exp(strength * draws["scale"]), shift=shift)
        if faces.shape[1] == 3:
            faces = faces * torch.exp(strength * draws["tint"])[:, :, None, None]
            grey = (faces * torch.tensor(LUMA, device=faces.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
            faces = torch.where((draws["greyed"] < self.grey).view(-1, 1, 1, 1), grey, faces)
        faces = _reduced(faces, draws["reduced"], strength * self.small)
        blurs = draws["blurs"] < 0.5
        faces = _blurred(faces, strength * self.blur * draws["blur"] * blurs * faces.shape[-1])
        faces = self._lit(faces, draws, strength)
        noise = strength * self.noise * draws["noise"] * (draws["noisy"] < 0.5)
        faces = faces + noise.view(-1, 1, 1, 1) * functional.interpolate(draws["grain"], faces.shape[2:])
        # On the 60 % of the faces with a draw above 0.4.
        coarse = strength * self.compression * (draws["blocks"] - 0.4).clamp(min=0) / 0.6
        faces = _compressed(faces.clamp(0, 1), coarse).clamp(0, 1)
        return masked(faces, draws, strength, fraction=0.3)

    def _lit(self, faces: Tensor, draws: Draws, strength: float) -> Tensor:
        """Gamma, contrast about the mean of the face, and on half of the faces light from one direction."""
        faces = faces.clamp(1e-4, 1).pow(torch.exp(strength * draws["gamma"]).view(-1, 1, 1, 1))
        mean = faces.mean(dim=(1, 2, 3), keepdim=True)
        faces = (faces - mean) * (1 + strength * draws["contrast"]).view(-1, 1, 1, 1) + mean
        height, width = faces.shape[2:]
        y = torch.linspace(-1, 1, height, device=faces.device).view(1, 1, -1, 1)
        x = torch.linspace(-1, 1, width, device=faces.device).view(1, 1, 1, -1)
        angle = (2 * math.pi * draws["light"]).view(-1, 1, 1, 1)
        amount = (strength * self.side_light * 2 * (0.5 - draws["lit"]).clamp(min=0)).view(-1, 1, 1, 1)
        return faces * (1 + amount * (x * angle.cos() + y * angle.sin()))


def _reduced(faces: Tensor, draws: Tensor, fraction: float) -> Tensor:
    """A fraction of the faces, reduced to each of a few sizes in equal parts and enlarged again."""
    faces = faces.clone()
    for n, side in enumerate(_SMALL_SIDES):
        low, high = (fraction * k / len(_SMALL_SIDES) for k in (n, n + 1))
        rows = (draws >= low) & (draws < high)
        if side < min(faces.shape[2:]) and bool(rows.any()):
            less = functional.interpolate(faces[rows], (side, side), mode="bilinear", antialias=True)
            faces[rows] = functional.interpolate(less, faces.shape[2:], mode="bilinear")
    return faces


def _blurred(faces: Tensor, sigma: Tensor) -> Tensor:
    """Each face blurred by a Gaussian with its own deviation float [n] in pixels."""
    n, channels, height, width = faces.shape
    radius = max(1, math.ceil(2.5 * float(sigma.max())))
    offsets = torch.arange(-radius, radius + 1, device=faces.device)
    kernels = torch.exp(-0.5 * (offsets / sigma.clamp(min=0.1).view(-1, 1)).square())
    kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0).view(n * channels, 1, -1)
    x = functional.pad(faces.reshape(1, n * channels, height, width), (radius,) * 4, mode="replicate")
    x = functional.conv2d(x, kernels.unsqueeze(2), groups=n * channels)
    x = functional.conv2d(x, kernels.unsqueeze(3), groups=n * channels)
    return x.view(n, channels, height, width)


def _compressed(faces: Tensor, coarse: Tensor) -> Tensor:
    """Faces after JPEG compression: frequencies of 8x8 blocks are rounded to `coarse` [n] times the standard's table.

    Rows and columns beyond a multiple of 8 are unchanged.
    """
    chosen = coarse > 0
    if not bool(chosen.any()):
        return faces
    given = faces[chosen]
    n, channels, height, width = given.shape
    rows, columns = height // 8, width // 8
    k = torch.arange(8, device=faces.device)
    cosines = torch.cos(math.pi / 8 * (k + 0.5).view(1, -1) * k.view(-1, 1)) / 2
    cosines[0] /= math.sqrt(2)
    transform = torch.kron(cosines, cosines)  # of a block as a row of 64
    inside = given[..., : rows * 8, : columns * 8]
    blocks = inside.reshape(n, channels, rows, 8, columns, 8).transpose(3, 4).reshape(n, -1, 64)
    table = torch.tensor(_JPEG_LUMINANCE, dtype=faces.dtype, device=faces.device).view(1, 1, 64) / 255
    step = table * coarse[chosen].clamp(min=1e-3).view(-1, 1, 1)
    kept = torch.round(blocks @ transform.T / step) * step
    back = (kept @ transform).view(n, channels, rows, columns, 8, 8).transpose(3, 4)
    given[..., : rows * 8, : columns * 8] = back.reshape(n, channels, rows * 8, columns * 8)
    result = faces.clone()
    result[chosen] = given
    return result


AUGMENTS: Mapping[str, Callable[[], FaceAugment | None]] = MappingProxyType(
    {
        "none": lambda: None,
        "compact": CompactAugment,
        "gentle": partial(PaperAugment, rotation_degrees=8.0, brightness=(0.7, 1.0)),
        "paper": PaperAugment,
        "video": VideoAugment,
    }
)
