"""Fusing bundles on videos of squares of varying brightness, with tones of varying loudness."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emofuse.core.parallel import Here
from emofuse.core.types import Clip
from emofuse.datasets.clip_digests import clip_digests
from emofuse.errors import DataError, SettingsError
from emofuse.evaluation.evaluate import Settings
from emofuse.experiments.fuse_bundles import FuseRequest, fuse
from emofuse.fusion.log_pool import LogPoolFusion
from emofuse.inference.predictor import predict
from emofuse.models.bundle import load
from emofuse.models.bundle import write_bundle as write_bundle_file
from support.fused_bundles import anger_and_happiness, use_square_detector, write_bundle
from support.spoken_words import train

SETTINGS = Settings(split=None, fuse=("log-pool",), folds=3, resamples=50, rows=True)


@pytest.fixture(autouse=True)
def squares(monkeypatch):
    use_square_detector(monkeypatch)


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("both"), {"face": 0.5, "voice": 0.5}, smoothing=None)


@pytest.fixture(scope="module")
def subjects(tmp_path_factory) -> Path:
    return anger_and_happiness(tmp_path_factory.mktemp("subjects"))


def fuse_all(*bundles: object, data: Path, out: Path, settings: Settings = SETTINGS, **more: object):
    request = FuseRequest(tuple(map(str, bundles)), data, out, settings, **more)
    return fuse(request, executor=Here(), note=lambda _: None, progress=lambda *_: None)


def test_the_fused_bundle_predicts_with_the_fitted_weights(both, subjects, tmp_path):
    bundle, result = fuse_all(both, data=subjects, out=tmp_path / "out", name="mine", version="3")
    assert (bundle.name, bundle.version, bundle.modalities) == ("mine", "3", ("face", "voice"))
    assert isinstance(bundle.fusion.weights, LogPoolFusion)
    assert np.array_equal(bundle.fusion.weights.exponents, result.fitted["log-pool"].exponents)
    assert bundle.face.smoothing is not None
    found = predict(subjects.parent / "eve-happiness.mkv", bundle=tmp_path / "out")
    expected = bundle.fusion(found.modalities[1], visible=np.ones(len(found.timeline), np.int64))
    assert np.allclose(found.scores[1].values, expected.values)


def test_words_get_a_part_of_the_exponents_of_the_voice(both, subjects, tmp_path):
    train(tmp_path)
    bundle, result = fuse_all(both, tmp_path / "words", data=subjects, out=tmp_path / "out")
    assert bundle.modalities == ("face", "voice", "words")
    *fitted, words = bundle.fusion.weights.exponents
    assert np.array_equal(fitted, result.fitted["log-pool"].exponents)
    assert words == pytest.approx(0.2 * fitted[1].mean())
    assert set(bundle.card["bundles"]) == {"both", "text-linear"}
    assert predict(subjects.parent / "eve-happiness.mkv", bundle=tmp_path / "out").metadata["modalities"] == [
        "face",
        "voice",
    ]


def test_words_are_fused_by_a_pool_and_with_a_voice(both, subjects, tmp_path):
    train(tmp_path)
    with pytest.raises(SettingsError, match="words are fused by log-pool, and with a voice"):
        fuse_all(
            both, tmp_path / "words", data=subjects, out=tmp_path / "out", settings=replace(SETTINGS, fuse=("mean",))
        )
    with pytest.raises(SettingsError, match="words alone cannot be fused"):
        fuse_all(tmp_path / "words", data=subjects, out=tmp_path / "out")


def test_labels_are_evaluated_at_each_row(both, subjects, tmp_path):
    _, result = fuse_all(both, data=subjects, out=tmp_path)
    assert result.frames == 6 * 15


def test_the_card_has_metrics_of_each_modality_and_of_the_cross_fitted_fusion(both, subjects, tmp_path):
    bundle, result = fuse_all(both, data=subjects, out=tmp_path)
    assert list(bundle.card["metrics"]) == ["face", "voice", "log-pool, cross-fitted"]
    fused = bundle.card["metrics"]["log-pool, cross-fitted"]
    assert fused["clips"] == 6
    assert fused["uar"] == round(result.rows[-1].estimates["uar"].value, 4)
    assert np.sum(fused["confusion"]) == result.frames
    assert bundle.card["bundles"]["both"]["licence"] == "x"


def test_a_second_run_reuses_the_predictions_and_writes_an_equal_bundle(both, subjects, tmp_path, monkeypatch):
    first, _ = fuse_all(both, data=subjects, out=tmp_path)
    monkeypatch.setattr(
        "emofuse.inference.predictor.Predictor.predict", lambda *_, **__: pytest.fail("predicted again")
    )
    again, _ = fuse_all(both, data=subjects, out=tmp_path)
    assert again.identity == first.identity
    other, _ = fuse_all(both, data=subjects, out=tmp_path, settings=Settings(None, fuse=("mcwf",), folds=3, rows=True))
    assert other.fusion.weights.method == "mcwf"


def test_weights_can_be_stored_in_half_precision(both, subjects, tmp_path):
    plain, _ = fuse_all(both, data=subjects, out=tmp_path / "plain")
    half, _ = fuse_all(both, data=subjects, out=tmp_path / "half", half=True)
    assert half.face.net == tmp_path / "half" / "face.onnx"
    assert half.fusion.weights.exponents == pytest.approx(plain.fusion.weights.exponents, abs=1e-3)


def test_half_precision_without_the_train_extra_is_an_error_of_one_line(both, subjects, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "emofuse.training.loop", None)
    with pytest.raises(
        SettingsError, match=r"--half needs emofuse\.training\.loop, which is not installed; pip install 'emofuse"
    ):
        fuse_all(both, data=subjects, out=tmp_path, half=True)


def test_several_networks_for_faces_and_voices_are_fused_by_the_names_of_their_bundles(both, subjects, tmp_path):
    write_bundle_file(tmp_path / "other", replace(load(both), name="other"))
    fused, result = fuse_all(both, tmp_path / "other", data=subjects, out=tmp_path / "out", half=True)
    assert fused.modalities == ("face", "face:other", "voice", "voice:other")
    assert fused.further["face:other"].net == tmp_path / "out" / "other" / "face.onnx"
    weights = dict(zip(fused.fusion.weights.systems, fused.fusion.weights.exponents, strict=True))
    assert weights["face"] == pytest.approx(weights["face:other"], abs=1e-2)  # the networks are equal
    assert result.frames == 6 * 15


def test_the_same_bundle_twice_is_refused(both, subjects, tmp_path):
    with pytest.raises(SettingsError, match="one of these bundles is given twice"):
        fuse_all(both, both, data=subjects, out=tmp_path)


def test_one_modality_alone_is_refused(subjects, tmp_path):
    with pytest.raises(
        SettingsError, match="face alone cannot be fused; give a bundle for faces and one for the voice"
    ):
        fuse_all(write_bundle(tmp_path, {"face": 1.0}), data=subjects, out=tmp_path / "out")


def test_a_method_without_weights_of_modalities_is_refused(both, subjects, tmp_path):
    with pytest.raises(SettingsError, match="--method stacking: has no weight per modality; choose log-pool"):
        fuse_all(both, data=subjects, out=tmp_path, settings=Settings(None, fuse=("stacking",), folds=3, rows=True))
    assert not (tmp_path / "bundle.json").exists()


def trained_on(folder: Path, bundle: Path, **card: object) -> Path:
    loaded = load(bundle)
    write_bundle_file(folder, replace(loaded, card=dict(loaded.card) | card))
    return folder


def test_clips_that_a_bundle_was_trained_on_are_refused_under_any_name(both, subjects, tmp_path):
    copy = tmp_path / "renamed.mkv"
    shutil.copy(subjects.parent / "eve-happiness.mkv", copy)
    files = " ".join(clip_digests([Clip("x", copy)]).values())
    seen = trained_on(tmp_path / "seen", both, train_files=files)
    with pytest.raises(
        SettingsError, match=r"both was trained on 1 of the 6 clips \(eve-happiness, \.\.\.\).*--allow-seen"
    ):
        fuse_all(seen, data=subjects, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    bundle, result = fuse_all(seen, data=subjects, out=tmp_path / "out", allow_seen=True)
    (remark,) = bundle.card["notes"]
    assert remark in result.notes
    assert bundle.train_files == {files}


def test_a_bundle_without_digests_is_compared_by_the_name_of_its_data_set(both, subjects, tmp_path):
    text = subjects.read_text().splitlines()
    lines = [f"{text[0]},split", *(f"{line},train" for line in text[1:])]
    subjects.with_name("split.csv").write_text("\n".join(lines))
    seen = trained_on(tmp_path / "seen", both, data=f"{subjects.parent.name}/split")
    with pytest.raises(SettingsError, match="both was trained on 6 of the 6 clips"):
        fuse_all(seen, data=subjects.with_name("split.csv"), out=tmp_path / "out")


def test_a_bundle_is_not_written_over_one_that_it_is_fuse_all(both, subjects):
    with pytest.raises(SettingsError, match=r"is the folder of the bundle .*, which would be lost; give another"):
        fuse_all(both, data=subjects, out=both)


def test_a_clip_that_cannot_be_predicted_is_named(both, subjects, tmp_path):
    (tmp_path / "broken.mkv").write_bytes(b"not a video")
    (tmp_path / "clips.csv").write_text("path,label,subject\nbroken.mkv,anger,ann\n")
    with pytest.raises(DataError, match=r"broken\.mkv"):
        fuse_all(both, data=tmp_path / "clips.csv", out=tmp_path / "out")
