"""Crops of faces: rotated and scaled by the landmarks, or a square around the box.

A crop is data: it says where the landmarks, or the box, are mapped to, and a bundle stores it as JSON. The constants
hold the framing of FER-2013, whose faces are upright and fill the image; they were measured by
benchmarks/face_framing.py. Crops are reduced without aliasing; beyond the border the edge of the image is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.core.registry import find
from emofuse.errors import BundleError, SettingsError, ShapeError
from emofuse.faces.detector import Face
from emofuse.media.images import Image, check_rgb


class PartlyConverted(Protocol):
    """An image of which only the parts that are needed become RGB, such as a frame of a video."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        ...

    def region(self, x: int, y: int, width: int, height: int) -> Image:
        """A rectangle of the image, uint8 [height, width, 3]."""
        ...


Floats = NDArray[np.float64]
Points = tuple[tuple[float, float], ...]

# FER-2013, medians over 3,000 training faces, x and y as fractions of the side; made symmetric.
FER_TEMPLATE: Points = ((0.32, 0.39), (0.68, 0.39), (0.5, 0.598), (0.349, 0.749), (0.651, 0.749))
FER_BOX_MARGIN, FER_BOX_SHIFT_Y = 0.032, 0.0  # for square boxes from the brow to the chin

# Framing of the 112x112 faces that face recognition networks are trained on and Aff-Wild2 has in `cropped_aligned`.
IDENTITY_TEMPLATE: Points = tuple(
    (x / 112, y / 112)
    for x, y in ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
)
# The same boxes in that framing: from FER_BOX_MARGIN by the distance and height of the eyes in both templates.
IDENTITY_BOX_MARGIN, IDENTITY_BOX_SHIFT_Y = 0.181, -0.068


@dataclass(frozen=True)
class BoxCrop:
    """An upright square around the box.

    size: side of the crop in pixels. margin: the square's side is (1 + margin) times the longer side of the box.
    shift_y: how far its centre is below that of the box, as a fraction of the longer side of the box.

    Raises:
        SettingsError: size is below 1 or margin not above -1.
        ShapeError: on a call, the image is not uint8 [height, width, 3].
    """

    size: int
    margin: float = 0.0
    shift_y: float = 0.0

    def __post_init__(self) -> None:
        _check_size(self)
        for name in ("margin", "shift_y"):
            if not _is_number(getattr(self, name)):
                raise SettingsError(f"BoxCrop: {name} is {getattr(self, name)!r}; give a number.")
        if not self.margin > -1:
            raise SettingsError(f"BoxCrop: margin is {self.margin}; give more than -1.")

    def __call__(self, image: Image | PartlyConverted, face: Face) -> Image:
        """The face as uint8 [size, size, 3]."""
        x, y, width, height = face.box.astype(np.float64)
        long = max(width, height, 1.0)
        scale = self.size / (long * (1 + self.margin))
        corner = self.size / 2 - scale * np.array([x + width / 2, y + height / 2 + self.shift_y * long])
        return warp(image, np.array([[scale, 0, corner[0]], [0, scale, corner[1]]]), self.size)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for bundle.json."""
        return {"kind": "box", "size": self.size, "margin": self.margin, "shift_y": self.shift_y}


@dataclass(frozen=True)
class AlignedCrop:
    """A square in which the landmarks come as close as possible to a template, without shear or reflection.

    size: side of the crop in pixels. template: five (x, y), in the order of `Face.landmarks`, as fractions of the side.
    fallback: crop of faces without landmarks, of the same size.

    Raises:
        SettingsError: size is below 1, the template does not have five points, or the fallback's size differs.
        ShapeError: on a call, the image is not uint8 [height, width, 3].
    """

    size: int
    template: Points
    fallback: BoxCrop

    def __post_init__(self) -> None:
        _check_size(self)
        points = tuple((float(x), float(y)) for x, y in self.template)
        if len(points) != 5:
            raise SettingsError(f"AlignedCrop: the template has {len(points)} points; give five (x, y).")
        if not isinstance(self.fallback, BoxCrop) or self.fallback.size != self.size:
            raise SettingsError(f"AlignedCrop: the fallback is {self.fallback}; give a BoxCrop of size {self.size}.")
        object.__setattr__(self, "template", points)

    def __call__(self, image: Image | PartlyConverted, face: Face) -> Image:
        """The face as uint8 [size, size, 3]."""
        if face.landmarks is None:
            return self.fallback(image, face)
        return warp(image, similarity(face.landmarks, np.array(self.template) * self.size), self.size)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for bundle.json."""
        template = [list(point) for point in self.template]
        return {"kind": "aligned", "size": self.size, "template": template, "fallback": self.fallback.to_json()}


Crop = AlignedCrop | BoxCrop
_CROP_CLASSES: Mapping[str, type[Crop]] = MappingProxyType({"aligned": AlignedCrop, "box": BoxCrop})


def from_json(data: Mapping[str, Any]) -> Crop:
    """The crop that its `to_json` wrote.

    Raises:
        BundleError: the kind is unknown, a field is missing or unknown, or has an invalid value.

    >>> from_json({"kind": "box", "size": 48, "margin": 0.1, "shift_y": 0.0})
    BoxCrop(size=48, margin=0.1, shift_y=0.0)
    """
    kind = str(data.get("kind")) if isinstance(data, Mapping) else "None"
    crop = find(kind, _CROP_CLASSES, "face crop of kind", error=BundleError)
    values = {name: value for name, value in data.items() if name != "kind"}
    if wrong := {field.name for field in fields(crop)} ^ set(values):
        raise BundleError(
            f"face crop of kind {kind!r}: {', '.join(sorted(wrong))} is missing or unknown; create the bundle again."
        )
    if "fallback" in values:
        values["fallback"] = from_json(values["fallback"])
    try:
        return crop(**values)
    except (TypeError, ValueError) as error:
        raise BundleError(f"face crop of kind {kind!r}: {error}; create the bundle again.") from error


