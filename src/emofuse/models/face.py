"""The part of a bundle that looks at faces: how they are cut and prepared, what the net says of them, and the head that
judges windows of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.calibration import LogitCalibration
from emofuse.core.colour import LUMA, Colour
from emofuse.core.smoothing import Triangle
from emofuse.core.windows import Windows
from emofuse.errors import BundleError
from emofuse.faces.crop import Crop
from emofuse.runtime import Engine, OnnxNetwork

OUTPUT, EMBEDDING = "logits", "embedding"


@dataclass(frozen=True)
class FaceInput:
    """What is done to a crop before the net sees it: channels, then (pixel - mean) / scale per channel."""

    colour: Colour
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB crops uint8 [n, size, size, 3] -> float32 [n, channels, size, size]."""
        pixels = crops.astype(np.float32)
        if self.colour is Colour.GREY:
            pixels = (pixels @ np.array(LUMA, np.float32))[..., None]
        elif self.colour is Colour.BGR:
            pixels = pixels[..., ::-1]
        scaled = (pixels - np.array(self.mean, np.float32)) / np.array(self.scale, np.float32)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)


@dataclass(frozen=True)
class FacePart:
    """How a system judges faces.

    calibration: of single faces; None where only windows are classified.
    windows, head: windows whose mean and deviation of the embeddings a head classifies, a file of `emofuse.heads`.
    smoothing: over time, of the probabilities of single faces.
    """

    net: Path
    crop: Crop
    input: FaceInput
    calibration: LogitCalibration | None
    windows: Windows | None = None
    head: Path | None = None
    smoothing: Triangle | None = None


class Judged(NamedTuple):
    """What one run of a net says of faces: probabilities float32 [n, classes] and embeddings float32 [n, features]."""

    probabilities: NDArray[np.float32]
    embeddings: NDArray[np.float32]


class FaceScorer:
    """Face crops to calibrated probabilities, or to embeddings.

    Raises:
        BundleError: the net does not fit the labels.
    """

    batch = 16

    def __init__(self, part: FacePart, engine: Engine, *, classes: int, output: str = OUTPUT) -> None:
        self._part = part
        self._net = OnnxNetwork(part.net, engine)
        self._output = output
        shape = _checked(part, self._net, output, classes)
        # Some nets do not tell; one black face does.
        told = isinstance(shape[-1], int)
        self._columns = shape[-1] if told else self._judged(_black(part)).shape[1]

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB crops uint8 [n, size, size, 3] -> probabilities float32 [n, classes], or embeddings [n, features]."""
        rows = [self._judged(crops[n : n + self.batch]) for n in range(0, len(crops), self.batch)]
        return np.concatenate(rows) if rows else np.zeros((0, self._columns), np.float32)

    def _judged(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = self._net(self._part.input(crops), self._output)
        calibrate = self._part.calibration if self._output == OUTPUT else None
        return values if calibrate is None else calibrate(values)


class FaceJudge:
    """Face crops to calibrated probabilities and embeddings, both of one run of the net.

    Raises:
        BundleError: the net does not fit the labels, or gives no embedding.
    """

    batch = FaceScorer.batch

    def __init__(self, part: FacePart, engine: Engine, *, classes: int) -> None:
        self._part, self._net = part, OnnxNetwork(part.net, engine)
        for output in (OUTPUT, EMBEDDING):
            _checked(part, self._net, output, classes)

    def __call__(self, crops: NDArray[np.uint8]) -> Judged:
        """RGB crops uint8 [n, size, size, 3], at least one."""
        parts = [self._judged(crops[n : n + self.batch]) for n in range(0, len(crops), self.batch)]
        return Judged(*(np.concatenate(rows) for rows in zip(*parts, strict=True)))

    def _judged(self, crops: NDArray[np.uint8]) -> Judged:
        logits, embeddings = self._net.run((OUTPUT, EMBEDDING), self._part.input(crops))
        calibrate = self._part.calibration
        return Judged(logits if calibrate is None else calibrate(logits), embeddings)


def _black(part: FacePart) -> NDArray[np.uint8]:
    return np.zeros((1, part.crop.size, part.crop.size, 3), np.uint8)


def _checked(part: FacePart, net: OnnxNetwork, output: str, classes: int) -> list[Any]:
    """The shape of an output of the net, if it fits the labels."""
    shape = net.outputs.get(output)
    if shape is None or (output == OUTPUT and shape[-1] != classes):
        found = "no such output" if shape is None else f"{shape[-1]} columns"
        raise BundleError(
            f"{part.net}: the bundle has {classes} labels, but its net's output {output!r} has {found}; "
            "the bundle is mislabelled, get it again."
        )
    return list(shape)
