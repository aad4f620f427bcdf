"""OpenCV's bundled frontal-face cascade: needs no weights, finds frontal faces only, without landmarks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from emofuse.errors import WeightsError
from emofuse.faces.detector import DETECTORS, Face, shrink, suppress
from emofuse.media.images import Image, check_rgb

CASCADE = "haarcascade_frontalface_alt2.xml"
LONG_SIDE = 640
CERTAINTY = 55.0  # weight of the last stage: true faces 55 to 57.5, false positives below 54.8
SPREAD = 0.4


class Haar:
    """The cascade; its score is a logistic function of the weight of the last stage, 0.5 where false positives begin.

    Raises:
        WeightsError: this OpenCV has no cascade, as from version 5 on.
        ShapeError: on a call, the image is not uint8 [height, width, 3].
    """

    identity = "haar"
    colour = True

    def __init__(self) -> None:
        folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
        path = Path(folder) / CASCADE
        if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
            raise WeightsError(
                f"Haar: OpenCV {cv2.__version__} has no {CASCADE}; install 'opencv-python-headless<5', or use YuNet."
            )
        self._cascade = cv2.CascadeClassifier(str(path))

    def __call__(self, image: Image) -> list[Face]:
        """The faces of an image, best first, without landmarks."""
        check_rgb(image, "face detection")
        scale = min(1.0, LONG_SIDE / max(image.shape[:2]))
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        grey = cv2.cvtColor(shrink(image, height, width), cv2.COLOR_RGB2GRAY)  # equalised it finds fewer
        found, _, weights = self._cascade.detectMultiScale3(
            grey, scaleFactor=1.1, minNeighbors=3, minSize=(24, 24), outputRejectLevels=True
        )
        boxes = np.asarray(found, np.float32).reshape(-1, 4)
        scores = 1 / (1 + np.exp((CERTAINTY - np.asarray(weights, np.float32).reshape(-1)) / SPREAD))
        kept = suppress(boxes, scores, iou=0.3)
        back = np.tile(np.array([image.shape[1] / width, image.shape[0] / height], np.float32), 2)
        return [Face(boxes[n] * back, float(scores[n])) for n in kept if scores[n] >= 0.5]


DETECTORS.add("haar", lambda weights, engine: Haar())
