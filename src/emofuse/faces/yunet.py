"""YuNet, a small convolutional face detector with five landmarks, by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from emofuse.core.files import file_digest
from emofuse.errors import WeightsError
from emofuse.faces.detector import DETECTORS, Face, Floats, resized, suppress
from emofuse.faces.pose import HeadModel
from emofuse.media.images import Image, check_rgb
from emofuse.runtime import ONE_THREAD, Engine, OnnxNetwork

STRIDES = (8, 16, 32)
OUTPUTS = [f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps")]
PADDED_TO = 32  # the coarsest stride, so that every feature map has a whole number of cells


class YuNet:
    """The network, ready to run.

    For a model with a fixed input size the image is fitted into it. For others the long side is reduced to `long_side`
    pixels (never enlarged) and the rest padded with black to a multiple of 32.

    Args:
        model: the ONNX file; outputs named as in OpenCV's model zoo.
        long_side: at 608, faces of 8 % of the height of a 720p image are found; at 416, of 12 %, in half the time.
        engine: its device is used, with one thread, so that several threads may call the detector at a time.
        min_score: faces below it are dropped.
        iou: of two faces that overlap more, the one with the lower score is dropped.
    Raises:
        WeightsError: the file is missing or not a YuNet.
        ShapeError: on a call, the image is not uint8 [height, width, 3].
    Source: Wu, Peng, Yu: YuNet, a tiny millisecond-level face detector (2023).
    """

    colour = True
    certain_score = 0.85
    head_model = HeadModel()

    def __init__(
        self,
        model: Path,
        *,
        engine: Engine = ONE_THREAD,
        long_side: int = 608,
        min_score: float = 0.6,
        iou: float = 0.3,
    ) -> None:
        self._network = _open(model, engine)
        height, width = next(iter(self._network.inputs.values()))[2:]
        self._fixed = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        self._long_side, self._min_score, self._iou = long_side, min_score, iou
        self.identity = f"yunet:{file_digest(model)[:12]}:{long_side}"

    def __call__(self, image: Image) -> list[Face]:
        """The faces of an image, best first, with landmarks."""
        check_rgb(image, "face detection")
        small = self._fitted(image)
        height, width = small.shape[:2]
        padded = (-(-height // PADDED_TO) * PADDED_TO, -(-width // PADDED_TO) * PADDED_TO)
        pixels = np.zeros((1, 3, *(self._fixed or padded)), np.float32)
        # The input is BGR, 0 to 255. One channel after the other: transposing all at once takes seven times as long.
        for position, channel in zip((2, 1, 0), cv2.split(small), strict=True):
            pixels[0, position, :height, :width] = channel
        boxes, scores, landmarks = self._decoded(pixels)
        kept = suppress(boxes, scores, iou=self._iou)
        scale = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        return [Face(boxes[n] * np.tile(scale, 2), float(scores[n]), landmarks[n] * scale) for n in kept]

    def _fitted(self, image: Image) -> Image:
        height, width = image.shape[:2]
        scale = min(1.0, self._long_side / max(height, width))
        if self._fixed is not None:
            scale = min(scale, self._fixed[0] / height, self._fixed[1] / width)
        return resized(image, max(1, round(height * scale)), max(1, round(width * scale)))

    def _decoded(self, pixels: Floats) -> tuple[Floats, Floats, Floats]:
        """Boxes [n, 4], scores [n] and landmarks [n, 5, 2] of at least the minimum score, before suppression."""
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


DETECTORS.add("yunet", lambda weights, engine: YuNet(weights("yunet"), engine=engine))


def _open(model: Path, engine: Engine) -> OnnxNetwork:
    remedy = "fetch it with `emofuse weights fetch yunet`"
    network = OnnxNetwork(model, engine.single_threaded, error=WeightsError, remedy=remedy)
    missing = set(OUTPUTS) - network.outputs.keys()
    if missing or len(network.inputs) != 1 or any(len(shape) != 4 for shape in network.inputs.values()):
        lacking = ", ".join(sorted(missing)) or "one input"
        raise WeightsError(f"YuNet: {model} is a different network (it lacks {lacking}); {remedy}.")
    return network
