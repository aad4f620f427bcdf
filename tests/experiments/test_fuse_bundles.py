"""Fusing bundles by films of squares that are more or less light, with tones that are more or less loud."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from emofuse.core.parallel import Here
from emofuse.errors import DataError, SettingsError
from emofuse.evaluation.evaluate import Settings
from emofuse.experiments.fuse_bundles import FuseRequest, fuse
from emofuse.fusion.log_pool import LogPoolFusion
from emofuse.inference.predictor import predict
from support.fused_bundles import anger_and_happiness, use_square_detector, write_bundle

SETTINGS = Settings(split=None, fuse=("log-pool",), folds=3, resamples=50, rows=True)


@pytest.fixture(autouse=True)
def squares(monkeypatch):
    use_square_detector(monkeypatch)


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("both"), {"face": 0.5, "voice": 0.5}, smoothing=None)


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return anger_and_happiness(tmp_path_factory.mktemp("people"))


def made_of(*bundles: object, data: Path, out: Path, settings: Settings = SETTINGS, **more: object):
    request = FuseRequest(tuple(map(str, bundles)), data, out, settings, **more)
    return fuse(request, executor=Here(), note=lambda _: None, progress=lambda *_: None)


def test_a_bundle_comes_out_that_predicts_with_the_fitted_weights(both, people, tmp_path):
    bundle, result = made_of(both, data=people, out=tmp_path / "out", name="mine", version="3")
    assert (bundle.name, bundle.version, bundle.modalities) == ("mine", "3", ("face", "voice"))
    assert isinstance(bundle.fusion.weights, LogPoolFusion)
    assert np.array_equal(bundle.fusion.weights.exponents, result.fitted["log-pool"].exponents)
    assert bundle.face.smoothing is not None
    found = predict(people.parent / "eve-happiness.mkv", bundle=tmp_path / "out")
    expected = bundle.fusion(found.modalities[1], visible=np.ones(len(found.timeline), np.int64))
    assert np.allclose(found.scores[1].values, expected.values)


def test_labels_are_of_rows_and_not_of_whole_clips(both, people, tmp_path):
    _, result = made_of(both, data=people, out=tmp_path)
    assert result.frames == 6 * 15


def test_its_card_has_each_part_and_the_fusion_on_people_it_was_not_fitted_on(both, people, tmp_path):
    bundle, result = made_of(both, data=people, out=tmp_path)
    assert list(bundle.card["metrics"]) == ["face", "voice", "log-pool, cross-fitted"]
    fused = bundle.card["metrics"]["log-pool, cross-fitted"]
    assert fused["clips"] == 6
    assert fused["uar"] == round(result.rows[-1].estimates["uar"].value, 4)
    assert np.sum(fused["confusion"]) == result.frames
    assert bundle.card["bundles"]["both"]["licence"] == "x"


def test_what_was_predicted_is_not_predicted_again_and_gives_the_same_bundle(both, people, tmp_path, monkeypatch):
    first, _ = made_of(both, data=people, out=tmp_path)
    monkeypatch.setattr(
        "emofuse.inference.predictor.Predictor.predict", lambda *_, **__: pytest.fail("predicted again")
    )
    again, _ = made_of(both, data=people, out=tmp_path)
    assert again.identity == first.identity
    other, _ = made_of(both, data=people, out=tmp_path, settings=Settings(None, fuse=("mcwf",), folds=3, rows=True))
    assert other.fusion.weights.method == "mcwf"


def test_weights_may_lie_in_half_precision(both, people, tmp_path):
    plain, _ = made_of(both, data=people, out=tmp_path / "plain")
    half, _ = made_of(both, data=people, out=tmp_path / "half", half=True)
    assert half.face.net == tmp_path / "half" / "face.onnx"
    assert half.fusion.weights.exponents == pytest.approx(plain.fusion.weights.exponents, abs=1e-3)


def test_half_precision_without_what_training_needs_is_one_line(both, people, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "emofuse.training.loop", None)
    with pytest.raises(
        SettingsError, match=r"--half needs emofuse\.training\.loop, which is not installed; pip install 'emofuse"
    ):
        made_of(both, data=people, out=tmp_path, half=True)


def test_two_nets_on_faces_are_refused(both, people, tmp_path):
    with pytest.raises(SettingsError, match="more than one bundle has faces; give one for faces and one for the voice"):
        made_of(both, both, data=people, out=tmp_path)


def test_one_part_alone_is_refused(people, tmp_path):
    with pytest.raises(
        SettingsError, match="face alone cannot be fused; give a bundle for faces and one for the voice"
    ):
        made_of(write_bundle(tmp_path, {"face": 1.0}), data=people, out=tmp_path / "out")


def test_a_method_without_weights_of_parts_is_refused(both, people, tmp_path):
    with pytest.raises(SettingsError, match="--method stacking: has no weight per modality; choose log-pool"):
        made_of(both, data=people, out=tmp_path, settings=Settings(None, fuse=("stacking",), folds=3, rows=True))
    assert not (tmp_path / "bundle.json").exists()


def test_a_clip_that_cannot_be_predicted_is_named(both, people, tmp_path):
    (tmp_path / "broken.mkv").write_bytes(b"no film")
    (tmp_path / "people.csv").write_text("path,label,subject\nbroken.mkv,anger,ann\n")
    with pytest.raises(DataError, match=r"broken\.mkv"):
        made_of(both, data=tmp_path / "people.csv", out=tmp_path / "out")
