"""Finds the faces of successive frames of one video, mostly by searching small regions around the known ones.

The whole frame is searched while there is no face, about every `SEARCH_SECONDS`, at cuts, and when a face is no longer
found in its region. A face that joins others is found with a delay of at most `SEARCH_SECONDS` and half the time
between two frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emofuse.core.time import ticks
from emofuse.faces.cuts import Thumbnail, is_cut
from emofuse.faces.detector import REGION_PIXELS, Detector, Face, box_iou, region_around, shrink, suppress
from emofuse.media.images import Image

SEARCH_SECONDS = 0.4
MOST_REGIONS = 16  # of a frame; where more faces are known, the whole frame is searched every time
_SAME_IOU = 0.4  # boxes that overlap more show the same face
_REACH = 1.0  # distance in sizes of the face, plus the logarithm of the ratio of sizes, to be the expected face


@dataclass(frozen=True)
class _Known:
    face: Face
    found_at: int


@dataclass(frozen=True, eq=False)
class _Frame:
    start: int
    shape: tuple[int, ...]
    thumbnail: Thumbnail


class FaceSearch:
    """The faces of one video, frame by frame. What is found depends on the frames alone; no image is kept."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._known: list[_Known] = []  # largest first
        self._last: _Frame | None = None
        self._searched_at = 0  # start of the last frame that was searched as a whole

    def push(self, start: int, image: Image, thumbnail: Thumbnail) -> list[Face]:
        """The faces of the next frame, best first.

        Args:
            start: the frame's time in ticks, after that of the frame before.
            image: RGB or luma, as the detector takes it.
            thumbnail: of the frame, by which cuts are noticed.
        """
        frame = _Frame(start, image.shape, thumbnail)
        due = self._is_due(frame)
        found: list[Face] = []
        for known in self._known[:MOST_REGIONS]:
            face = self._in_region(image, known.face)
            if face is not None and not _is_among(face, found):
                found.append(face)
            else:  # only once, so that a person who has left costs no more than a region for a while
                due |= self._last is not None and known.found_at == self._last.start
        if due:
            self._searched_at = start
            found += [face for face in self._detector(image) if not _is_among(face, found)]
        boxes, scores = np.array([f.box for f in found]).reshape(-1, 4), np.array([f.score for f in found])
        faces = [found[n] for n in suppress(boxes, scores, iou=_SAME_IOU)]
        missing = [
            k for k in self._known if start - k.found_at < ticks(SEARCH_SECONDS) and not _is_among(k.face, faces)
        ]
        self._known = sorted([*(_Known(f, start) for f in faces), *missing], key=lambda k: -_size(k.face))
        self._last = frame
        return faces

    def _is_due(self, frame: _Frame) -> bool:
        """Whether the whole frame must be searched; forgets the known faces where the shot is another one."""
        if self._last is None:
            return True
        if frame.shape != self._last.shape or is_cut(self._last.thumbnail, frame.thumbnail):
            self._known = []
            return True
        if not any(known.found_at == self._last.start for known in self._known) or len(self._known) > MOST_REGIONS:
            return True
        # The frame that is nearest to the interval is searched.
        return frame.start - self._searched_at + (frame.start - self._last.start) // 2 >= ticks(SEARCH_SECONDS)

    def _in_region(self, image: Image, face: Face) -> Face | None:
        """An expected face, found in a region of the image around it."""
        region, corner = region_around(image, face.box)
        ratio = min(1.0, REGION_PIXELS / max(region.shape[:2]))
        height, width = (max(1, round(n * ratio)) for n in region.shape[:2])
        small = np.ascontiguousarray(shrink(region, height, width))
        scale = np.array([region.shape[1] / width, region.shape[0] / height], np.float32)
        found = [_placed(f, scale, corner) for f in self._detector(small)]
        best = min(found, key=lambda f: _apart(f, face), default=None)
        return None if best is None or _apart(best, face) > _REACH else best


def _placed(face: Face, scale: np.ndarray, shift: np.ndarray) -> Face:
    """A face of a reduced region in pixels of the image."""
    box = np.concatenate([face.box[:2] * scale + shift, face.box[2:] * scale])
    return Face(box, face.score, None if face.landmarks is None else face.landmarks * scale + shift)


def _is_among(face: Face, others: list[Face]) -> bool:
    return bool(others) and bool(box_iou(face.box, np.array([f.box for f in others])).max() > _SAME_IOU)


def _apart(one: Face, other: Face) -> float:
    sizes = _size(one), _size(other)
    shift = one.box[:2] + one.box[2:] / 2 - other.box[:2] - other.box[2:] / 2
    return float(np.linalg.norm(shift) / min(sizes) + abs(np.log(sizes[0] / sizes[1])))


def _size(face: Face) -> float:
    return max(float(np.sqrt(max(face.box[2] * face.box[3], 0))), 1e-3)
