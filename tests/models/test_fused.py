"""Writing bundles that look and listen, and refusing those that are not what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from emofuse import fusion
from emofuse.core.calibration import LogitCalibration
from emofuse.core.files import digest, file_digest
from emofuse.core.labels import AFFWILD2
from emofuse.core.smoothing import Triangle
from emofuse.core.time import ticks
from emofuse.errors import BundleError, OutputError, SettingsError
from emofuse.fusion.log_pool import LogPoolFusion
from emofuse.fusion.stacking import StackedFusion
from emofuse.models import bundle as bundles
from emofuse.models.bundle import load, shipped
from emofuse.models.face import FaceJudge, FaceScorer
from emofuse.models.fused import Fused, write_fused
from emofuse.models.fusion import FusionPart
from emofuse.runtime import Engine
from support.fused_bundles import CARD, CROP, write_bundle

ALL = {"face": 0.5, "face-windows": 0.2, "voice": [0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]}
HOT = LogitCalibration(1.25, (0.5, 0, 0, 0, 0, 0, -0.25))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path, ALL, calibrations={"face+voice": HOT, "any": LogitCalibration.identity(7)})


def edited(folder: Path, change) -> Path:
    """The bundle with its manifest changed by a careless maker, who signs it again."""
    manifest = folder / bundles.MANIFEST
    content = json.loads(manifest.read_text())
    content.pop("sha256")
    change(content)
    content["files"] = {f: file_digest(folder / f) for f in content["files"]}
    manifest.write_text(json.dumps(content | {"sha256": digest(content)}))
    return folder


def test_what_is_written_is_loaded(folder):
    bundle = load(folder)
    assert bundle.modalities == ("face", "face-windows", "voice")
    assert bundle.face.smoothing == Triangle(ticks(Fraction(3, 2)))
    assert (bundle.face.windows.width, bundle.face.windows.step) == (ticks(2), ticks(1))
    assert bundle.voice.windows.min_voice == ticks(Fraction(3, 10))
    assert bundle.fusion.calibrations == {"face+voice": HOT, "any": LogitCalibration.identity(7)}
    assert bundle.fusion.weights.class_weights[:, 0] == pytest.approx([0.5, 0.2, 0.3])


def test_a_fused_bundle_has_a_format_of_its_own_and_no_pickle(folder):
    assert json.loads((folder / "bundle.json").read_text())["format"] == 2
    assert {p.suffix for p in folder.iterdir()} == {".json", ".onnx", ".safetensors"}


def test_a_loaded_bundle_can_be_written_again_in_its_place(folder):
    before = load(folder)
    again = write_fused(folder, Fused("both", "1", before.fusion, before.face, before.voice), card=before.card)
    assert again.identity == before.identity


def test_another_weight_is_another_identity(folder):
    before = load(folder)
    table = before.fusion.weights.class_weights[:, ::-1].copy() * [[1]] + np.array([[0.1], [-0.1], [0]], np.float32)
    other = replace(before.fusion, weights=replace(before.fusion.weights, class_weights=table.astype(np.float32)))
    after = write_fused(folder, Fused("both", "1", other, before.face, before.voice), card=before.card)
    assert after.identity != before.identity


def test_a_pool_is_written_and_loaded_like_weights(folder):
    before = load(folder)
    weights = before.fusion.weights
    pool = LogPoolFusion("log-pool", weights.systems, AFFWILD2, weights.class_weights.astype(np.float64))
    again = write_fused(folder, Fused("both", "1", FusionPart(pool), before.face, before.voice), card=before.card)
    assert np.array_equal(again.fusion.weights.exponents, pool.exponents)
    assert again.identity != before.identity


def test_both_outputs_of_the_net_come_of_one_run(folder):
    judge = load(folder).face_judge(Engine(1))
    assert isinstance(judge, FaceJudge)
    runs = []
    run = judge._net.run
    judge._net.run = lambda outputs, batch: runs.append(len(batch)) or run(outputs, batch)
    crops = np.random.default_rng(0).integers(0, 256, (20, CROP, CROP, 3), dtype=np.uint8)
    judged = judge(crops)
    assert runs == [16, 4]
    for output, values in (("logits", judged.probabilities), ("embedding", judged.embeddings)):
        alone = FaceScorer(load(folder).face, Engine(1), classes=7, output=output)(crops)
        assert values == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize(("parts", "columns"), [({"face": 1.0}, 7), ({"face-windows": 1.0}, 2)])
def test_a_bundle_of_one_part_asks_its_net_for_that_only(tmp_path, parts, columns):
    bundle = load(write_bundle(tmp_path, parts))
    assert bundle.face_judge(Engine(1))(np.zeros((3, CROP, CROP, 3), np.uint8)).shape == (3, columns)


def test_parts_of_bundles_that_only_look_can_be_taken_over(tmp_path, folder):
    default, voice = load("default"), load(folder).voice
    two = fusion.METHODS["mean"].restore({"weights": np.full((2, 7), 0.5, np.float32)}, ("face", "voice"), AFFWILD2)
    part = replace(load(folder).fusion, weights=two, calibrations={})
    face = replace(default.face, smoothing=Triangle(ticks(1)))
    bundle = write_fused(tmp_path / "new", Fused("new", "1", part, face, voice), card=CARD)
    assert bundle.face.crop == default.face.crop
    assert bundle.face.calibration == default.face.calibration
    assert (tmp_path / "new" / "face.onnx").read_bytes() == (shipped()["default"] / "face.onnx").read_bytes()


def test_a_fusion_of_parts_that_are_not_there_is_refused(folder):
    bundle = load(folder)
    with pytest.raises(SettingsError, match="the fusion of face, face-windows, voice lacks voice"):
        Fused("x", "1", bundle.fusion, bundle.face)


def test_a_part_without_a_weight_is_refused(tmp_path, folder):
    face_only = load(write_bundle(tmp_path / "other", {"face": 1.0}))
    with pytest.raises(SettingsError, match="voice is there, but has no weight"):
        Fused("x", "1", face_only.fusion, face_only.face, load(folder).voice)
    with pytest.raises(SettingsError, match="face is there, but has no weight"):
        Fused(
            "x", "1", load(write_bundle(tmp_path / "third", {"voice": 1.0})).fusion, face_only.face, load(folder).voice
        )


def test_a_part_that_is_taken_out_by_hand_is_refused(folder):
    with pytest.raises(BundleError, match=r"bundle\.json: incomplete or wrong .*lacks voice"):
        load(edited(folder, lambda c: c.pop("voice")))


def test_labels_other_than_those_of_the_fusion_are_refused(folder):
    with pytest.raises(BundleError, match="the fusion was fitted on the labels neutral, anger"):
        load(edited(folder, lambda c: c["labels"].reverse()))


def test_a_fusion_in_the_first_format_is_refused(folder):
    with pytest.raises(BundleError, match="both without a fusion of format 2"):
        load(edited(folder, lambda c: c.__setitem__("format", 1)))


def test_a_calibration_of_parts_that_are_not_fused_is_refused(folder):
    with pytest.raises(BundleError, match="calibration of 'voice\\+face': no combination"):
        load(edited(folder, lambda c: c["fusion"].__setitem__("calibrations", {"voice+face": HOT.__dict__})))


def test_a_fusion_without_weights_of_parts_is_refused(folder):
    blocks = np.stack([np.eye(7)] * 3)
    fusion.save(folder / "fusion.safetensors", StackedFusion("stacking", tuple(ALL), AFFWILD2, blocks, np.zeros(7)))
    with pytest.raises(BundleError, match="the fusion stacking has no weights of parts"):
        load(edited(folder, lambda _: None))


def test_damaged_weights_are_refused(folder):
    path = folder / "fusion.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError, match=r"fusion\.safetensors is damaged"):
        load(folder)


def test_a_net_that_is_not_there_is_one_line(folder, tmp_path):
    bundle = load(folder)
    lost = replace(bundle.voice, net=tmp_path / "lost.onnx")
    with pytest.raises(OutputError, match=r"lost\.onnx: cannot be copied"):
        write_fused(tmp_path / "new", Fused("x", "1", bundle.fusion, bundle.face, lost), card=CARD)
