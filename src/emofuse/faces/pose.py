"""How a head is turned, estimated from the five landmarks of its face.

A rigid head of average proportions is fitted to the landmarks under weak perspective, in closed form: the affine map of
least squared error, then the scaled rotation that is nearest to it. People differ from the average and landmarks are
coarse, so angles are approximate; docs/results.md says how far they agree with those of a dense face mesh.

In a video, a face that hardly moves has the pose of the frame before every other time: a search of the face alone takes
as long as finding it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.time import ticks
from emofuse.errors import ShapeError
from emofuse.faces.detector import Detector, Face, box_iou, region_around, resized
from emofuse.media.images import Image

# Eyes, nose tip and corners of the mouth of an average adult, in mm from the nose tip: to the right of the image and
# downwards. The nose tip is in front of the plane of the others, by the depth in `HeadModel`.
_EYE, _MOUTH = (31.5, -37.0), (26.0, 27.0)

_HELD = ticks(0.25)  # for which a pose holds at most
_SAME_IOU = 0.4  # boxes that overlap more show the same face
_MOVED = 0.02  # root mean square of the landmarks' moves, in longer sides of the box, from which a pose does not hold


class HeadPose(NamedTuple):
    """Angles of a head in degrees, as its image shows it; 0 if it faces the camera and is upright.

    yaw: positive if the face is turned to the right of the image, which is the person's left; -90 to 90.
    pitch: positive if it is turned up; NaN where the landmarks do not show it.
    roll: positive if the head is tilted clockwise in the image; -180 to 180.

    The head is turned by pitch first, then by yaw, then by roll. So yaw and pitch are where the face points to in the
    image turned upright, turning the image changes the roll alone, and mirroring it the signs of yaw and roll.
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True)
class HeadModel:
    """The landmarks of an average head as a detector places them.

    nose_depth: how far the nose tip is in front of eyes and mouth, in mm; less for a detector that displaces it less
        than a turned head does.
    shows_pitch: whether the landmarks move as heads nod.
    close_up: side in pixels of an image of the face alone in which the detector finds landmarks that show the pose
        better; None to use those that it found first.
    """

    nose_depth: float = 36.0
    shows_pitch: bool = True
    close_up: int | None = None

    @property
    def points(self) -> NDArray[np.float64]:
        """Float64 [5, 3] in the order of `Face.landmarks`: x to the right of the image, y down, z to the camera; mm."""
        eye, mouth = (np.array([*point, 0.0]) for point in (_EYE, _MOUTH))
        mirror = np.array([-1, 1, 1])
        return np.stack([eye * mirror, eye, np.array([0, 0, self.nose_depth]), mouth * mirror, mouth])


def pose_of(face: Face, image: Image, detector: Detector) -> HeadPose | None:
    """The pose of a head in an image, RGB or luma as its detector takes it; None if that finds no landmarks."""
    landmarks = face.landmarks
    if landmarks is None:
        return None
    if (side := detector.head_model.close_up) is not None:
        found = detector(_close_up(image, face, side))
        landmarks = found[0].landmarks if found else None
    return None if landmarks is None else head_pose(landmarks, detector.head_model)


class HeadPoses:
    """The poses of the heads in successive frames of one video; they depend on the frames alone, and no image is kept.

    Where landmarks of faces alone are searched for, a face that has hardly moved since the frame before has the pose
    found there, unless that was taken over itself or is older than a quarter of a second.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._found_at = 0
        self._found: list[tuple[Face, HeadPose]] = []  # in the last frame, by a search

    def push(self, start: int, image: Image, faces: Sequence[Face]) -> list[HeadPose | None]:
        """The poses of the faces of the next frame, as of `pose_of`.

        Args:
            start: the frame's time in ticks.
        """
        recent = self._found if start - self._found_at <= _HELD else []
        poses, found = list[HeadPose | None](), list[tuple[Face, HeadPose]]()
        for face in faces:
            pose = next((pose for other, pose in recent if _has_hardly_moved(face, other)), None)
            if pose is None and (pose := pose_of(face, image, self._detector)) is not None:
                found.append((face, pose))
            poses.append(pose)
        held = bool(found) and self._detector.head_model.close_up is not None
        self._found_at, self._found = start, found if held else []
        return poses


def _has_hardly_moved(face: Face, before: Face) -> bool:
    if face.landmarks is None or before.landmarks is None or box_iou(face.box, before.box[None])[0] < _SAME_IOU:
        return False
    moves = (face.landmarks - face.landmarks.mean(axis=0)) - (before.landmarks - before.landmarks.mean(axis=0))
    return float(np.sqrt((moves**2).sum(axis=1).mean())) < _MOVED * float(face.box[2:].max())


def _close_up(image: Image, face: Face, side: int) -> Image:
    """The square around the box of a face, cut at the border of the image, scaled to `side` pixels."""
    alone = region_around(image, face.box, size=1.0, pixels=side).image
    height, width = (round(length * side / max(alone.shape[:2])) for length in alone.shape[:2])
    return resized(alone, max(height, 1), max(width, 1))


def head_pose(landmarks: NDArray[np.floating], model: HeadModel) -> HeadPose:
    """The pose of a head.

    Args:
        landmarks: float [5, 2] in pixels, in the order of `Face.landmarks`.
        model: of the detector that found them.
    Raises:
        ShapeError: the landmarks have another shape.
    Source: the first step of POSIT (DeMenthon and Davis, 1995); the nearest rotation by singular values.

    >>> [round(angle) for angle in head_pose(HeadModel().points[:, :2], HeadModel())]
    [0, 0, 0]
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2):
        raise ShapeError(f"head pose: landmarks have shape {points.shape}; give five (x, y).")
    affine = (_inverse(model) @ (points - points.mean(axis=0))).T
    left, _, right = np.linalg.svd(affine, full_matrices=False)
    across, down = left @ right  # the first two rows of the rotation
    forward = np.cross(across, down)
    yaw = np.arctan2(-forward[0], np.hypot(across[0], down[0]))
    pitch = np.arctan2(forward[1], forward[2]) if model.shows_pitch else np.nan
    return HeadPose(*np.degrees([yaw, pitch, np.arctan2(down[0], across[0])]).tolist())


@lru_cache(maxsize=8)
def _inverse(model: HeadModel) -> NDArray[np.float64]:
    """Maps centred landmarks to the affine map from the model's points that fits them best, float64 [3, 5]."""
    return np.linalg.pinv(model.points - model.points.mean(axis=0))
