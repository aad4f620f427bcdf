"""Cutting a face out of a picture: turned and scaled by its landmarks, or a square around its box.

A crop is data: it says where the landmarks, or the box, come to lie, and a bundle stores it as JSON. The
constants hold the framing of FER-2013, whose faces are upright and fill the picture; they were measured by
benchmarks/face_framing.py. Crops shrink without aliasing; beyond the border the picture's edge is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.errors import BundleError, SettingsError, ShapeError
from emofuse.faces.detector import Face, Image

Floats = NDArray[np.float64]
Points = tuple[tuple[float, float], ...]
Made = TypeVar("Made")

# FER-2013, medians over 3,000 training faces, x and y as shares of the side; made symmetric.
FER_TEMPLATE: Points = ((0.32, 0.39), (0.68, 0.39), (0.5, 0.598), (0.349, 0.749), (0.651, 0.749))
FER_YUNET_MARGIN, FER_YUNET_SHIFT_Y = 0.009, -0.014
FER_HAAR_MARGIN, FER_HAAR_SHIFT_Y = 0.032, 0.0

# Framing of the 112x112 faces that identity nets are trained on and that Aff-Wild2 brings (`cropped_aligned`).
IDENTITY_TEMPLATE: Points = tuple(
    (x / 112, y / 112)
    for x, y in ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
)
# The box of Haar in that framing: from FER_HAAR_MARGIN by the distance and height of the eyes in both templates.
IDENTITY_HAAR_MARGIN, IDENTITY_HAAR_SHIFT_Y = 0.181, -0.068


@dataclass(frozen=True)
class BoxCrop:
    """An upright square around the box.

    size: side of the crop in pixels. margin: the square's side is (1 + margin) times the longer side of the
    box. shift_y: how far its centre lies below that of the box, as a share of the box's longer side.

    Raises:
        SettingsError: size is below 1 or margin not above -1.
        ShapeError: on a call, the picture is not uint8 [h, w, 3].
    """

    size: int
    margin: float = 0.0
    shift_y: float = 0.0

    def __post_init__(self) -> None:
        _check_size("BoxCrop", self.size)
        if not self.margin > -1:
            raise SettingsError(f"BoxCrop: margin is {self.margin}; give more than -1.")

    def __call__(self, image: Image, face: Face) -> Image:
        """The face as uint8 [size, size, 3]."""
        x, y, width, height = face.box.astype(np.float64)
        long = max(width, height, 1.0)
        scale = self.size / (long * (1 + self.margin))
        corner = self.size / 2 - scale * np.array([x + width / 2, y + height / 2 + self.shift_y * long])
        return warp(image, np.array([[scale, 0, corner[0]], [0, scale, corner[1]]]), self.size)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for bundle.json."""
        return {"kind": "box", "size": self.size, "margin": self.margin, "shift_y": self.shift_y}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BoxCrop:
        """The crop that `to_json` wrote.

        Raises:
            BundleError: the kind is another, a field is missing, unknown or has no sensible value.
        """
        return _read(data, "box", ("size", "margin", "shift_y"), lambda d: cls(**_numbers(d)))


@dataclass(frozen=True)
class AlignedCrop:
    """A square in which the landmarks come as close as they can to a template; no shear, no mirror.

    size: side of the crop in pixels. template: five (x, y), in the order of `Face.landmarks`, as shares of
    the side. fallback: crop of faces without landmarks, of the same size.

    Raises:
        SettingsError: size is below 1, the template has not five points, or the fallback's size differs.
        ShapeError: on a call, the picture is not uint8 [h, w, 3].
    """

    size: int
    template: Points
    fallback: BoxCrop

    def __post_init__(self) -> None:
        _check_size("AlignedCrop", self.size)
        points = tuple((float(x), float(y)) for x, y in self.template)
        if len(points) != 5:
            raise SettingsError(f"AlignedCrop: the template has {len(points)} points; give five (x, y).")
        if self.fallback.size != self.size:
            raise SettingsError(f"AlignedCrop: size is {self.size}, but {self.fallback.size} in the fallback.")
        object.__setattr__(self, "template", points)

    def __call__(self, image: Image, face: Face) -> Image:
        """The face as uint8 [size, size, 3]."""
        if face.landmarks is None:
            return self.fallback(image, face)
        return warp(image, similarity(face.landmarks, np.array(self.template) * self.size), self.size)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for bundle.json."""
        template = [list(point) for point in self.template]
        return {"kind": "aligned", "size": self.size, "template": template, "fallback": self.fallback.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AlignedCrop:
        """The crop that `to_json` wrote.

        Raises:
            BundleError: the kind is another, a field is missing, unknown or has no sensible value.
        """

        def made(fields: Mapping[str, Any]) -> AlignedCrop:
            template = tuple((float(x), float(y)) for x, y in fields["template"])
            return cls(_numbers({"size": fields["size"]})["size"], template, BoxCrop.from_json(fields["fallback"]))

        return _read(data, "aligned", ("size", "template", "fallback"), made)


Crop = AlignedCrop | BoxCrop
KINDS: dict[str, Callable[[Mapping[str, Any]], Crop]] = {"aligned": AlignedCrop.from_json, "box": BoxCrop.from_json}


def from_json(data: Mapping[str, Any]) -> Crop:
    """The crop that its `to_json` wrote.

    Raises:
        BundleError: the kind is unknown, a field is missing, unknown or has no sensible value.

    >>> from_json({"kind": "box", "size": 48, "margin": 0.1, "shift_y": 0.0})
    BoxCrop(size=48, margin=0.1, shift_y=0.0)
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise BundleError(f"face crop: kind {kind!r} is unknown; it must be one of {', '.join(sorted(KINDS))}.")
    return KINDS[kind](data)


