"""Crops of the mouth from luma, for frames between those in which faces are searched.

Of each frame only a small square around the mouth is kept (`MouthArea`). It is cut to the crop once the next detection
is known, from which the place of the crop in between is interpolated. So mouths are followed fast enough to show
speech, while faces are detected a few times per second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.faces.crop import IDENTITY_TEMPLATE, similarity
from emofuse.faces.detector import Face
from emofuse.media.images import Image
from emofuse.media.video import Frame

SIZE = 24  # side of a crop in pixels
_CENTRE, _SIDE = (0.5, 0.8), 0.47  # of the crop, as fractions of the square that faces are aligned to
_REACH = 1.8  # side of the kept square relative to the crop: the mouth may move until the next detection
_MOST_PIXELS = 80  # side of the kept square; larger ones are reduced
_FROM_BOX = ((0.28, 0.36), (0.72, 0.36), (0.5, 0.58), (0.34, 0.79), (0.66, 0.79))  # landmarks where there are none

Points = NDArray[np.float64]
Placement = NDArray[np.float64]  # [2, 3]: where a pixel of the crop is in the frame
_TEMPLATE = (np.array(IDENTITY_TEMPLATE) - _CENTRE + _SIDE / 2) / _SIDE * SIZE


@dataclass(frozen=True, eq=False)
class MouthArea:
    """The part of a frame that is kept of it: a rectangle in pixels, which is reduced by a whole factor."""

    left: int
    top: int
    width: int
    height: int
    factor: int

    @classmethod
    def around(cls, placement: Placement, size: tuple[int, int]) -> MouthArea | None:
        """The surroundings of a mouth in frames of a size; None where they have no part in it."""
        (a, _, x), (b, _, y) = placement.tolist()
        half = _REACH * SIZE / 2 * math.hypot(a, b)
        # The columns of a similarity are orthogonal, so the centre follows from the first one.
        x, y = x + (a - b) * SIZE / 2, y + (b + a) * SIZE / 2
        left, top = max(math.floor(x - half), 0), max(math.floor(y - half), 0)
        right, bottom = min(math.ceil(x + half), size[0]), min(math.ceil(y + half), size[1])
        factor = -(-max(right - left, bottom - top, 1) // _MOST_PIXELS)
        width, height = ((side - side % factor) for side in (right - left, bottom - top))
        return None if min(width, height) < 2 * factor else cls(left, top, width, height, factor)

    @property
    def kept(self) -> tuple[int, int]:
        """Width and height after reduction."""
        return self.width // self.factor, self.height // self.factor

    def luma(self, frame: Frame) -> Image:
        """What is kept of a frame, uint8 [height, width]."""
        luma = frame.luma_region((self.left, self.top, self.width, self.height), self.kept)
        return luma if luma.base is None else luma.copy()  # a part of the frame would keep all of it

    def crop(self, luma: Image, placement: Placement) -> Image:
        """The mouth in what was kept of a frame, uint8 [SIZE, SIZE]."""
        (a, c, x), (b, d, y) = placement.tolist()
        x, y = x + (a + c) / 2 - self.left, y + (b + d) / 2 - self.top  # OpenCV counts from pixel centres
        matrix = np.array([[a, c, x], [b, d, y]]) / self.factor
        matrix[:, 2] -= 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cut = cv2.warpAffine(luma, matrix, (SIZE, SIZE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cut, np.uint8)


def placed(face: Face) -> Placement:
    """Where the crop of a mouth lies: linear in the landmarks, so that placements can be interpolated."""
    return similarity(_TEMPLATE, landmarks_of(face))


def landmarks_of(face: Face) -> Points:
    """The landmarks of a face, or approximate ones of its box, float64 [5, 2]."""
    if face.landmarks is not None:
        return face.landmarks.astype(np.float64)
    return np.asarray(face.box[:2] + face.box[2:] * np.array(_FROM_BOX), np.float64)


@dataclass(frozen=True, eq=False)
class Mouths:
    """The mouth of one face at several times: ticks int64 [n] and crops uint8 [n, SIZE, SIZE]."""

    times: NDArray[np.int64]
    crops: Image


@dataclass(eq=False)
class _Known:
    """A face, and the surroundings of its mouth in the frames since it was found: their times and luma."""

    face: Face
    placement: Placement
    area: MouthArea | None
    times: list[int] = field(default_factory=list)
    kept: list[Image] = field(default_factory=list)


class MouthSampler:
    """Follows the mouths of all faces of one video. Frames keep their order; memory is that between two detections."""

    def __init__(self) -> None:
        self._known: list[_Known] = []
        self._found_at = 0
        self._size = (0, 0)

    def between(self, frame: Frame) -> None:
        """Take a frame in which faces are not searched."""
        for known in self._known if frame.size == self._size else ():
            if known.area is not None:
                known.times.append(frame.start)
                known.kept.append(known.area.luma(frame))

    def detected(self, frame: Frame, faces: list[Face]) -> list[Mouths | None]:
        """The mouth of each face that was found in a frame, in it and in the frames since the last detection."""
        before = self._known if frame.size == self._size else []
        self._known = [_known(face, frame.size) for face in faces]
        out = [self._mouths(frame, new, _same(new.face, before)) for new in self._known]
        self._found_at, self._size = frame.start, frame.size
        return out

    def _mouths(self, frame: Frame, new: _Known, old: _Known | None) -> Mouths | None:
        crops, times = list[Image](), list[int]()
        if old is not None and old.area is not None:
            times += old.times
            for start, luma in zip(old.times, old.kept, strict=True):
                part = (start - self._found_at) / (frame.start - self._found_at)
                crops.append(old.area.crop(luma, old.placement + part * (new.placement - old.placement)))
        if new.area is not None:
            times.append(frame.start)
            crops.append(new.area.crop(new.area.luma(frame), new.placement))
        return Mouths(np.array(times, np.int64), np.stack(crops)) if times else None


def _known(face: Face, size: tuple[int, int]) -> _Known:
    placement = placed(face)
    return _Known(face, placement, MouthArea.around(placement, size))


def _same(face: Face, known: list[_Known]) -> _Known | None:
    """The known face that this one continues: the nearest one, less than half a face away and of similar size."""
    best = min(known, key=lambda other: _apart(face, other.face), default=None)
    return None if best is None or _apart(face, best.face) > 0.5 else best


def _apart(one: Face, other: Face) -> float:
    size = max(float(np.sqrt(abs(one.box[2] * one.box[3]))), 1e-3)
    other_size = max(float(np.sqrt(abs(other.box[2] * other.box[3]))), 1e-3)
    shift = one.box[:2] + one.box[2:] / 2 - other.box[:2] - other.box[2:] / 2
    return float(np.linalg.norm(shift)) / size + abs(float(np.log(size / other_size)))
