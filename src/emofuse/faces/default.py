"""The bundled face detector: a small network on luma, with five landmarks.

It was trained by `emofuse train face-detector`; docs/model-card.md says on what and how well it works.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emofuse.core.files import file_digest
from emofuse.errors import WeightsError
from emofuse.faces.detector import DETECTORS, Face, Floats, box_iou, region_around, resized, suppress
from emofuse.faces.pose import HeadModel
from emofuse.media.images import Image, check_luma
from emofuse.runtime import ONE_THREAD, Engine, OnnxNetwork

NETWORK = Path(__file__).with_name("default.onnx")
LONG_SIDE, SMALL_FACES_LONG_SIDE = 320, 640
STRIDES = (8, 16, 32)
_OUTPUTS = tuple(f"stride{n}" for n in STRIDES)
_CANDIDATE_SCORE = 0.25  # of a place that is searched once more
_MOST_CANDIDATES, _MOST_DOUBTFUL = 24, 8  # that are searched once more; those below the score of a face
_SAME_IOU = 0.3  # of a face in its region with the candidate


class _Found(NamedTuple):
    """Boxes float32 [n, 4] (left, top, width, height), scores [n] and landmarks [n, 5, 2] in pixels."""

    boxes: Floats
    scores: Floats
    landmarks: Floats


class DefaultDetector:
    """The network, ready to run.

    An image is searched twice: reduced to `long_side` pixels, where faces are a few pixels high, and then once more in
    a region around each candidate, which decides and gives box and landmarks. Images that need not be reduced are
    searched once.

    Args:
        model: the ONNX file.
        engine: its device is used, with one thread, so that several threads may call the detector at a time.
        long_side: at 320, most faces of 8 % of the height of a 16:9 image are found; at 640, of 4 %.
        min_score: faces below it are dropped.
        iou: of two faces that overlap more, the one with the lower score is dropped.
    Raises:
        WeightsError: the file is missing or another network.
        ShapeError: on a call, the image is not luma, uint8 [height, width].
    """

    colour = False
    certain_score = 0.6
    # Chosen on LFW. Heads that nod do not move these landmarks, and turned ones move the nose too little, least in the
    # small faces of regions.
    head_model = HeadModel(nose_depth=24.0, shows_pitch=False, close_up=160)

    def __init__(
        self,
        model: Path = NETWORK,
        *,
        engine: Engine = ONE_THREAD,
        long_side: int = LONG_SIDE,
        min_score: float = 0.55,
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
        # At more than 320 pixels, large faces would be larger than the network knows them.
        sides = sorted({min(self._long_side, LONG_SIDE), self._long_side})
        if max(image.shape) <= sides[0]:
            found = self._search(image, max(image.shape), self._min_score)
        else:
            candidates = [self._search(image, side, _CANDIDATE_SCORE) for side in sides]
            found = self._decided(image, self._distinct(_joined(candidates)))
        found = self._distinct(found)
        return [Face(*values) for values in zip(found.boxes, found.scores, found.landmarks, strict=True)]

    def candidates(self, image: Image) -> Floats:
        """Boxes of the places that are searched once more, best first, float32 [n, 4]."""
        check_luma(image, "face detection")
        return self._distinct(self._search(image, self._long_side, _CANDIDATE_SCORE)).boxes

    def _decided(self, image: Image, candidates: _Found) -> _Found:
        """The candidates that are faces according to a search of their regions; of many, the best ones are searched."""
        decided, sure = [], int((candidates.scores >= self._min_score).sum())
        n = min(_MOST_CANDIDATES, sure + _MOST_DOUBTFUL)
        for box in candidates.boxes[:n]:
            region = region_around(image, box)
            found = self._distinct(self._search(region.image, max(region.image.shape), self._min_score))
            found = _Found(region.boxes(found.boxes), found.scores, region.points(found.landmarks))
            overlap = box_iou(box, found.boxes)
            if len(overlap) and overlap.max() >= _SAME_IOU:
                best = [int(overlap.argmax())]
                decided.append(_Found(*(values[best] for values in found)))
        return _joined([*decided, _Found(*(values[n:sure] for values in candidates))])

    def _distinct(self, found: _Found) -> _Found:
        kept = suppress(found.boxes, found.scores, iou=self._iou)
        return _Found(*(values[kept] for values in found))

    def _search(self, image: Image, long_side: int, min_score: float) -> _Found:
        """What the network finds in an image that is reduced to `long_side` pixels, before suppression."""
        scale = min(1.0, long_side / max(image.shape))
        small = resized(image, *(max(1, round(side * scale)) for side in image.shape))
        padded = np.zeros((1, 1, *(-(-side // STRIDES[-1]) * STRIDES[-1] for side in small.shape)), np.uint8)
        padded[0, 0, : small.shape[0], : small.shape[1]] = small
        back = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]], np.float32)
        maps = [values.reshape(values.shape[1], -1) for values in self._network.run(_OUTPUTS, padded)]
        likely = np.flatnonzero(np.concatenate([values[0] for values in maps]) >= min_score)
        cells = np.concatenate(maps, axis=1)[:, likely].T
        centres, strides = (values[likely] for values in _cells(*padded.shape[2:]))
        reach = np.exp(cells[:, 1:5].clip(-6, 6)) * strides
        boxes = np.hstack([centres - reach[:, :2], reach[:, :2] + reach[:, 2:]])
        landmarks = cells[:, 5:].reshape(-1, 5, 2) * strides[:, None] + centres[:, None]
        return _Found(boxes * np.tile(back, 2), cells[:, 0], landmarks * back)


@lru_cache(maxsize=64)
def _cells(height: int, width: int) -> tuple[Floats, Floats]:
    """Centres [n, 2] and strides [n, 1] of all cells of an input, in pixels."""
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = np.divmod(np.arange(height * width // stride**2), width // stride)
        centres.append((np.stack([columns, rows], axis=1).astype(np.float32) + np.float32(0.5)) * np.float32(stride))
        strides.append(np.full((len(rows), 1), stride, np.float32))
    return np.concatenate(centres), np.concatenate(strides)


def _joined(parts: Sequence[_Found]) -> _Found:
    return _Found(*(np.concatenate(values) for values in zip(*parts, strict=True)))


DETECTORS.add("default", lambda weights, engine: DefaultDetector(engine=engine))
