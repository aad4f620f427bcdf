"""Still images: checked, read from files, encoded, and a folder of face images as a lazily read array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import printable
from emofuse.errors import DataError, ShapeError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})  # that `read_image` reads

_RIFF = b"RIFF"
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*")
_HEAD = 4096  # bytes in which a PNG file states its transparent colour

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


def reduced(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """An image reduced to a width and height, each pixel the mean of those that it covers."""
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def read_image(path: str | Path) -> Image:
    """An image file as uint8 RGB [height, width, 3], upright according to its EXIF orientation.

    16 bits per channel are reduced to 8, CMYK is converted, and what is transparent in PNG and WebP becomes white. Of
    several images in a file the first is read.

    Raises:
        DataError: the file is missing, not an image, damaged, or too large for the memory.
    """
    return decode_image(_content(path), printable(path))


def decode_image(content: NDArray[np.uint8] | bytes, where: str) -> Image:
    """The content of an image file, as `read_image` reads it.

    Raises:
        DataError: it is not an image, damaged, or too large for the memory; the message begins with `where`.
    """
    content = np.frombuffer(content, np.uint8)
    image = _decoded(content, cv2.IMREAD_COLOR)
    if image is None:
        found = "is damaged, cut off, or of a kind that cannot be decoded" if is_image(content) else "is not an image"
        raise DataError(f"{where}: {found}; copy it again, or save it as JPEG.")
    if _has_transparency(content):
        image = _on_white(image, _decoded(content, cv2.IMREAD_UNCHANGED))
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image), np.uint8)


def image_size(path: Path) -> tuple[int, int] | None:
    """Height and width of an image file that was decoded whole; None if it cannot be read or is damaged."""
    try:
        image = _decoded(_content(path), cv2.IMREAD_UNCHANGED)
    except DataError:
        return None
    return None if image is None else (image.shape[0], image.shape[1])


def is_image(content: NDArray[np.uint8] | bytes) -> bool:
    """Whether a file is an image of a kind in `IMAGE_SUFFIXES`, by its first bytes.

    >>> is_image(b"\\x89PNG\\r\\n"), is_image(b"%PDF-1.7")
    (True, False)
    """
    head = bytes(content[:12])
    return head.startswith(_SIGNATURES) or (head[:4] == _RIFF and head[8:] == b"WEBP")


def _content(path: str | Path) -> NDArray[np.uint8]:
    try:
        return np.frombuffer(Path(path).read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror}).") from None


def _decoded(content: NDArray[np.uint8], flags: int) -> NDArray[Any] | None:
    """The decoded image, None if that fails, of which OpenCV prints nothing."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.imdecode(content, flags) if content.size else None
    except cv2.error:  # more than 2^30 pixels, or out of memory
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)


def _has_transparency(content: NDArray[np.uint8]) -> bool:
    """Whether a PNG or WebP file has an alpha channel or a transparent colour."""
    head = bytes(content[:_HEAD])
    if head[:4] == _RIFF:
        return head[12:16] == b"VP8L" or (head[12:16] == b"VP8X" and bool(head[20] & 0x10))
    return head.startswith(b"\x89PNG") and (head[25] in (4, 6) or b"tRNS" in head)


def _on_white(image: NDArray[np.uint8], with_alpha: NDArray[Any] | None) -> NDArray[np.uint8]:
    """An image on white, given the file with its alpha channel and without its EXIF orientation.

    The image itself where the two are not the same pixels: it was turned, which transparent images hardly ever are, or
    has 16 bits per channel.
    """
    if with_alpha is None or with_alpha.shape[2:] != (4,) or not np.array_equal(with_alpha[..., :3], image):
        return image
    for row, alpha in zip(image, with_alpha[..., 3:].astype(np.uint16), strict=True):
        row[:] = (row * alpha + 255 * (255 - alpha) + 127) // 255
    return image


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
