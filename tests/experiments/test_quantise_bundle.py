"""Quantising a bundle of a small network on synthetic faces, and bundles that are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from emofuse.core.calibration import LogitCalibration
from emofuse.core.colour import Colour
from emofuse.core.labels import AFFWILD2
from emofuse.errors import SettingsError
from emofuse.experiments.quantise_bundle import QuantiseRequest, cost_of, quantise
from emofuse.faces.crop import fer_crop
from emofuse.models.bundle import Bundle, load, write_bundle
from emofuse.models.face import FaceInput, FaceModality
from emofuse.training import loop as fit
from support.fer2013_files import write_random_table
from support.fused_bundles import CARD
from support.fused_bundles import write_bundle as write_fused_bundle
from support.small_trainings import Residuals


@pytest.fixture(scope="module")
def face(tmp_path_factory) -> Path:
    """A bundle of a small network with random weights."""
    folder = tmp_path_factory.mktemp("face")
    fit.export_onnx(
        fit.fresh(Residuals, seed=0),
        fit.face_example(48),
        folder / "face.onnx",
        outputs=("embedding", "logits"),
    )
    calibration = LogitCalibration(1.5, (0.1, *[0.0] * 6))
    face = FaceModality(folder / "face.onnx", fer_crop(48), FaceInput(Colour.GREY, (0.0,), (255.0,)), calibration)
    write_bundle(folder, Bundle("small", "1", AFFWILD2, CARD, face))
    return folder


def quantised(bundle: object, data: Path, out: Path, **more: object):
    return quantise(QuantiseRequest(str(bundle), data, out, **more), report=lambda _: None)


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def test_the_network_of_the_written_bundle_computes_in_int8_and_is_smaller(face, tmp_path):
    bundle, cost = quantised(face, write_random_table(tmp_path / "fer.csv"), tmp_path / "out", max_accuracy_drop=100.0)
    assert bundle.face.calibration == load(face).face.calibration
    assert bundle.card["int8"]["face"]["examples"] == cost.examples == 28
    assert operators(bundle.face.net) & {"QLinearConv", "QuantizeLinear"}
    assert bundle.face.net.stat().st_size == cost.after < cost.before


def test_a_network_whose_accuracy_drops_too_much_is_not_written(face, tmp_path):
    with pytest.raises(
        SettingsError, match=r"int8 costs .* of accuracy on 28 examples, more than -100\.00%; keep more"
    ):
        quantised(face, write_random_table(tmp_path / "fer.csv"), tmp_path / "out", max_accuracy_drop=-100.0)
    assert not [p for p in (tmp_path / "out").glob("*") if p.is_file()]


def test_the_cost_is_the_paired_change_of_accuracy_on_labelled_examples():
    truth = np.array([0, 1, 1, 0, -1])
    before, after = np.array([0, 1, 1, 1, 0]), np.array([0, 1, 0, 1, 1])
    cost = cost_of(truth, [before, after], 2, (10, 5))
    assert (cost.examples, cost.accuracy, cost.change.value) == (4, 0.75, -0.25)
    assert cost.to_json()["change"] == -0.25


def test_a_bundle_is_never_quantised_over_itself(face, tmp_path):
    before = (face / "face.onnx").read_bytes()
    with pytest.raises(SettingsError, match=r"--out .*: is the folder of the bundle .*, which would be lost"):
        quantised(face, write_random_table(tmp_path / "fer.csv"), face / ".." / face.name)
    assert (face / "face.onnx").read_bytes() == before


def test_of_a_fused_bundle_single_images_quantise_the_face_network_alone(tmp_path):
    before = write_fused_bundle(tmp_path, {"face": 0.5, "voice": 0.5})
    data = write_random_table(tmp_path / "fer.csv")
    bundle, cost = quantised(before, data, tmp_path / "out", keep=(), max_accuracy_drop=100.0)
    assert list(bundle.card["int8"]) == ["face"]
    assert bundle.card["int8"]["face"]["examples"] == cost.examples
    assert operators(bundle.face.net) & {"QLinearMatMul", "QuantizeLinear"}
    assert bundle.voice.net.read_bytes() == (before / "voice.onnx").read_bytes()
    assert bundle.fusion.modalities == load(before).fusion.modalities


def test_a_voice_cannot_be_quantised_on_single_images(tmp_path):
    fused = load(write_fused_bundle(tmp_path, {"face": 0.5, "voice": 0.5}))
    write_bundle(tmp_path / "voice", replace(fused, face=None, fusion=None))
    with pytest.raises(SettingsError, match=r"needs audio, but .* has single images; give clips with audio"):
        quantised(tmp_path / "voice", write_random_table(tmp_path / "fer.csv"), tmp_path / "out")
