from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emofuse import fusion
from emofuse.core.calibration import LogitCalibration
from emofuse.core.colour import Colour
from emofuse.core.files import digest, file_digest
from emofuse.core.labels import AFFWILD2
from emofuse.core.smoothing import Triangle
from emofuse.core.time import ticks
from emofuse.errors import BundleError, OutputError, SettingsError
from emofuse.fusion.log_pool import LogPoolFusion
from emofuse.fusion.stacking import StackedFusion
from emofuse.models import bundle as bundles
from emofuse.models.bundle import Bundle, bundled, load, write_bundle
from emofuse.models.face import FaceInput, FaceOutputsScorer, FaceScorer
from emofuse.models.fusion import ModalityFusion
from emofuse.runtime import PIECE, Engine
from support.fused_bundles import CARD, CROP
from support.fused_bundles import write_bundle as write_fused_bundle


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundled()["default"], tmp_path / "copy"))


def edited(folder: Path, change, *, sign: bool) -> Path:
    """The bundle with its manifest changed; `sign` also corrects the checksum."""
    manifest = folder / bundles.MANIFEST
    content = json.loads(manifest.read_text())
    content.pop("sha256")
    change(content)
    if sign:
        content["files"] = {f: file_digest(folder / f) for f in content["files"]}
    stated = digest(content) if sign else json.loads(manifest.read_text())["sha256"]
    manifest.write_text(json.dumps(content | {"sha256": stated}))
    return folder


def test_the_default_bundle_has_the_seven_challenge_labels_in_order():
    names = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
    assert load("default").label_set.names == names


def test_the_default_bundle_has_no_pickle():
    assert {p.suffix for p in bundled()["default"].iterdir()} <= {".json", ".onnx", ".safetensors", ".md"}


def test_scores_of_the_default_bundle_are_probabilities_for_any_batch_size():
    bundle = load("default")
    crops = np.random.default_rng(0).integers(
        0, 256, (37, bundle.face.crop.size, bundle.face.crop.size, 3), dtype=np.uint8
    )
    score = FaceScorer(bundle.face, Engine(1), classes=7)
    together = score(crops)
    assert together.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.concatenate([score(crops[n : n + 1]) for n in range(37)]) == pytest.approx(together, abs=1e-5)
    assert score(crops[:0]).shape == (0, 7)


def test_a_copied_bundle_has_the_same_identity(copy):
    assert load(copy).identity == load("default").identity


def test_a_path_named_like_a_bundled_bundle_is_that_folder(copy, monkeypatch):
    edited(copy, lambda c: c.update(version="other"), sign=True)
    monkeypatch.chdir(copy.parent)
    copy.rename("default")
    assert load(Path("default")).version == load("./default").version == "other"
    assert load("default").version != "other"


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(BundleError, match="did you mean 'default'"):
        load("defualt")


