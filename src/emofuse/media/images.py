"""Still images: checked, read from files, encoded, and a folder of face images as a lazily read array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.errors import DataError, ShapeError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})  # that `read_image` reads

Image = NDArray[np.uint8]  # RGB [height, width, 3], or luma [height, width]


def check_rgb(image: Image, where: str) -> None:
    """Check that an array is an RGB image.

    Raises:
        ShapeError: it is not uint8 [height, width, 3], or has no pixels; the message begins with `where`.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ShapeError(
            f"{where}: the image has shape {image.shape} and type {image.dtype}; give RGB, uint8 [height, width, 3]."
        )


def check_luma(image: Image, where: str) -> None:
    """Check that an array is the luma of an image.

    Raises:
        ShapeError: it is not uint8 [height, width], or has no pixels; the message begins with `where`.
    """
    if image.dtype != np.uint8 or image.ndim != 2 or 0 in image.shape:
        raise ShapeError(
            f"{where}: the luma has shape {image.shape} and type {image.dtype}; give uint8 [height, width]."
        )


def luma_of(image: Image) -> Image:
    """The luma of an RGB image with the weights of BT.601, uint8 [height, width]."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def read_image(path: str | Path) -> Image:
    """An image file as uint8 RGB [height, width, 3].

    Raises:
        DataError: the file is missing or not an image.
    """
    try:
        content = np.frombuffer(Path(path).read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    if image is None:
        raise DataError(f"{path}: not an image, or a damaged one; copy it again.")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def image_size(path: Path) -> tuple[int, int] | None:
    """Height and width of an image file that was decoded whole; None if it cannot be read or is damaged."""
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        return None
    image = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    return None if image is None else (image.shape[0], image.shape[1])


def encode_jpeg(image: Image, *, quality: int = 95) -> bytes:
    """The content of a JPEG file.

    Args:
        image: uint8 RGB [height, width, 3].
    Raises:
        ShapeError: another shape or type.
    """
    check_rgb(image, "encode_jpeg")
    _, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return content.tobytes()


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Image files as rows of an array uint8 [n, height, width, 3], read when they are indexed.

    paths: the file of each row; a row without a file (None) is black.
    size: height and width of all images.

    Indexing with a number, a slice, an array of numbers or of booleans returns an array, as in NumPy.
    """

    paths: Sequence[Path | None]
    size: tuple[int, int]

    ndim = 4
    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """[n, height, width, 3]."""
        return (len(self.paths), *self.size, 3)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: Any) -> Image:
        chosen = np.arange(len(self.paths))[rows]
        if np.ndim(chosen) == 0:
            return self._read(int(chosen))
        images = np.zeros((len(chosen), *self.size, 3), np.uint8)
        for k, row in enumerate(chosen):
            images[k] = self._read(int(row))
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)

    def _read(self, row: int) -> Image:
        path = self.paths[row]
        if path is None:
            return np.zeros((*self.size, 3), np.uint8)
        image = read_image(path)
        if image.shape[:2] != self.size:
            raise DataError(
                f"{path}: {image.shape[1]}x{image.shape[0]} pixels, the others have {self.size[1]}x{self.size[0]}; "
                "crop all faces of a folder to one size."
            )
        return image
