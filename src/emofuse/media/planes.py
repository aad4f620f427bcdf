"""Parts of a decoded frame without converting all of it: its luma, and a rectangle of its planes.

Only frames whose planes can be cut (`Planes.of`) are handled here; others are converted as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.media.images import Image, reduced

Area = tuple[int, int, int, int]  # left, top, width, height of a rectangle in pixels

_FULL_RANGE, _IDENTITY = 2, 0  # colour range and colour matrix, as numbered by ITU-T H.273
# Pixels per sample of chroma, horizontally and vertically, by format.
_CHROMA: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        **dict.fromkeys(("yuv420p", "yuvj420p", "yuv420p10le", "nv12", "nv21"), (2, 2)),
        **dict.fromkeys(("yuv422p", "yuvj422p", "yuv422p10le"), (2, 1)),
        **dict.fromkeys(("yuv444p", "yuvj444p", "yuv444p10le", "gray", "gray10le"), (1, 1)),
        "yuv411p": (4, 1),
    }
)
# A cut is widened to multiples of this many pixels, beyond a margin. Then each of its pixels is converted with the same
# neighbours, and by the same vector instruction, as in the whole frame, so that both are equal to the bit.
_ALIGNED, _MARGIN = 16, 8


@dataclass(frozen=True)
class Planes:
    """How the planes of a frame can be cut. chroma: pixels per sample of chroma, horizontally and vertically.

    bits: of a sample. full_range: whether luma is from 0 to the highest value, not from 16 to 235 (of 255).
    """

    chroma: tuple[int, int]
    bits: int
    full_range: bool

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Planes | None:
        """None where the frame has to be converted as a whole."""
        name = frame.format.name
        chroma = _CHROMA.get(name)
        # Frames with half a sample of chroma at their border are converted differently as a whole.
        if chroma is None or frame.width % chroma[0] or frame.height % chroma[1] or frame.colorspace == _IDENTITY:
            return None
        full_range = frame.color_range == _FULL_RANGE or name.startswith(("yuvj", "gray"))
        return cls(chroma, frame.format.components[0].bits, full_range)

    def luma(self, frame: av.VideoFrame) -> Image:
        """Luma of a frame from 0 to 255, uint8 [height, width]: grey levels by the weights of its colour matrix."""
        return self._levels(_samples(frame.planes[0], self._bytes))

    def luma_region(self, frame: av.VideoFrame, area: Area, size: tuple[int, int]) -> Image:
        """The same for a rectangle that is reduced to a width and height, uint8 [height, width]."""
        x, y, width, height = area
        samples: NDArray[Any] = _samples(frame.planes[0], self._bytes)
        if self.bits > 8:
            samples = samples.view(np.uint16)
        part = samples[y : y + height, x : x + width]
        # Reduced first: few levels are left to scale.
        part = np.ascontiguousarray(part) if size == (width, height) else reduced(part, size)
        return self._levels(part.view(np.uint8))

    def _levels(self, samples: NDArray[Any]) -> Image:
        if self.bits > 8:
            samples = samples.view(np.uint16)
        elif self.full_range:
            return samples.copy()
        unit = 1 << (self.bits - 8)
        black, white = (0, 256 * unit - 1) if self.full_range else (16 * unit, 235 * unit)
        # Saturates, as there are samples below black.
        return np.asarray(cv2.addWeighted(samples, a := 255 / (white - black), samples, 0, -a * black, dtype=cv2.CV_8U))

    def cut(self, frame: av.VideoFrame, x: int, y: int, width: int, height: int) -> tuple[av.VideoFrame, int, int]:
        """A frame that contains a rectangle of another one, and where that begins in it."""
        left, top = (max(0, at - _MARGIN) // _ALIGNED * _ALIGNED for at in (x, y))
        right = min(frame.width, -(-(x + width + _MARGIN) // _ALIGNED) * _ALIGNED)
        bottom = min(frame.height, -(-(y + height + _MARGIN) // _ALIGNED) * _ALIGNED)
        part = av.VideoFrame(right - left, bottom - top, frame.format.name)
        for n, (source, target) in enumerate(zip(frame.planes, part.planes, strict=True)):
            across, down = self.chroma if n else (1, 1)
            size = self._bytes * (2 if n and len(frame.planes) == 2 else 1)  # chroma in one plane is interleaved
            rows, columns = top // down, left // across * size
            samples = _samples(target, size)
            samples[:] = _samples(source, size)[rows:, columns:][: samples.shape[0], : samples.shape[1]]
        part.colorspace, part.color_range = frame.colorspace, frame.color_range
        part.color_primaries, part.color_trc = frame.color_primaries, frame.color_trc
        return part, x - left, y - top

    @property
    def _bytes(self) -> int:
        return -(-self.bits // 8)


def _samples(plane: Any, size: int) -> Image:
    """The bytes of a plane with `size` of them for each position, uint8 [height, width * size]; not a copy."""
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width * size]
