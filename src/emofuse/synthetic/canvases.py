"""Canvases composed from photographs: grey images with faces of every size, place and rotation, and their labels.

A canvas is one of four kinds: photographs pasted onto a background, one photograph that fills it, a mosaic of
photographs, or a background without faces. Faces are rotated, partly hidden, lit from one side, cut by the border, and
the whole is taken by a random camera.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.synthetic import distortions

cv2.setNumThreads(1)  # canvases are composed beside a training, which needs the other cores

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]

Hiding = Callable[[Grey, Floats, np.random.Generator], Grey]  # of a part of a face, given its landmarks

_LEAST_FACE, _MOST_FACE = 7.0, 1.25  # height: pixels, and fraction of the height of the canvas
_VISIBLE = 0.4  # of a face that must lie inside the canvas to be labelled
_HEAD = 1.35  # axes of the ellipse of a head, hair and ears included, relative to the box of its face
_ATTEMPTS = 8  # at a free place for a face


@dataclass(frozen=True, eq=False)
class Photograph:
    """A grey image with its faces.

    image: uint8 [height, width].
    boxes: float32 [n, 4], left, top, right, bottom in pixels. landmarks: float32 [n, 5, 2].
    certain: bool [n]; whether a face counts as one. The others are neither faces nor background.
    """

    image: Grey
    boxes: Floats
    landmarks: Floats
    certain: NDArray[np.bool_]

    @property
    def main(self) -> int:
        """The number of the largest face that is certain."""
        area = np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1)
        return int(np.argmax(np.where(self.certain, area, -1)))

    def alone(self) -> Photograph:
        """The photograph with the label of its main face only."""
        kept = [self.main]
        return Photograph(self.image, self.boxes[kept], self.landmarks[kept], self.certain[kept])


@dataclass(frozen=True)
class Placed:
    """How the main face of a photograph lies on a canvas: height of its box, pixels; rotation, radians; mirrored."""

    height: float
    rotation: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True)
class Studio:
    """Photographs with faces and images without any, from which canvases are composed.

    confusing: parts of images without faces that a detector took for faces; they are pasted onto canvases.
    """

    faces: Sequence[Photograph]
    backgrounds: Sequence[Grey]
    confusing: Sequence[Grey] = ()

    def canvas(self, size: tuple[int, int], rng: np.random.Generator) -> Photograph:
        """A random canvas; size: width and height."""
        kind = rng.random()
        if kind < 0.08:
            canvas = Canvas(self.background(size, rng))
        elif kind < 0.33:
            canvas = self._filled(size, rng)
        elif kind < 0.5:
            canvas = self._mosaic(size, rng)
        else:
            canvas = self._pasted(size, rng)
        for n in range(len(canvas.boxes)):
            canvas.disturb(n, rng)
        if rng.random() < 0.5:
            for _ in range(int(rng.integers(1, 5))):
                canvas.distract(self.background(size, rng), rng)
        for _ in range(int(rng.integers(0, 5)) if self.confusing else 0):
            canvas.distract(self.confusing[int(rng.integers(len(self.confusing)))], rng, whole=True)
        return canvas.labelled(distortions.camera(canvas.image, rng))

    def background(self, size: tuple[int, int], rng: np.random.Generator) -> Grey:
        """A part of an image without faces, a smooth gradient, or one level."""
        kind = rng.random()
        if kind < 0.85 and self.backgrounds:
            return _part(self.backgrounds[int(rng.integers(len(self.backgrounds)))], size, rng)
        if kind < 0.95:
            coarse = rng.integers(0, 256, (int(rng.integers(2, 9)), int(rng.integers(2, 9)))).astype(np.uint8)
            return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        return np.full((size[1], size[0]), rng.integers(0, 256), np.uint8)

    def _photograph(self, rng: np.random.Generator) -> Photograph:
        return self.faces[int(rng.integers(len(self.faces)))]

    def _pasted(self, size: tuple[int, int], rng: np.random.Generator) -> Canvas:
        canvas = Canvas(self.background(size, rng))
        for _ in range(int(rng.choice([1, 2, 3, 6, 12], p=[0.4, 0.25, 0.15, 0.12, 0.08]))):
            largest = _MOST_FACE * size[1] if not canvas.boxes else 0.4 * size[1]
            height = math.exp(rng.uniform(math.log(_LEAST_FACE), math.log(largest)))
            canvas.paste(self._photograph(rng), random_pose(height, rng), rng)
        return canvas

    def _filled(self, size: tuple[int, int], rng: np.random.Generator) -> Canvas:
        canvas = Canvas(self.background(size, rng))
        height = size[1] * rng.uniform(0.25, _MOST_FACE)
        canvas.paste(self._photograph(rng), random_pose(height, rng), rng, whole=True)
        return canvas

    def _mosaic(self, size: tuple[int, int], rng: np.random.Generator) -> Canvas:
        canvas = Canvas(self.background(size, rng))
        rows = int(rng.integers(2, 6))
        side = size[1] / rows
        for row in range(rows):
            for column in range(math.ceil(size[0] / side)):
                if rng.random() < 0.3:
                    continue
                tile = np.array([column, row, column + 1, row + 1]) * side
                height = side * rng.uniform(0.35, 0.7)
                canvas.paste(self._photograph(rng), random_pose(height, rng, most=0.2), rng, tile=tile)
        return canvas


def random_pose(height: float, rng: np.random.Generator, *, most: float = 0.0) -> Placed:
    """Mostly upright faces; one in four is rotated by up to 50 degrees. most: limit of the rotation, 0 for none."""
    rotation = rng.uniform(-0.87, 0.87) if rng.random() < 0.25 else rng.normal(0, 0.12)
    if most:
        rotation = float(np.clip(rotation, -most, most))
    return Placed(height, float(rotation), bool(rng.random() < 0.5))


class Canvas:
    """An image that photographs are pasted onto, and the faces on it."""

    def __init__(self, image: Grey) -> None:
        self.image = image.copy()
        self.boxes: list[Floats] = []
        self.landmarks: list[Floats] = []
        self.certain: list[bool] = []

    def paste(
        self,
        photograph: Photograph,
        placed: Placed,
        rng: np.random.Generator,
        *,
        whole: bool = False,
        tile: NDArray[np.float64] | None = None,
        centre: tuple[float, float] | None = None,
    ) -> bool:
        """Paste a photograph, by its main face; False if no free place was found.

        Args:
            whole: the whole photograph is pasted; otherwise, at random, that or the head alone with a soft border.
            tile: left, top, right, bottom of the only part of the canvas that is painted.
            centre: of the main face; default: random.
        """
        height, width = self.image.shape
        for _ in range(_ATTEMPTS):
            if centre is not None:
                middle = np.array(centre)
            elif tile is not None:
                middle = (tile[:2] + tile[2:]) / 2 + rng.uniform(-0.1, 0.1, 2) * (tile[2:] - tile[:2])
            else:
                middle = np.array([rng.uniform(0, width), rng.uniform(0, height)])
                if placed.height > 0.6 * height:
                    middle = np.array([width, height]) / 2 + (middle - np.array([width, height]) / 2) * 0.5
            transform = _transform(photograph, placed, middle)
            boxes, landmarks = _moved(photograph, transform, placed)
            if whole or tile is not None or centre is not None or self._free(boxes[photograph.main]):
                break
        else:
            return False
        head = not whole and tile is None and rng.random() < 0.5
        mask = _mask(photograph, transform, self.image.shape, head=head, tile=tile)
        matrix, source = _scaled(photograph, transform), _sharpness(photograph.image, transform)
        pasted = np.asarray(cv2.warpAffine(source, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)
        if head and rng.random() < 0.5:  # the same light as its surroundings
            pasted = distortions.expose(pasted, 1.0, rng.uniform(0.6, 1.2))
        weight = mask.astype(np.float32) / 255
        self.image = (self.image * (1 - weight) + pasted * weight + 0.5).astype(np.uint8)
        self._cover(mask)
        for n in range(len(boxes)):
            if head and n != photograph.main:
                continue
            visible = _visible(boxes[n], mask)
            if visible > 0.02:
                self.boxes.append(boxes[n])
                self.landmarks.append(landmarks[n])
                self.certain.append(bool(photograph.certain[n]) and visible >= _VISIBLE)
        return True

    def distract(self, texture: Grey, rng: np.random.Generator, *, whole: bool = False) -> None:
        """Paste a texture in the outline of a head or of a photograph, where there is no face.

        Without such patches a detector learns that what has the outline of a pasted head is a face.

        whole: the texture is reduced or enlarged to a rectangle; otherwise a part of it is pasted, of the same scale.
        """
        height, width = self.image.shape
        tall = math.exp(rng.uniform(math.log(_LEAST_FACE), math.log(0.8 * height)))
        half = np.array([tall * rng.uniform(0.55, 1.0), tall]) / 2
        centre = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        reach = 1.2 * float(np.hypot(*half))
        surroundings = np.concatenate([centre - reach, centre + reach]).astype(np.float32)
        if any(_overlap(surroundings, box) > 0 for box in self.boxes):
            return
        mask, angle = np.zeros_like(self.image), float(np.degrees(rng.normal(0, 0.4)))
        place = (float(centre[0]), float(centre[1])), (2 * float(half[0]), 2 * float(half[1])), angle
        if whole:
            texture = _stretched(texture, np.asarray(cv2.boxPoints(place), np.float32), (width, height))
        if whole or rng.random() < 0.3:
            cv2.fillPoly(mask, [np.round(cv2.boxPoints(place)).astype(np.int32)], 255)
        else:
            cv2.ellipse(mask, place, 255, -1)
            mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.4, 0.05 * tall)), np.uint8)
        weight = mask.astype(np.float32) / 255
        self.image = (self.image * (1 - weight) + texture * weight + 0.5).astype(np.uint8)

    def disturb(self, n: int, rng: np.random.Generator) -> None:
        """Hide a part of face n, or light it from one side, at random."""
        left, top, right, bottom = self.boxes[n].tolist()
        if not self.certain[n]:
            return
        if rng.random() < 0.12:
            self.image = self._locally(n, distortions.hat, rng)
        if rng.random() < 0.1:
            self.image = self._locally(n, distortions.cover, rng)
        if rng.random() < 0.12:
            centre, width = ((left + right) / 2, (top + bottom) / 2), (right - left) * rng.uniform(0.3, 1.0)
            angle = rng.choice([0, np.pi]) + rng.normal(0, 0.5)
            self.image = distortions.side_light(self.image, centre, width, angle, rng.uniform(0.1, 0.6))

    def labelled(self, image: Grey) -> Photograph:
        """The canvas with another image of the same size."""
        boxes = np.array(self.boxes, np.float32).reshape(-1, 4)
        landmarks = np.array(self.landmarks, np.float32).reshape(-1, 5, 2)
        return Photograph(image, boxes, landmarks, np.array(self.certain, bool))

    def _locally(self, n: int, distortion: Hiding, rng: np.random.Generator) -> Grey:
        """A distortion of the surroundings of face n alone, which is faster than of the whole canvas."""
        box = self.boxes[n]
        spare = 1.5 * float(box[3] - box[1])
        low = np.maximum(np.floor(box[:2] - spare), 0).astype(int)
        high = np.minimum(np.ceil(box[2:] + spare), self.image.shape[::-1]).astype(int)
        if np.any(high - low < 4):
            return self.image
        region = np.s_[low[1] : high[1], low[0] : high[0]]
        image = self.image.copy()
        image[region] = distortion(np.ascontiguousarray(image[region]), self.landmarks[n] - low, rng)
        return image

    def _free(self, box: Floats) -> bool:
        return all(_overlap(box, other) < 0.05 for other in self.boxes)

    def _cover(self, mask: Grey) -> None:
        """Faces that something was pasted over count no longer, or no longer for certain."""
        kept = []
        for n, box in enumerate(self.boxes):
            hidden = _visible(box, mask, of_inside=True)
            if hidden < 0.9:
                kept.append(n)
                self.certain[n] = self.certain[n] and hidden < 0.3
        self.boxes, self.landmarks = [self.boxes[n] for n in kept], [self.landmarks[n] for n in kept]
        self.certain = [self.certain[n] for n in kept]


def _transform(photograph: Photograph, placed: Placed, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the photograph to the canvas, float64 [2, 3]."""
    box = photograph.boxes[photograph.main].astype(np.float64)
    scale = placed.height / max(float(box[3] - box[1]), 1.0)
    cosine, sine = scale * math.cos(placed.rotation), scale * math.sin(placed.rotation)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    if placed.mirrored:
        turn[:, 0] *= -1
    return np.column_stack([turn, centre - turn @ ((box[:2] + box[2:]) / 2)])


