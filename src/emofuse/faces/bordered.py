"""A face detector for photographs, in which a face may fill the image."""

from __future__ import annotations

import numpy as np

from emofuse.faces.detector import Detector, Face
from emofuse.media.images import Image

_BORDER = 0.4  # of the long side, on all sides


class BorderedDetector:
    """Searches an image in which a detector finds no face once more with a black border.

    Detectors miss some faces that reach from border to border, as in data sets of cropped faces.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.identity = f"{detector.identity}:bordered"
        self.colour, self.certain_score = detector.colour, detector.certain_score
        self.head_model = detector.head_model

    def __call__(self, image: Image) -> list[Face]:
        """The faces of an image, best first."""
        if faces := self._detector(image):
            return faces
        border = round(_BORDER * max(image.shape[:2]))
        framed = np.pad(image, ((border, border), (border, border), *((0, 0),) * (image.ndim - 2)))
        return [_moved(face, -border) for face in self._detector(framed)]


def _moved(face: Face, by: int) -> Face:
    box = face.box + np.array([by, by, 0, 0], np.float32)
    return Face(box, face.score, None if face.landmarks is None else face.landmarks + by)
