"""The bundled face detector: a small network on luma, with five landmarks.

It was trained by `emofuse train face-detector`; docs/model-card.md says on what and how well it works.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emofuse.core.files import file_digest
from emofuse.errors import WeightsError
from emofuse.faces.detector import DETECTORS, Face, Floats, shrink, suppress
from emofuse.media.images import Image, check_luma
from emofuse.runtime import ONE_THREAD, Engine, OnnxNetwork

NETWORK = Path(__file__).with_name("default.onnx")
LONG_SIDE, SMALL_FACES_LONG_SIDE = 320, 640
STRIDES = (8, 16, 32)
_OUTPUTS = tuple(f"stride{n}" for n in STRIDES)


class DefaultDetector:
    """The network, ready to run.

    The long side of an image is reduced to `long_side` pixels (never enlarged) and the rest padded with black to a
    multiple of 32.

    Args:
        model: the ONNX file.
        engine: its device is used, with one thread, so that several threads may call the detector at a time.
        long_side: at 320, faces of 8 % of the height of a 16:9 image are found; at 640, of 4 %, in four times the time.
        min_score: faces below it are dropped.
        iou: of two faces that overlap more, the one with the lower score is dropped.
    Raises:
        WeightsError: the file is missing or another network.
        ShapeError: on a call, the image is not luma, uint8 [height, width].
    """

    colour = False

    def __init__(
        self,
        model: Path = NETWORK,
        *,
        engine: Engine = ONE_THREAD,
        long_side: int = LONG_SIDE,
        min_score: float = 0.5,
        iou: float = 0.4,
    ) -> None:
        remedy = "install emofuse again"
        self._network = OnnxNetwork(model, engine.single_threaded, error=WeightsError, remedy=remedy)
        if missing := set(_OUTPUTS) - self._network.outputs.keys():
            raise WeightsError(f"{model}: has no output {', '.join(sorted(missing))}; {remedy}.")
        self._long_side, self._min_score, self._iou = long_side, min_score, iou
        self.identity = f"default:{file_digest(model)[:12]}:{long_side}"

    def __call__(self, image: Image) -> list[Face]:
        """The faces of a luma image, best first, with landmarks."""
        check_luma(image, "face detection")
        scale = min(1.0, self._long_side / max(image.shape))
        small = shrink(image, *(max(1, round(side * scale)) for side in image.shape))
        padded = np.zeros((1, 1, *(-(-side // STRIDES[-1]) * STRIDES[-1] for side in small.shape)), np.uint8)
        padded[0, 0, : small.shape[0], : small.shape[1]] = small
        boxes, scores, landmarks = self._decoded(padded)
        kept = suppress(boxes, scores, iou=self._iou)
        back = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]], np.float32)
        return [Face(boxes[n] * np.tile(back, 2), float(scores[n]), landmarks[n] * back) for n in kept]

    def _decoded(self, luma: Image) -> tuple[Floats, Floats, Floats]:
        """Boxes [n, 4], scores [n] and landmarks [n, 5, 2] of at least the minimum score, before suppression."""
        boxes, scores, landmarks = [], [], []
        for stride, values in zip(STRIDES, self._network.run(_OUTPUTS, luma), strict=True):
            score = values[0, 0]
            rows, columns = np.nonzero(score >= self._min_score)
            found = values[0, :, rows, columns]
            centre = (np.stack([columns, rows], axis=1).astype(np.float32) + np.float32(0.5)) * stride
            reach = np.exp(found[:, 1:5].clip(-6, 6)) * stride
            boxes.append(np.hstack([centre - reach[:, :2], reach[:, :2] + reach[:, 2:]]))
            scores.append(found[:, 0])
            landmarks.append(found[:, 5:].reshape(-1, 5, 2) * stride + centre[:, None])
        return np.concatenate(boxes), np.concatenate(scores), np.concatenate(landmarks)


DETECTORS.add("default", lambda weights, engine: DefaultDetector(engine=engine))
