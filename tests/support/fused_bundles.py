"""A bundle of face and voice whose networks compute one number: how light a face is, and how loud a voice is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from emofuse.core.calibration import LogitCalibration
from emofuse.core.colour import Colour
from emofuse.core.labels import AFFWILD2
from emofuse.core.smoothing import Triangle
from emofuse.core.time import ticks
from emofuse.core.windows import Windows
from emofuse.faces.crop import BoxCrop
from emofuse.faces.detector import Face
from emofuse.faces.pose import HeadModel
from emofuse.fusion.weighted import WeightedFusion
from emofuse.heads import KernelELM
from emofuse.heads import save as save_head
from emofuse.inference.predictor import Options, Predictor
from emofuse.models import bundle as bundles
from emofuse.models.face import FaceInput, FaceModality
from emofuse.models.fusion import ModalityFusion
from emofuse.models.voice import VoiceModality
from support.media_files import write_media
from support.speech_bundles import tone

SIDE, CROP, RATE = 32, 8, 4_000
FACE_LOGITS = np.array([[0, 3, 0, 0, -2, 1, 0]], np.float32)  # logits of a face of lightness 1
VOICE_LOGITS = np.array([[0, 0, 5, 0, 20, 0, -5]], np.float32)  # logits of a voice of loudness 1
CARD = {"what": "x", "data": "x", "licence": "x", "metrics": {}}


def net(path: Path, shape: tuple[int, ...], weights: np.ndarray, *, embedding: bool = False) -> Path:
    """The mean absolute input times the weights; the embedding is that mean and a constant, [n, 2]."""
    axes = list(range(1, len(shape) + 1))
    nodes = [
        helper.make_node("Abs", ["input"], ["size"]),
        helper.make_node("ReduceMean", ["size"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("MatMul", ["column", "weights"], ["logits"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", weights.shape[1]])]
    constants = {"one": np.array([1], np.int64), "weights": weights}
    if embedding:
        constants |= {"two": np.array([[1, 0]], np.float32), "rest": np.array([[0, 1]], np.float32)}
        nodes += [
            helper.make_node("MatMul", ["column", "two"], ["first"]),
            helper.make_node("Add", ["first", "rest"], ["embedding"]),
        ]
        outputs.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 2]))
    graph = helper.make_graph(
        nodes,
        "one number",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", *shape])],
        outputs,
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def table(*rows: float | list[float]) -> np.ndarray:
    """Weights of some modalities, each one number or one for each class."""
    return np.stack([np.broadcast_to(np.array(r, np.float32), len(AFFWILD2)) for r in rows])


def write_bundle(
    folder: Path,
    weights: Mapping[str, float | list[float]],
    *,
    smoothing: Fraction | None = Fraction(3, 2),
    calibrations: Mapping[str, LogitCalibration] | None = None,
) -> Path:
    """Write a bundle of these modalities with these weights to `folder / "bundle"`."""
    even = LogitCalibration.identity(len(AFFWILD2))
    face = voice = windows = head = None
    if "face-windows" in weights:
        windows, head = Windows(2, 1), folder / "parts" / "head.safetensors"
        rng = np.random.default_rng(0)
        features = np.concatenate([rng.uniform(0, 1, (70, 1)), np.zeros((70, 3))], axis=1).astype(np.float32)
        fitted = KernelELM("linear", probability=True).fit(features, (features[:, 0] * 7).astype(int))
        head.parent.mkdir(parents=True, exist_ok=True)
        save_head(head, fitted, label_set=AFFWILD2)
    if {"face", "face-windows"} & set(weights):
        face = FaceModality(
            net(folder / "parts" / "f.onnx", (1, CROP, CROP), FACE_LOGITS, embedding=True),
            BoxCrop(CROP),
            FaceInput(Colour.GREY, (0.0,), (255.0,)),
            even if "face" in weights else None,
            windows,
            head,
            Triangle(ticks(smoothing)) if smoothing else None,
        )
    if "voice" in weights:
        audio = Windows(2, 1, RATE, min_voice_seconds=0.3)
        voice = VoiceModality(net(folder / "parts" / "v.onnx", (8_000,), VOICE_LOGITS), audio, even, activity="energy")
    fusion = WeightedFusion("mcwf", tuple(weights), AFFWILD2, table(*weights.values()))
    fused = ModalityFusion(fusion, dict(calibrations or {}))
    bundles.write_bundle(folder / "bundle", bundles.Bundle("both", "1", AFFWILD2, CARD, face, voice, fused))
    return folder / "bundle"


def write_several(folder: Path) -> Path:
    """Write a bundle of five systems on four networks: single faces and windows of two networks for faces, and two
    voices with other rates and windows, each with the same weight."""
    names = ("face", "face-windows", "face-windows:other", "voice", "voice:other")
    first = bundles.load(write_bundle(folder / "first", {"face": 0.5, "face-windows": 0.3, "voice": 0.2}))
    assert first.face is not None
    assert first.voice is not None
    other = replace(
        first.face,
        net=net(folder / "parts" / "f.onnx", (1, CROP, CROP), -FACE_LOGITS, embedding=True),
        calibration=None,
        windows=Windows(3, 3),
    )
    slow = replace(
        first.voice,
        net=net(folder / "parts" / "v.onnx", (6_000,), 2 * VOICE_LOGITS),
        windows=Windows(3, 1, RATE // 2, min_voice_seconds=0.3),
    )
    fusion = ModalityFusion(WeightedFusion("mcwf", names, AFFWILD2, table(*[0.2] * 5)))
    several = replace(first, fusion=fusion, further={"face:other": other, "voice:other": slow})
    bundles.write_bundle(folder / "bundle", several)
    return folder / "bundle"


class Squares:
    """Detects light squares before a dark wall, from left to right."""

    identity = "squares"
    colour = True
    certain_score = 0.85
    head_model = HeadModel()

    def __call__(self, image: np.ndarray) -> list[Face]:
        light = (image[:, :, 0] > 100).any(axis=0)
        starts = np.flatnonzero(np.diff(light.astype(int), prepend=0) == 1)
        top = np.argmax((image[:, :, 0] > 100).any(axis=1))
        return [Face(np.array([x, top, SIDE, SIDE], np.float32), 0.9, None) for x in starts]


def predictor(bundle: Path, **options: object) -> Predictor:
    found = Predictor(Options(str(bundle), **options))
    found.detector = Squares()
    return found


def image_of(*levels: int) -> np.ndarray:
    """An image of faces of these levels side by side, 0 for none."""
    image = np.full((96, 64 * max(len(levels), 2), 3), 60, np.uint8)
    for n, level in enumerate(levels):
        if level:
            image[24 : 24 + SIDE, 64 * n + 16 : 64 * n + 16 + SIDE] = level
    return image


def write_video(path: Path, levels: list[tuple[int, ...]], audio: np.ndarray | None = None) -> Path:
    """Write a lossless video of 5 frames per second."""
    frames = [image_of(*row) for row in levels]
    five = {"rate": Fraction(5), "time_base": Fraction(1, 5)}
    return write_media(path, frames, codec="ffv1", pix_fmt="bgr0", audio=audio, audio_codec="pcm_s16le", **five)


def anger_and_happiness(folder: Path) -> Path:
    """A clip list of three subjects: angry with a light face and a quiet voice, happy the other way round."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,label,subject"]
    for n, who in enumerate(("ann", "ben", "eve")):
        for label, light, loud in (("anger", 230 + 5 * n, 0.02), ("happiness", 110 + 5 * n, 0.5)):
            name = f"{who}-{label}.mkv"
            write_video(folder / name, [(light,)] * 15, (loud * tone(2, 3.0, 0, rate=44_100)).astype(np.float32))
            lines.append(f"{name},{label},{who}")
    (folder / "people.csv").write_text("\n".join(lines) + "\n")
    return folder / "people.csv"


def use_square_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every predictor use `Squares`, whatever its detector option."""
    monkeypatch.setattr("emofuse.inference.predictor.choose_detector", lambda *_, **__: Squares())
