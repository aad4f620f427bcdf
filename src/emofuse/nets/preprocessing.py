"""What a face net wants to be given: size, order of colours, mean and scale, as data beside the net."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from emofuse.core.colour import Colour
from emofuse.errors import ShapeError


@dataclass(frozen=True)
class Preprocessing:
    """Faces of `size` pixels, then (pixel - mean) / scale per channel, pixels 0 to 255.

    mean and scale stand in the order of `colour`, as in the `face` part of a bundle.
    """

    size: int
    colour: Colour
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __call__(self, faces: NDArray[np.uint8]) -> Tensor:
        """RGB faces uint8 [n, height, width, 3] -> float32 [n, 3, size, size]; other sizes are resized bilinearly.

        Raises:
            ShapeError: not RGB faces uint8.
        """
        if faces.ndim != 4 or faces.shape[3] != 3 or faces.dtype != np.uint8:
            raise ShapeError(f"faces: {faces.dtype} {list(faces.shape)}; give RGB uint8 [n, height, width, 3].")
        channels = faces[..., ::-1] if self.colour is Colour.BGR else faces
        pixels = torch.from_numpy(np.ascontiguousarray(channels.transpose(0, 3, 1, 2))).float()
        if pixels.shape[2:] != (self.size, self.size):
            pixels = functional.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True)
        mean, scale = (torch.tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.scale))
        return (pixels - mean) / scale
