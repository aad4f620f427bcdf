"""A bundle whose network distinguishes persons by the colour of their face, and videos of such persons."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from emofuse.core.calibration import LogitCalibration
from emofuse.core.colour import Colour
from emofuse.core.labels import AFFWILD2
from emofuse.faces.crop import BoxCrop
from emofuse.models import bundle as bundles
from emofuse.models.face import FaceInput, FaceModality, Identity
from support.fused_bundles import CARD, CROP, SIDE
from support.media_files import write_media

THRESHOLD = 0.6
RED, YELLOW, PINK = (200, 40, 40), (200, 200, 40), (200, 40, 200)  # of cosine 1/3 or less
Colours = tuple[tuple[int, int, int] | None, ...]


def write_bundle(folder: Path, *, threshold: float | None = THRESHOLD) -> Path:
    """Write the bundle; its identity is the mean colour less a medium grey."""
    rng = np.random.default_rng(0)
    constants = {"grey": np.full((1, 3), 120, np.float32), "weights": rng.normal(0, 0.01, (3, 7)).astype(np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["input"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("Sub", ["mean", "grey"], ["identity"]),
            helper.make_node("MatMul", ["identity", "weights"], ["logits"]),
        ],
        "mean colour",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, CROP, CROP])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", k])
            for name, k in (("identity", 3), ("logits", 7))
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    folder.mkdir(parents=True, exist_ok=True)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "face.onnx")
    face = FaceModality(
        folder / "face.onnx",
        BoxCrop(CROP),
        FaceInput(Colour.RGB, (0.0,) * 3, (1.0,) * 3),
        LogitCalibration.identity(7),
        identity=None if threshold is None else Identity(threshold),
    )
    bundles.write_bundle(folder, bundles.Bundle("colours", "1", AFFWILD2, CARD, face))
    return folder


def image_of(*colours: tuple[int, int, int] | None) -> np.ndarray:
    """An image of faces of these colours side by side."""
    image = np.full((96, 64 * max(len(colours), 2), 3), 60, np.uint8)
    for n, colour in enumerate(colours):
        if colour is not None:
            image[24 : 24 + SIDE, 64 * n + 16 : 64 * n + 16 + SIDE] = colour
    return image


def write_video(path: Path, *parts: tuple[float, Colours]) -> Path:
    """Write a lossless video of 5 frames per second: seconds and colours of each part."""
    frames = [image_of(*colours) for seconds, colours in parts for _ in range(round(5 * seconds))]
    five = {"rate": Fraction(5), "time_base": Fraction(1, 5)}
    return write_media(path, frames, codec="ffv1", pix_fmt="bgr0", **five)


def write_photograph(path: Path, *colours: tuple[int, int, int] | None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image_of(*colours)[:, :, ::-1])
    return path
