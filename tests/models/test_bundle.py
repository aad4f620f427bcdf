from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emofuse.core.colour import Colour
from emofuse.core.files import digest
from emofuse.errors import BundleError
from emofuse.models import bundle as bundles
from emofuse.models.bundle import load, shipped
from emofuse.models.face import FaceInput
from emofuse.runtime import Engine


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped()["default"], tmp_path / "copy"))


def edited(folder: Path, change, *, sign: bool) -> Path:
    """The bundle with its manifest changed; `sign` makes the checksum right again, as a careless maker would."""
    manifest = folder / bundles.MANIFEST
    content = json.loads(manifest.read_text())
    content.pop("sha256")
    change(content)
    stated = digest(content) if sign else json.loads(manifest.read_text())["sha256"]
    manifest.write_text(json.dumps(content | {"sha256": stated}))
    return folder


def test_the_default_bundle_has_the_seven_challenge_labels_in_order():
    names = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
    assert load("default").label_set.names == names


def test_the_default_bundle_has_no_pickle():
    assert {p.suffix for p in shipped()["default"].iterdir()} <= {".json", ".onnx", ".safetensors", ".md"}


def test_scores_of_the_default_bundle_are_probabilities_whatever_the_batch():
    bundle = load("default")
    crops = np.random.default_rng(0).integers(
        0, 256, (37, bundle.face.crop.size, bundle.face.crop.size, 3), dtype=np.uint8
    )
    score = bundle.face_scorer(Engine(1))
    together = score(crops)
    assert together.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.concatenate([score(crops[n : n + 1]) for n in range(37)]) == pytest.approx(together, abs=1e-5)
    assert score(crops[:0]).shape == (0, 7)


def test_a_copied_bundle_predicts_from_its_folder(copy):
    assert load(copy).identity == load("default").identity


def test_a_folder_that_is_called_like_one_that_ships_is_that_folder(copy, monkeypatch):
    edited(copy, lambda c: c.update(version="other"), sign=True)
    monkeypatch.chdir(copy.parent)
    copy.rename("default")
    assert load(Path("default")).version == load("./default").version == "other"
    assert load("default").version != "other"


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(BundleError, match="did you mean 'default'"):
        load("defualt")


def test_a_damaged_net_is_refused(copy):
    net = copy / "face.onnx"
    content = bytearray(net.read_bytes())
    content[len(content) // 2] ^= 1
    net.write_bytes(content)
    with pytest.raises(BundleError, match=r"face\.onnx is damaged"):
        load(copy)


def test_a_missing_net_is_refused(copy):
    (copy / "face.onnx").unlink()
    with pytest.raises(BundleError, match=r"face\.onnx is missing"):
        load(copy)


def test_a_label_order_changed_by_hand_is_refused(copy):
    edited(copy, lambda c: c["labels"].reverse(), sign=False)
    with pytest.raises(BundleError, match="changed after it was made"):
        load(copy)


def only_faces(content: dict[str, Any]) -> None:
    """As a bundle that looks and nothing else."""
    for part in ("voice", "fusion"):
        content.pop(part)
    content["format"] = 1


def test_labels_that_do_not_fit_the_net_are_refused(copy):
    edited(copy, lambda c: (only_faces(c), c["labels"].append("contempt")), sign=True)
    with pytest.raises(
        BundleError, match=r"face\.onnx: the bundle has 8 labels, but its net.s output .logits. has 7 columns"
    ):
        load(copy).face_scorer(Engine(1))


def test_a_label_named_twice_is_refused(copy):
    edited(copy, lambda c: c["labels"].__setitem__(0, "anger"), sign=True)
    with pytest.raises(BundleError, match="occurs twice"):
        load(copy)


def test_a_bundle_of_another_format_says_which(copy):
    edited(copy, lambda c: c.__setitem__("format", 9), sign=True)
    with pytest.raises(BundleError, match="format 9, this emofuse reads 1"):
        load(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", "not json"])
def test_a_manifest_that_is_none_is_one_line(copy, content):
    (copy / bundles.MANIFEST).write_text(content)
    with pytest.raises(BundleError, match="not a bundle description"):
        load(copy)


def test_a_missing_field_is_named(copy):
    edited(copy, lambda c: c["face"].pop("temperature"), sign=True)
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
