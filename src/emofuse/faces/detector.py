"""Where the faces of one picture are: YuNet by ONNX Runtime, or OpenCV's Haar cascade where there are no weights.

Pictures are RGB uint8 [height, width, 3]. Boxes and landmarks are in pixels of the picture as it was given,
with pixel (0, 0) at the top left; they may reach beyond its border, as faces do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.errors import ShapeError, WeightsError
from emofuse.runtime import ONE_THREAD, Engine, OnnxNetwork

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

STRIDES = (8, 16, 32)
OUTPUTS = [f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps")]
HAAR_CASCADE = "haarcascade_frontalface_alt2.xml"
HAAR_LONG_SIDE = 640
HAAR_CERTAINTY = 55.0  # weight of the last stage: real faces 55 to 57.5, false alarms below 54.8
HAAR_SPREAD = 0.4
PADDED_TO = 32  # the coarsest stride: every map of the net then has a whole number of cells


@dataclass(frozen=True, eq=False)
class Face:
    """One detected face.

    box: float32 [4], left, top, width and height in pixels of the picture.
    score: how sure the detector is, 0 to 1; comparable within one detector only.
    landmarks: float32 [5, 2], (x, y) of the person's right eye (on the left of the picture), left eye,
        nose tip, right corner and left corner of the mouth; None where the detector gives none.

    Raises:
        ShapeError: box or landmarks have another shape.
    """

    box: Floats
    score: float
    landmarks: Floats | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", _fixed(self.box, (4,), "box"))
        object.__setattr__(self, "score", float(self.score))
        if self.landmarks is not None:
            object.__setattr__(self, "landmarks", _fixed(self.landmarks, (5, 2), "landmarks"))


class Detector(Protocol):
    """Finds faces; the list is sorted by falling score."""

    name: str

    def __call__(self, image: Image) -> list[Face]:
        """The faces of a picture, RGB uint8 [height, width, 3]."""
        ...


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

    boxes: float32 [n, 4] x, y, width, height; scores: float32 [n]. A box goes when its IoU with a kept,
    better one is above `iou`; of equal scores the earlier row is the better one.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        waiting = waiting[box_iou(boxes[best], boxes[waiting]) <= iou]
    return np.asarray(kept, np.int64)


class YuNet:
    """YuNet, a small convolutional detector with five landmarks, by ONNX Runtime.

    A model with a fixed input gets the picture fitted into it. For others the long side is brought down to
    `long_side` pixels (never up), the rest padded with black to a multiple of 32.

    Args:
        model: the ONNX file; outputs named as in OpenCV's model zoo.
        long_side: at 608 faces of 8 % of the height of a 720p picture are found, at 416 of 12 %, in half the time.
        engine: its device is used, with one thread: several threads may call the detector at once.
        min_score: faces below it are dropped.
        iou: of two faces that overlap more, the worse is dropped.
    Raises:
        WeightsError: the file is missing or is not a YuNet.
        ShapeError: on a call, the picture is not uint8 [height, width, 3].
    Source: Wu, Peng, Yu: YuNet, a tiny millisecond-level face detector (2023).
    """

    name = "yunet"

    def __init__(
        self,
        model: Path,
        *,
        engine: Engine = ONE_THREAD,
        long_side: int = 608,
        min_score: float = 0.6,
        iou: float = 0.3,
    ) -> None:
        self._network = _open(Path(model), engine)
        height, width = next(iter(self._network.inputs.values()))[2:]
        self._fixed = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        self.long_side, self._min_score, self._iou = long_side, min_score, iou

    def __call__(self, image: Image) -> list[Face]:
        """The faces of a picture, best first, with landmarks."""
        _check(image)
        small = self._fitted(image)
        height, width = small.shape[:2]
        pixels = np.zeros((1, 3, *(self._fixed or (_padded(height), _padded(width)))), np.float32)
        # The net wants BGR, 0 to 255. One channel after the other: transposing all at once takes seven times as long.
        for place, channel in zip((2, 1, 0), cv2.split(small), strict=True):
            pixels[0, place, :height, :width] = channel
        boxes, scores, landmarks = self._decoded(pixels)
        kept = suppress(boxes, scores, iou=self._iou)
        scale = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        return [Face(boxes[n] * np.tile(scale, 2), float(scores[n]), landmarks[n] * scale) for n in kept]

    def _fitted(self, image: Image) -> Image:
        height, width = image.shape[:2]
        scale = min(1.0, self.long_side / max(height, width))
        if self._fixed is not None:
            scale = min(scale, self._fixed[0] / height, self._fixed[1] / width)
        return shrunk(image, max(1, round(height * scale)), max(1, round(width * scale)))

    def _decoded(self, pixels: Floats) -> tuple[Floats, Floats, Floats]:
        """Boxes [n, 4], scores [n] and landmarks [n, 5, 2] above the smallest score, not yet suppressed."""
        found = dict(zip(OUTPUTS, self._network.run(OUTPUTS, pixels), strict=True))
        boxes, scores, landmarks = [], [], []
        for stride in STRIDES:
            likely = np.clip(found[f"cls_{stride}"][0, :, 0], 0, 1) * np.clip(found[f"obj_{stride}"][0, :, 0], 0, 1)
            score = np.sqrt(likely)
            cells = np.flatnonzero(score >= self._min_score)
            rows, columns = np.divmod(cells, pixels.shape[3] // stride)
            corner = np.stack([columns, rows], axis=1).astype(np.float32)
            box = found[f"bbox_{stride}"][0, cells]
            size = np.exp(box[:, 2:])
            boxes.append(np.hstack([corner + box[:, :2] - size / 2, size]) * stride)
            scores.append(score[cells])
            landmarks.append((found[f"kps_{stride}"][0, cells].reshape(-1, 5, 2) + corner[:, None]) * stride)
        return np.concatenate(boxes), np.concatenate(scores), np.concatenate(landmarks)


class Haar:
    """OpenCV's bundled frontal-face cascade: no weights needed, frontal faces only, no landmarks.

    Its score is a logistic function of the weight of the last stage, 0.5 where false alarms begin.

    Raises:
        WeightsError: this OpenCV has no cascades (version 5 has none).
        ShapeError: on a call, the picture is not uint8 [height, width, 3].
    Source: Viola, Jones (2001); Lienhart, Maydt (2002).
    """

    name = "haar"

    def __init__(self) -> None:
        self._cascade = cv2.CascadeClassifier(str(_cascade()))

    def __call__(self, image: Image) -> list[Face]:
        """The faces of a picture, best first, without landmarks."""
        _check(image)
        scale = min(1.0, HAAR_LONG_SIDE / max(image.shape[:2]))
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        grey = cv2.cvtColor(shrunk(image, height, width), cv2.COLOR_RGB2GRAY)  # equalised it finds fewer
        found, _, weights = self._cascade.detectMultiScale3(
            grey, scaleFactor=1.1, minNeighbors=3, minSize=(24, 24), outputRejectLevels=True
        )
        boxes = np.asarray(found, np.float32).reshape(-1, 4)
        scores = 1 / (1 + np.exp((HAAR_CERTAINTY - np.asarray(weights, np.float32).reshape(-1)) / HAAR_SPREAD))
        kept = suppress(boxes, scores, iou=0.3)
        back = np.tile(np.array([image.shape[1] / width, image.shape[0] / height], np.float32), 2)
        return [Face(boxes[n] * back, float(scores[n])) for n in kept if scores[n] >= 0.5]


def shrunk(image: Image, height: int, width: int) -> Image:
    """The picture brought down to a size without aliasing: halved as long as it goes, the rest linearly.

    Area means at a broken ratio cost ten times as much, and detectors see no difference.
    """
    while image.shape[0] >= 2 * height and image.shape[1] >= 2 * width:
        half = ((image.shape[1] + 1) // 2, (image.shape[0] + 1) // 2)
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_LINEAR), np.uint8)
    if image.shape[:2] != (height, width):
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return image


def _fixed(values: Floats, shape: tuple[int, ...], name: str) -> Floats:
    array = np.array(values, np.float32)  # always a copy, so nobody else can write to it
    if array.shape != shape:
        raise ShapeError(f"Face: {name} has shape {array.shape}; give {shape}.")
    array.flags.writeable = False
    return array


def _check(image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ShapeError(
            f"face detection: the picture has shape {image.shape} and type {image.dtype}; "
            "give RGB, uint8 [height, width, 3]."
        )


def _padded(side: int) -> int:
    return -(-side // PADDED_TO) * PADDED_TO


def _open(model: Path, engine: Engine) -> OnnxNetwork:
    remedy = "fetch it with `emofuse weights`, or use Haar()"
    network = OnnxNetwork(model, replace(engine, threads=1), error=WeightsError, remedy=remedy)
    missing = set(OUTPUTS) - network.outputs.keys()
    if missing or len(network.inputs) != 1 or any(len(shape) != 4 for shape in network.inputs.values()):
        raise WeightsError(f"YuNet: {model} is another network (it lacks {', '.join(sorted(missing)) or 'one input'}).")
    return network


def _cascade() -> Path:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    path = Path(folder) / HAAR_CASCADE
    if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
        raise WeightsError(
            f"Haar: OpenCV {cv2.__version__} has no {HAAR_CASCADE}; install 'opencv-python-headless<5', or use YuNet."
        )
    return path