def test_a_damaged_network_is_refused(copy):
    net = copy / "face.onnx"
    content = bytearray(net.read_bytes())
    content[len(content) // 2] ^= 1
    net.write_bytes(content)
    with pytest.raises(BundleError, match=r"face\.onnx is damaged"):
        load(copy)


def test_a_missing_network_is_refused(copy):
    (copy / "face.onnx").unlink()
    with pytest.raises(BundleError, match=r"face\.onnx is missing"):
        load(copy)


def test_a_label_order_changed_by_hand_is_refused(copy):
    edited(copy, lambda c: c["labels"].reverse(), sign=False)
    with pytest.raises(BundleError, match="changed after it was written"):
        load(copy)


def only_faces(content: dict[str, Any]) -> None:
    for name in ("voice", "words"):
        content["modalities"].pop(name)
    content["fusion"] = None


def test_labels_that_do_not_fit_the_network_are_refused(copy):
    edited(copy, lambda c: (only_faces(c), c["labels"].append("contempt")), sign=True)
    with pytest.raises(
        BundleError, match=r"face\.onnx: the bundle has 8 labels, but its network.s output .logits. has 7 columns"
    ):
        load(copy).face_scorer(Engine(1))


def test_a_label_named_twice_is_refused(copy):
    edited(copy, lambda c: c["labels"].__setitem__(0, "anger"), sign=True)
    with pytest.raises(BundleError, match="occurs twice"):
        load(copy)


@pytest.mark.parametrize("number", [1, 2, 9])
def test_a_bundle_of_another_format_is_refused_in_one_line(copy, number):
    edited(copy, lambda c: c.__setitem__("format", number), sign=True)
    with pytest.raises(BundleError, match=rf"bundle\.json: format {number}, but this emofuse reads format 3; .*[^\n]$"):
        load(copy)


def test_windows_without_a_head_are_refused(copy):
    windows = {"seconds": 4.0, "step_seconds": 2.0}
    edited(copy, lambda c: c["modalities"]["face"].__setitem__("windows", windows), sign=True)
    with pytest.raises(BundleError, match=r"incomplete or wrong .windows without a head"):
        load(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", "not json"])
def test_a_file_that_is_not_a_bundle_description_is_one_line(copy, content):
    (copy / bundles.MANIFEST).write_text(content)
    with pytest.raises(BundleError, match="not a bundle description"):
        load(copy)


def test_a_missing_field_is_named(copy):
    edited(copy, lambda c: c["modalities"]["face"]["calibration"].pop("temperature"), sign=True)
    with pytest.raises(BundleError, match="temperature"):
        load(copy)


def test_colour_order_and_scale_are_those_of_the_bundle():
    crop = np.array([[[[10, 20, 30]]]], np.uint8)
    rgb = FaceInput(Colour.RGB, (1.0, 2.0, 3.0), (1.0, 2.0, 3.0))(crop)
    bgr = FaceInput(Colour.BGR, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))(crop)
    grey = FaceInput(Colour.GREY, (0.0,), (1.0,))(crop)
    assert rgb.ravel().tolist() == [9, 9, 9]
    assert bgr.ravel().tolist() == [30, 20, 10]
    assert grey.ravel() == pytest.approx([0.299 * 10 + 0.587 * 20 + 0.114 * 30])


ALL = {"face": 0.5, "face-windows": 0.2, "voice": [0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]}
HOT = LogitCalibration(1.25, (0.5, 0, 0, 0, 0, 0, -0.25))


@pytest.fixture
def fused(tmp_path: Path) -> Path:
    return write_fused_bundle(tmp_path, ALL, calibrations={"face+voice": HOT, "any": LogitCalibration.identity(7)})


def test_a_written_fused_bundle_is_loaded_again(fused):
    bundle = load(fused)
    assert bundle.modalities == ("face", "face-windows", "voice")
    assert bundle.face.smoothing == Triangle(ticks(Fraction(3, 2)))
    assert (bundle.face.windows.width, bundle.face.windows.step) == (ticks(2), ticks(1))
    assert bundle.voice.windows.min_voice == ticks(Fraction(3, 10))
    assert bundle.fusion.calibrations == {"face+voice": HOT, "any": LogitCalibration.identity(7)}
    assert bundle.fusion.weights.class_weights[:, 0] == pytest.approx([0.5, 0.2, 0.3])


def test_a_fused_bundle_has_no_pickle(fused):
    assert {p.suffix for p in fused.iterdir()} == {".json", ".onnx", ".safetensors"}


def test_a_loaded_bundle_can_be_written_again_in_its_place(fused):
    before = load(fused)
    again = write_bundle(fused, before)
    assert again.identity == before.identity


def test_another_weight_is_another_identity(fused):
    before = load(fused)
    table = before.fusion.weights.class_weights[:, ::-1].copy() * [[1]] + np.array([[0.1], [-0.1], [0]], np.float32)
    other = replace(before.fusion, weights=replace(before.fusion.weights, class_weights=table.astype(np.float32)))
    after = write_bundle(fused, replace(before, fusion=other))
    assert after.identity != before.identity


def test_a_pool_is_written_and_loaded_like_weights(fused):
    before = load(fused)
    weights = before.fusion.weights
    pool = LogPoolFusion("log-pool", weights.systems, AFFWILD2, weights.class_weights.astype(np.float64))
    again = write_bundle(fused, replace(before, fusion=ModalityFusion(pool)))
    assert np.array_equal(again.fusion.weights.exponents, pool.exponents)
    assert again.identity != before.identity


def test_both_outputs_of_the_network_come_from_one_inference(fused):
    judge = load(fused).face_scorer(Engine(1))
    assert isinstance(judge, FaceOutputsScorer)
    runs = []
    run = judge._net.run
    judge._net.run = lambda outputs, batch: runs.append(len(batch)) or run(outputs, batch)
    crops = np.random.default_rng(0).integers(0, 256, (20, CROP, CROP, 3), dtype=np.uint8)
    judged = judge(crops)
    assert runs == [PIECE] * 5
    for output, values in (("logits", judged.values), ("embedding", judged.embeddings)):
        alone = FaceScorer(load(fused).face, Engine(1), classes=7, output=output)(crops)
        assert values == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize(("parts", "columns"), [({"face": 1.0}, 7), ({"face-windows": 1.0}, 2)])
def test_a_bundle_of_one_modality_computes_only_the_output_it_needs(tmp_path, parts, columns):
    bundle = load(write_fused_bundle(tmp_path, parts))
    assert bundle.face_scorer(Engine(1))(np.zeros((3, CROP, CROP, 3), np.uint8)).shape == (3, columns)


def test_modalities_of_several_bundles_can_be_combined(tmp_path, fused):
    default, voice = load("default"), load(fused).voice
    two = fusion.METHODS["mean"].restore({"weights": np.full((2, 7), 0.5, np.float32)}, ("face", "voice"), AFFWILD2)
    fusion_of_two = replace(load(fused).fusion, weights=two, calibrations={})
    face = replace(default.face, smoothing=Triangle(ticks(1)))
    bundle = write_bundle(tmp_path / "new", Bundle("new", "1", AFFWILD2, CARD, face, voice, fusion_of_two))
    assert bundle.face.crop == default.face.crop
    assert bundle.face.calibration == default.face.calibration
    assert (tmp_path / "new" / "face.onnx").read_bytes() == (bundled()["default"] / "face.onnx").read_bytes()


def test_a_fusion_of_a_missing_modality_is_refused(fused):
    bundle = load(fused)
    with pytest.raises(SettingsError, match="the fusion of face, face-windows, voice lacks voice"):
        replace(bundle, voice=None)


def test_a_modality_without_a_weight_is_refused(tmp_path, fused):
    face_only = load(write_fused_bundle(tmp_path / "other", {"face": 1.0}))
    with pytest.raises(SettingsError, match=r"^voice has no weight in the fusion"):
        replace(face_only, voice=load(fused).voice)
    with pytest.raises(SettingsError, match=r"^face has no weight in the fusion"):
        replace(load(write_fused_bundle(tmp_path / "third", {"voice": 1.0})), face=face_only.face)


def test_a_modality_removed_by_hand_is_refused(fused):
    with pytest.raises(BundleError, match=r"bundle\.json: incomplete or wrong .*lacks voice"):
        load(edited(fused, lambda c: c["modalities"].pop("voice"), sign=True))


def test_labels_other_than_those_of_the_fusion_are_refused(fused):
    with pytest.raises(BundleError, match="the fusion was fitted on the labels neutral, anger"):
        load(edited(fused, lambda c: c["labels"].reverse(), sign=True))


def test_two_modalities_without_a_fusion_are_refused(fused):
    with pytest.raises(BundleError, match="several without a fusion"):
        load(edited(fused, lambda c: c.__setitem__("fusion", None), sign=True))


def test_a_calibration_of_modalities_that_are_not_fused_is_refused(fused):
    with pytest.raises(BundleError, match="calibration of 'voice\\+face': not a combination"):
        load(edited(fused, lambda c: c["fusion"].__setitem__("calibrations", {"voice+face": HOT.__dict__}), sign=True))


def test_a_fusion_without_weights_of_modalities_is_refused(fused):
    blocks = np.stack([np.eye(7)] * 3)
    fusion.save(fused / "fusion.safetensors", StackedFusion("stacking", tuple(ALL), AFFWILD2, blocks, np.zeros(7)))
    with pytest.raises(BundleError, match="the fusion stacking has no weights of modalities"):
        load(edited(fused, lambda _: None, sign=True))


def test_damaged_weights_are_refused(fused):
    path = fused / "fusion.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError, match=r"fusion\.safetensors is damaged"):
        load(fused)


def test_a_missing_network_cannot_be_written_in_one_line(fused, tmp_path):
    bundle = load(fused)
    lost = replace(bundle.voice, net=tmp_path / "lost.onnx")
    with pytest.raises(OutputError, match=r"lost\.onnx: cannot be copied"):
        write_bundle(tmp_path / "new", replace(bundle, voice=lost))
