"""What a face detector is and returns. Each detector has a file of its own, where it registers itself in `DETECTORS`.

Images are RGB uint8 [height, width, 3], or luma uint8 [height, width] for detectors without colour. Boxes and landmarks
are in pixels of the given image, with the corner of pixel (0, 0) at the top left; they may reach beyond the border of
the image, as faces do.

Another package adds a detector as an entry point of the group `emofuse.detectors` that names a `DetectorFactory`, and
tests it with `emofuse.testing.check_detector`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.core.registry import Registry
from emofuse.errors import ShapeError
from emofuse.media.images import Image
from emofuse.runtime import Engine

if TYPE_CHECKING:
    from emofuse.faces.pose import HeadModel

Floats = NDArray[np.float32]

REGION_SIZE, REGION_PIXELS = 2.5, 160  # side of a region in longer sides of the face, and the most it is reduced to


@dataclass(frozen=True, eq=False)
class Face:
    """One detected face.

    box: float32 [4], left, top, width and height in pixels of the image.
    score: confidence of the detector, 0 to 1; comparable within one detector only.
    landmarks: float32 [5, 2], (x, y) of the person's right eye (on the left of the image), left eye, nose tip, right
        corner and left corner of the mouth; None if the detector finds none.

    Raises:
        ShapeError: box or landmarks have another shape.
    """

    box: Floats
    score: float
    landmarks: Floats | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", _read_only(self.box, (4,), "box"))
        object.__setattr__(self, "score", float(self.score))
        if self.landmarks is not None:
            object.__setattr__(self, "landmarks", _read_only(self.landmarks, (5, 2), "landmarks"))


class Detector(Protocol):
    """Finds faces.

    identity: names the detector, its weights and settings in results; one line.
    colour: whether images are RGB; otherwise they are luma, which needs no conversion of decoded frames.
    certain_score: hardly any false detection has this score.
    head_model: how the landmarks lie on a head, for `pose_of`; unused if there are none.
    """

    identity: str
    colour: bool
    certain_score: float
    head_model: HeadModel

    def __call__(self, image: Image) -> list[Face]:
        """The faces of an image of any size, sorted by decreasing score.

        image: RGB uint8 [height, width, 3] if `colour`, luma uint8 [height, width] otherwise.
        """
        ...


# Makes a detector ready to run. Its arguments: a function from the name of a weights file to its path, and the engine.
DetectorFactory = Callable[[Callable[[str], Path], Engine], Detector]

DETECTORS: Registry[DetectorFactory] = Registry("face detector", "emofuse.detectors")


def box_iou(one: Floats, others: Floats) -> Floats:
    """Intersection over union of one box [4] with others [n, 4] (x, y, width, height), float32 [n].

    >>> box_iou(np.float32([0, 0, 2, 2]), np.float32([[1, 0, 2, 2], [5, 5, 1, 1]])).round(3)
    array([0.333, 0.   ], dtype=float32)
    """
    low = np.maximum(one[:2], others[:, :2])
    high = np.minimum(one[:2] + one[2:], others[:, :2] + others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    union = one[2] * one[3] + np.prod(others[:, 2:], axis=1) - shared
    return np.asarray(shared / np.maximum(union, np.finfo(np.float32).tiny), np.float32)


def suppress(boxes: Floats, scores: Floats, *, iou: float) -> NDArray[np.int64]:
    """Non-maximum suppression: the rows to keep, int64, best score first.

    boxes: float32 [n, 4] x, y, width, height; scores: float32 [n]. A box is dropped if its IoU with a kept box of a
    higher score is above `iou`; of equal scores the earlier row counts as the higher one.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        waiting = waiting[box_iou(boxes[best], boxes[waiting]) <= iou]
    return np.asarray(kept, np.int64)


def resized(image: Image, height: int, width: int) -> Image:
    """The image at another size without aliasing: halved as often as possible, then scaled linearly.

    Area averaging at a non-integer ratio takes ten times as long, with no difference to detectors.
    """
    while image.shape[0] >= 2 * height and image.shape[1] >= 2 * width:
        half = ((image.shape[1] + 1) // 2, (image.shape[0] + 1) // 2)
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_LINEAR), np.uint8)
    if image.shape[:2] != (height, width):
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return image


@dataclass(frozen=True, eq=False)
class Region:
    """A part of an image, reduced: image = the part, scale * (x, y) + corner = a point of it in the whole image."""

    image: Image
    scale: Floats
    corner: Floats

    def points(self, points: Floats) -> Floats:
        """Points [..., 2] of the region in pixels of the whole image."""
        return points * self.scale + self.corner

    def boxes(self, boxes: Floats) -> Floats:
        """Boxes [..., 4] of the region in pixels of the whole image."""
        return np.concatenate([self.points(boxes[..., :2]), boxes[..., 2:] * self.scale], axis=-1)


def region_around(image: Image, box: Floats, *, size: float = REGION_SIZE, pixels: int = REGION_PIXELS) -> Region:
    """The square around the box of a face in which it is searched, cut at the border of the image.

    Its side is `size` times the longer side of the box; larger ones are reduced to `pixels`, so that faces are searched
    at one scale.
    """
    side = max(size * float(box[2:].max()), 1.0)
    centre = box[:2] + box[2:] / 2
    limit = np.array(image.shape[1::-1])
    low = np.clip(np.floor(centre - side / 2), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(centre + side / 2), low + 1, limit).astype(int)
    # Halving even sides takes a fifth of the time, and most of the reduction is halving.
    even = 1 << max(int(np.log2(side / pixels)), 0)
    high = low + np.maximum((high - low) // even * even, 1)
    part = image[low[1] : high[1], low[0] : high[0]]
    ratio = min(1.0, pixels / max(side, *part.shape[:2]))  # sides are rounded up to whole pixels
    height, width = (max(1, round(n * ratio)) for n in part.shape[:2])
    scale = np.array([part.shape[1] / width, part.shape[0] / height], np.float32)
    return Region(np.ascontiguousarray(resized(part, height, width)), scale, low.astype(np.float32))


def _read_only(values: Floats, shape: tuple[int, ...], name: str) -> Floats:
    array = np.array(values, np.float32)  # always a copy, so that nobody else can write to it
    if array.shape != shape:
        raise ShapeError(f"Face: {name} has shape {array.shape}; give {shape}.")
    array.flags.writeable = False
    return array
