"""Cuts from one shot to the next, noticed by small grey thumbnails of the frames."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.errors import ShapeError
from emofuse.media.images import Image

Thumbnail = NDArray[np.uint8] | NDArray[np.int16]  # grey levels [h, w]; -1 where nothing is shown

_SHAPE = (18, 32)
_CUT_LEVEL = 15.0  # mean absolute difference of two thumbnails (0 to 255) above which they show different shots


def thumbnail(image: Image) -> NDArray[np.uint8]:
    """Pixels of an image, RGB or luma, on a grid of 18 x 32, as grey levels."""
    rows, columns = (np.arange(n) * side // n for n, side in zip(_SHAPE, image.shape[:2], strict=True))
    cells: Image = image[rows[:, None], columns]
    return cells if cells.ndim == 2 else cells.mean(axis=2).astype(np.uint8)


def is_cut(one: Thumbnail, other: Thumbnail) -> bool:
    """Whether two frames show different shots.

    Raises:
        ShapeError: the thumbnails differ in shape.
    """
    if one.shape != other.shape:
        raise ShapeError(f"is_cut: a thumbnail of shape {one.shape} after one of {other.shape}; give all one shape.")
    if one.dtype == other.dtype == np.uint8:
        return cv2.norm(one, other, cv2.NORM_L1) > _CUT_LEVEL * one.size
    known = (one >= 0) & (other >= 0)
    apart = np.abs(one.astype(np.int16) - other.astype(np.int16))
    return bool(known.any()) and float(apart.mean(where=known)) > _CUT_LEVEL
