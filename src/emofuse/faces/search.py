"""Finds the faces of successive frames of one video, mostly by searching small regions around the known ones.

The whole frame is searched about every `SEARCH_SECONDS`, twice as often while there is no face, at cuts, and when a
face is no longer found in its region. A face that joins others is found with a delay of at most `SEARCH_SECONDS` and
half the time between two frames, a face that comes alone with half that delay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emofuse.core.time import ticks
from emofuse.faces.cuts import Thumbnail, is_cut
from emofuse.faces.detector import Detector, Face, box_iou, region_around
from emofuse.media.images import Image

SEARCH_SECONDS = 0.4
_INTERVAL = ticks(SEARCH_SECONDS)
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
        faces: list[Face] = []
        if due := self._is_due(frame):
            faces += self._detector(image)
        lost = self._follow(image, faces)
        if lost and not due:
            faces += [face for face in self._detector(image) if not _is_among(face, faces)]
        if due or lost:
            self._searched_at = start
        faces.sort(key=lambda face: -face.score)
        waiting = [k for k in self._known if start - k.found_at < _INTERVAL and not _is_among(k.face, faces)]
        self._known = sorted([*(_Known(f, start) for f in faces), *waiting], key=lambda known: -_size(known.face))
        self._last = frame
        return faces

    def _follow(self, image: Image, faces: list[Face]) -> bool:
        """Search the known faces that are not among `faces` in regions, and add them; returns whether one is lost.

        A face that was lost before is searched for a while, but not lost again.
        """
        lost = False
        for known in self._known[:MOST_REGIONS]:
            if _is_among(known.face, faces):
                continue
            face = self._in_region(image, known.face)
            if face is not None and not _is_among(face, faces):
                faces.append(face)
            else:
                lost |= self._last is not None and known.found_at == self._last.start
        return lost

    def _is_due(self, frame: _Frame) -> bool:
        """Whether the whole frame must be searched; forgets the known faces where the shot is another one."""
        if self._last is None:
            return True
        if frame.shape != self._last.shape or is_cut(self._last.thumbnail, frame.thumbnail):
            self._known = []
            return True
        if len(self._known) > MOST_REGIONS:
            return True
        detected = any(known.found_at == self._last.start for known in self._known)
        # The frame that is nearest to the interval is searched.
        passed = frame.start - self._searched_at + (frame.start - self._last.start) // 2
        return passed >= (_INTERVAL if detected else _INTERVAL // 2)

    def _in_region(self, image: Image, face: Face) -> Face | None:
        """An expected face, found in a region of the image around it."""
        region = region_around(image, face.box)
        found = self._detector(region.image)
        placed = [
            Face(region.boxes(f.box), f.score, None if f.landmarks is None else region.points(f.landmarks))
            for f in found
        ]
        best = min(placed, key=lambda other: _apart(other, face), default=None)
        return None if best is None or _apart(best, face) > _REACH else best


def _is_among(face: Face, others: list[Face]) -> bool:
    return bool(others) and bool(box_iou(face.box, np.array([f.box for f in others])).max() > _SAME_IOU)


def _apart(one: Face, other: Face) -> float:
    sizes = _size(one), _size(other)
    shift = one.box[:2] + one.box[2:] / 2 - other.box[:2] - other.box[2:] / 2
    return float(np.linalg.norm(shift) / min(sizes) + abs(np.log(sizes[0] / sizes[1])))


def _size(face: Face) -> float:
    return max(float(np.sqrt(max(face.box[2] * face.box[3], 0))), 1e-3)