def fer_crop(size: int) -> AlignedCrop:
    """The framing of FER-2013; that of faces without landmarks is approximate."""
    return AlignedCrop(size, FER_TEMPLATE, BoxCrop(size, FER_BOX_MARGIN, FER_BOX_SHIFT_Y))


def identity_crop(size: int = 112) -> AlignedCrop:
    """The framing of face recognition networks and of Aff-Wild2's aligned faces."""
    return AlignedCrop(size, IDENTITY_TEMPLATE, BoxCrop(size, IDENTITY_BOX_MARGIN, IDENTITY_BOX_SHIFT_Y))


CROP_PRESETS: Mapping[str, Callable[[int], AlignedCrop]] = MappingProxyType(
    {"identity": identity_crop, "fer": fer_crop}
)


def similarity(points_from: NDArray[Any], points_to: NDArray[Any]) -> Floats:
    """Rotation, scale and shift that map points to others with the least squared error, without reflection.

    Args:
        points_from, points_to: [n, 2], n >= 2.
    Returns:
        float64 [2, 3]: points_to is about points_from @ m[:, :2].T + m[:, 2].
    Raises:
        ShapeError: the shapes differ or are not [n, 2].
    Source: Umeyama (1991), in the closed form of complex numbers in the plane.

    >>> similarity(np.array([[0, 0], [1, 0]]), np.array([[1, 1], [1, 3]])).round(6) + 0.0
    array([[ 0., -2.,  1.],
           [ 2.,  0.,  1.]])
    """
    source, target = np.asarray(points_from, np.float64), np.asarray(points_to, np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2 or len(source) < 2:
        raise ShapeError(f"similarity: points of shape {source.shape} and {target.shape}; give both as [n, 2].")
    centre_from, centre_to = source.mean(axis=0), target.mean(axis=0)
    one, other = source - centre_from, target - centre_to
    power = max(float((one**2).sum()), np.finfo(np.float64).tiny)
    real = float((one * other).sum()) / power
    imaginary = float((one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]).sum()) / power
    rotation = np.array([[real, -imaginary], [imaginary, real]])
    return np.column_stack([rotation, centre_to - rotation @ centre_from])


def warp(image: Image | PartlyConverted, transform: Floats, size: int) -> Image:
    """The square [0, size)² of an image transformed by a similarity float [2, 3], uint8 [size, size, 3].

    Coordinates are those of pixel corners: pixel (0, 0) spans from 0 to 1, as in boxes.
    """
    image, transform = _region(image, transform, size)
    scale = float(np.sqrt(max(np.linalg.det(transform[:, :2]), np.finfo(np.float64).tiny)))
    # warpAffine interpolates between four pixels only: first reduce the region by area to the scale of the crop.
    # Halving takes a tenth of the time of other ratios; it ends before the last ratio is so small that it would blur
    # unevenly.
    while scale <= 0.25 and min(image.shape[:2]) > 1:
        height, width = (side // 2 for side in image.shape[:2])
        even = image[: 2 * height, : 2 * width]
        image = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        transform = np.column_stack([transform[:, :2] * 2, transform[:, 2]])
        scale *= 2
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        stretch = np.array([image.shape[1] / width, image.shape[0] / height])
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        transform = np.column_stack([transform[:, :2] * stretch, transform[:, 2]])
    centred = transform[:, :2] @ np.full(2, 0.5) + transform[:, 2] - 0.5  # OpenCV counts from pixel centres
    matrix = np.column_stack([transform[:, :2], centred])
    crop = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.uint8)


def _region(image: Image | PartlyConverted, transform: Floats, size: int) -> tuple[Image, Floats]:
    """The region of the image that the crop needs, and the transform from there."""
    if isinstance(image, np.ndarray):
        check_rgb(image, "face crop")
        image = _Still(image)
    limit = np.array(image.size)
    square = np.array([[0, 0], [size, 0], [0, size], [size, size]]) - transform[:, 2]
    # The inverse of a similarity is its transpose divided by its determinant.
    corners = square @ transform[:, :2] / max(np.linalg.det(transform[:, :2]), np.finfo(np.float64).tiny)
    spare = 2 + 2 * np.ptp(corners, axis=0).max() / size
    low = np.clip(np.floor(corners.min(axis=0) - spare), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0) + spare), low + 1, limit).astype(int)
    region = image.region(*low.tolist(), *(high - low).tolist())
    return region, np.column_stack([transform[:, :2], transform[:, 2] + transform[:, :2] @ low])


@dataclass(frozen=True)
class _Still:
    image: Image

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[1], self.image.shape[0]

    def region(self, x: int, y: int, width: int, height: int) -> Image:
        return self.image[y : y + height, x : x + width]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_size(crop: Crop) -> None:
    if not isinstance(crop.size, int) or isinstance(crop.size, bool) or crop.size < 1:
        raise SettingsError(f"{type(crop).__name__}: size is {crop.size!r}; give at least one pixel.")