def _moved(photograph: Photograph, transform: NDArray[np.float64], placed: Placed) -> tuple[Floats, Floats]:
    """Boxes and landmarks on the canvas. The box of a rotated face is that of the ellipse inside its upright box."""
    centres = (photograph.boxes[:, :2] + photograph.boxes[:, 2:]) / 2 @ transform[:, :2].T + transform[:, 2]
    half = (photograph.boxes[:, 2:] - photograph.boxes[:, :2]) / 2
    reach = np.sqrt(half**2 @ (transform[:, :2] ** 2).T)
    landmarks = photograph.landmarks @ transform[:, :2].T + transform[:, 2]
    if placed.mirrored:
        landmarks = landmarks[:, [1, 0, 2, 4, 3]]
    return np.hstack([centres - reach, centres + reach]).astype(np.float32), landmarks.astype(np.float32)


def _mask(
    photograph: Photograph,
    transform: NDArray[np.float64],
    shape: tuple[int, ...],
    *,
    head: bool,
    tile: NDArray[np.float64] | None,
) -> Grey:
    """Where the canvas is painted, uint8 [height, width]; soft around a head."""
    mask = np.zeros(shape, np.uint8)
    height, width = photograph.image.shape
    if head:
        box = photograph.boxes[photograph.main]
        centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * _HEAD
        angle = np.linspace(0, 2 * np.pi, 40)
        outline = centre + np.stack([np.cos(angle) * half[0], np.sin(angle) * half[1] - 0.08 * half[1]], axis=1)
    else:
        outline = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    outline = outline @ transform[:, :2].T + transform[:, 2]
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 255)
    if head:
        scale = math.sqrt(abs(np.linalg.det(transform[:, :2])))
        reach = max(0.4, 0.05 * scale * float(half.max()))
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), reach), np.uint8)
    if tile is not None:
        inside = np.zeros_like(mask)
        left, top, right, bottom = np.round(tile).astype(int).tolist()
        inside[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 255
        mask &= inside
    return mask


def _reduction(transform: NDArray[np.float64]) -> int:
    scale = math.sqrt(abs(float(np.linalg.det(transform[:, :2]))))
    return max(1, int(1 / max(scale, 1e-6)))


def _sharpness(image: Grey, transform: NDArray[np.float64]) -> Grey:
    """The image reduced by a whole number without aliasing, where the transform reduces it."""
    factor = _reduction(transform)
    if factor == 1:
        return image
    size = (max(1, image.shape[1] // factor), max(1, image.shape[0] // factor))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _scaled(photograph: Photograph, transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """The transform from the reduced image, for pixel centres as OpenCV counts them."""
    factor = _reduction(transform)
    height, width = photograph.image.shape
    small = np.array([max(1, width // factor), max(1, height // factor)])
    matrix = transform[:, :2] * (np.array([width, height]) / small)
    return np.column_stack([matrix, matrix @ np.full(2, 0.5) + transform[:, 2] - 0.5])


def _stretched(texture: Grey, corners: Floats, size: tuple[int, int]) -> Grey:
    """An image of a size (width, height) with a texture reduced or enlarged to a rectangle.

    corners: of the rectangle: left lower, left upper, right upper, ...
    """
    factor = max(1, int(min(texture.shape) / max(float(np.linalg.norm(corners[1] - corners[0])), 1.0)))
    small = cv2.resize(texture, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    height, width = small.shape
    matrix = cv2.getAffineTransform(np.array([[0, height], [0, 0], [width, 0]], np.float32), corners[:3])
    return np.asarray(cv2.warpAffine(small, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _visible(box: Floats, mask: Grey, *, of_inside: bool = False) -> float:
    """Fraction of a box that a mask covers; of_inside: of its part inside the canvas."""
    height, width = mask.shape
    left, top, right, bottom = np.round(box).astype(int).tolist()
    part = mask[max(top, 0) : max(min(bottom, height), 0), max(left, 0) : max(min(right, width), 0)]
    area = part.size if of_inside else max((right - left) * (bottom - top), 1)
    return float((part > 127).sum()) / max(area, 1)


def _overlap(one: Floats, other: Floats) -> float:
    """Intersection of two boxes relative to the smaller one."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    smaller = min(float(np.prod(one[2:] - one[:2])), float(np.prod(other[2:] - other[:2])))
    return float(np.prod(np.maximum(sides, 0))) / max(smaller, 1.0)


def _part(image: Grey, size: tuple[int, int], rng: np.random.Generator) -> Grey:
    """A random part of an image at a random scale, mirrored at random."""
    least = max(size[0] / image.shape[1], size[1] / image.shape[0])
    scale = least * math.exp(rng.uniform(0, math.log(2.5)))
    width, height = (
        max(1, min(image.shape[1], round(size[0] / scale))),
        max(1, min(image.shape[0], round(size[1] / scale))),
    )
    x, y = rng.integers(image.shape[1] - width + 1), rng.integers(image.shape[0] - height + 1)
    part = image[y : y + height, x : x + width]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