def fer_crop(size: int) -> AlignedCrop:
    """The framing of FER-2013, for faces of YuNet and, by the fallback, of Haar."""
    return AlignedCrop(size, FER_TEMPLATE, BoxCrop(size, FER_HAAR_MARGIN, FER_HAAR_SHIFT_Y))


def identity_crop(size: int = 112) -> AlignedCrop:
    """The framing of identity nets and of Aff-Wild2's aligned faces."""
    return AlignedCrop(size, IDENTITY_TEMPLATE, BoxCrop(size, IDENTITY_HAAR_MARGIN, IDENTITY_HAAR_SHIFT_Y))


CROP_PRESETS: Mapping[str, Callable[[int], AlignedCrop]] = MappingProxyType(
    {"identity": identity_crop, "fer": fer_crop}
)


def similarity(points_from: NDArray[Any], points_to: NDArray[Any]) -> Floats:
    """Turn, scale and shift that bring points closest to others, by least squares, without mirroring.

    Args:
        points_from, points_to: [n, 2], n >= 2.
    Returns:
        float64 [2, 3]: points_to is about points_from @ m[:, :2].T + m[:, 2].
    Raises:
        ShapeError: the shapes differ or are not [n, 2].
    Source: Umeyama (1991), in the closed form that complex numbers give in the plane.

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
    turn = np.array([[real, -imaginary], [imaginary, real]])
    return np.column_stack([turn, centre_to - turn @ centre_from])


def warp(image: Image, transform: Floats, size: int) -> Image:
    """The square [0, size)² that a similarity float [2, 3] makes of a picture, uint8 [size, size, 3].

    Coordinates are those of pixel corners: pixel (0, 0) spans from 0 to 1, as in boxes.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ShapeError(f"face crop: the picture has shape {image.shape}, type {image.dtype}; give uint8 [h, w, 3].")
    image, transform = _nearby(image, transform, size)
    scale = float(np.sqrt(max(np.linalg.det(transform[:, :2]), np.finfo(np.float64).tiny)))
    if scale < 1:
        # warpAffine looks at four pixels only: bring the region down by area to the scale of the crop first.
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        stretch = np.array([image.shape[1] / width, image.shape[0] / height])
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        transform = np.column_stack([transform[:, :2] * stretch, transform[:, 2]])
    centred = transform[:, :2] @ np.full(2, 0.5) + transform[:, 2] - 0.5  # OpenCV counts from pixel centres
    matrix = np.column_stack([transform[:, :2], centred])
    crop = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.uint8)


def _nearby(image: Image, transform: Floats, size: int) -> tuple[Image, Floats]:
    """The part of the picture that the crop needs, and the transform from there."""
    square = np.array([[0, 0], [size, 0], [0, size], [size, size]]) - transform[:, 2]
    corners = np.linalg.lstsq(transform[:, :2], square.T, rcond=None)[0].T
    spare = 2 + 2 * np.ptp(corners, axis=0).max() / size
    limit = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(corners.min(axis=0) - spare), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0) + spare), low + 1, limit).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    return part, np.column_stack([transform[:, :2], transform[:, 2] + transform[:, :2] @ low])


def _check_size(what: str, size: int) -> None:
    if size < 1:
        raise SettingsError(f"{what}: size is {size}; give at least one pixel.")


def _numbers(fields: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, int if name == "size" else (int, float)):
            raise ValueError(f"{name} is {value!r}")
    return dict(fields)


def _read(data: Mapping[str, Any], kind: str, names: Sequence[str], make: Callable[[Mapping[str, Any]], Made]) -> Made:
    if not isinstance(data, Mapping) or data.get("kind") != kind:
        found = data.get("kind") if isinstance(data, Mapping) else data
        raise BundleError(f"face crop: the kind is {found!r}, not {kind!r}; make the bundle again.")
    fields = {name: value for name, value in data.items() if name != "kind"}
    if set(fields) != set(names):
        wrong = ", ".join(sorted(set(fields) ^ set(names)))
        raise BundleError(f"face crop of kind {kind!r}: {wrong} is missing or unknown; make the bundle again.")
    try:
        return make(fields)
    except (TypeError, ValueError) as error:
        raise BundleError(f"face crop of kind {kind!r}: {error}; make the bundle again.") from error
