"""Training a face system on the synthetic corpus in its tiny version, and predicting with the result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from emofuse import heads
from emofuse.core.files import file_digest
from emofuse.core.labels import AFFWILD2
from emofuse.core.settings import with_settings
from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Track
from emofuse.core.windows import Windows
from emofuse.datasets import open_data
from emofuse.errors import DataError, SettingsError, WeightsError
from emofuse.faces.crop import CROP_PRESETS, identity_crop
from emofuse.inference import predictor as predicting
from emofuse.models.bundle import bundled, load
from emofuse.models.face import OUTPUT, FaceScorer
from emofuse.nets.catalogue import network_for
from emofuse.runtime import Engine
from emofuse.systems import SYSTEMS, system
from emofuse.training import loop as fit
from emofuse.training.train import TrainRequest, train, train_system
from emofuse.training.training_run import WEIGHTS, TrainingRun
from emofuse.training.window_head import window_rows
from support.media_files import moving_bar, write_media
from support.small_datasets import InMemoryData

TINY = {"net.tiny": "true", "fit.epochs": "1", "fit.batch": "16", "fit.lr": "0.001"}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[TrainingRun]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # for all tests here: sums in the same order, and so the same metrics in the card
    callbacks = fit.Callbacks(events=False)
    yield TrainingRun(tmp_path_factory.mktemp("faces"), callbacks=callbacks)
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(corpus, run):
    """`mobile-svm` in its tiny version, trained on the synthetic corpus."""
    return train_system(with_settings(system("mobile-svm"), TINY), open_data(corpus[0]), run)


def test_the_bundle_has_a_head_for_windows_and_records_how_it_was_trained(trained):
    assert trained.face.windows is not None
    assert trained.window_head().label_set == AFFWILD2
    assert trained.card["definition"]["fit"]["epochs"] == 1
    assert set(trained.card["metrics"]["validation"]) >= {"cpm", "uar", "interval", "clips"}


def test_the_bundle_predicts_videos(trained, run, talk):
    prediction = predicting.predict(talk, bundle=run.out)
    scores = prediction.scores[1]
    assert len(scores) == 30
    assert scores.values[scores.valid].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert prediction.at(1.0)[0].emotion in AFFWILD2.names


def test_training_again_reuses_cached_embeddings(trained, corpus, run):
    times = {p: p.stat().st_mtime_ns for p in (run.out / "embeddings").iterdir()}
    again = train_system(with_settings(system("mobile-svm"), TINY), open_data(corpus[0]), run)
    assert {p: p.stat().st_mtime_ns for p in (run.out / "embeddings").iterdir()} == times
    assert again.identity == trained.identity


def test_a_network_without_windows_is_calibrated_on_the_validation_split(corpus, run, tmp_path):
    bundle = train_system(with_settings(system("mobile"), TINY), open_data(corpus[0]), replace(run, out=tmp_path))
    assert bundle.face.windows is None
    assert bundle.face.calibration is not None
    assert bundle.face.calibration.temperature != 1.0


def test_the_head_is_a_kernel_elm_if_the_definition_says_so(corpus, run, tmp_path):
    definition = with_settings(system("mobile-kelm"), {"net.tiny": "true"})
    bundle = train_system(definition, open_data(corpus[0]), replace(run, out=tmp_path))
    assert isinstance(bundle.window_head().head, heads.KernelELM)
    assert bundle.face.windows.step == bundle.face.windows.width  # without overlap


STANDARDISED = TINY | {"net.standardise": "true", "net.augment": "gentle"}


def test_with_standardised_faces_brightness_and_contrast_do_not_change_the_scores(corpus, run, tmp_path):
    definition = with_settings(system("mobile"), STANDARDISED)
    bundle = train_system(definition, open_data(corpus[0]), replace(run, out=tmp_path))
    faces = np.random.default_rng(0).integers(0, 100, (3, 112, 112, 3)).astype(np.uint8)
    score = FaceScorer(bundle.face, Engine(), classes=7, output=OUTPUT)
    np.testing.assert_allclose(score(2 * faces + 40), score(faces), rtol=1e-2, atol=1e-3)


def test_with_standardised_faces_layers_keep_their_names_in_frozen_and_lr_factors(corpus, run, tmp_path):
    changes = {"fit.frozen": "conv1", "fit.lr_factors": "classify:10"}
    definition = with_settings(system("mobile"), STANDARDISED | changes)
    train_system(definition, open_data(corpus[0]), replace(run, out=tmp_path))
    weights = load_file(tmp_path / WEIGHTS)
    start = fit.fresh(lambda: network_for("mobilefacenet").build(tiny=True), seed=0).state_dict()
    changed = {name for name, values in start.items() if not torch.equal(values, weights[name])}
    assert "classify.weight" in changed
    assert not [name for name in changed if name.startswith("conv1.")]


def test_a_network_of_the_bundle_starts_from_its_weights(corpus, run, tmp_path):
    bundle = train_system(system("expression-kelm"), open_data(corpus[0]), replace(run, out=tmp_path))
    assert bundle.card["start"]["file"] == "weights.safetensors"
    assert bundle.card["start"]["sha256"] == file_digest(bundled()["default"] / "weights.safetensors")
    assert bundle.face.crop == identity_crop(112)  # the faces of the corpus itself


def test_faces_are_cropped_from_videos_as_the_network_was_trained():
    face = system("expression").net
    assert CROP_PRESETS[face.framing](face.side) == load("default").face.crop


def test_windows_take_the_commonest_label_of_their_faces_and_unlabelled_ones_are_left_out():
    labels = [0] * 10 + [3] * 20 + [-1] * 30
    data = InMemoryData({"v": labels}, rate_hz=5)
    frames = Timeline.steps(5, end=ticks(12))
    embeddings = Track(np.arange(60, dtype=np.float32)[:, None], frames, np.arange(60) != 1, "v")
    features, found, groups = window_rows(Windows(4, 2), lambda _: embeddings, data, data.clips)
    assert found.tolist() == [0, 3, 3]  # the first has ten of each: the first class; the last three have no label
    assert groups.tolist() == [0, 0, 0]
    assert features[1] == pytest.approx([np.arange(10, 30).mean(), np.arange(10, 30).std()])


def test_every_definition_has_a_digest_of_its_own():
    assert len({s.digest for s in SYSTEMS.values()}) == len(SYSTEMS)
    assert {"vggface2", "vggface2-svm", "vggfer-kelm"} <= set(SYSTEMS)


@pytest.mark.parametrize(
    ("name", "changes", "error", "message"),
    [
        ("vggface2-svn", {}, SettingsError, r"did you mean 'vggface2-svm'"),
        ("mobile-svm", {"fit.lrr": "1"}, SettingsError, r"lrr.*did you mean 'fit\.lr'|lrr.*lr"),
        ("mobile-svm", {"fit.epochs": "many"}, SettingsError, "many"),
        ("mobile-svm", {}, SettingsError, r"starts from the weights 'mobilefacenet'.*--weights"),
        ("mobile", {"net.tiny": "true", "fit.epochs": "0"}, SettingsError, "nothing is trained"),
        ("mobile", TINY | {"net.framing": "far"}, SettingsError, "net.framing .far.: unknown .*; choose identity, fer"),
        ("mobile-svm", TINY | {"head.kind": "forest"}, SettingsError, "choose svm or kelm"),
    ],
)
def test_impossible_requests_are_refused_in_one_line(corpus, tmp_path, name, changes, error, message):
    request = TrainRequest(name, corpus[0], tmp_path, changes)
    with pytest.raises(error, match=message) as raised:
        train(request, report=lambda _: None)
    assert "\n" not in str(raised.value)


def test_weights_of_another_network_are_refused(corpus, run, tmp_path):
    other = tmp_path / "vgg.mat"
    other.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"vgg\.mat"):
        train_system(system("mobile-svm"), open_data(corpus[0]), replace(run, out=tmp_path / "out", weights=other))
    assert not (tmp_path / "out" / "bundle.json").exists()


@pytest.fixture(scope="module")
def videos(talk, tmp_path_factory):
    """A folder with three copies of a talking head, and a video without a face."""
    folder = tmp_path_factory.mktemp("videos")
    for name in ("talk.mp4", "walk.mp4", "chat.mp4"):
        shutil.copy(talk, folder / name)
    write_media(folder / "bars.mp4", moving_bar(30, 160, 120))
    return folder


def listed(folder, name, rows):
    (folder / name).write_text("\n".join(["path,label,start,end,split", *rows]) + "\n")
    return open_data(folder / name)


TALK = ["{}.mp4,neutral,0,2,{}", "{}.mp4,fear,2,4.1,{}", "{}.mp4,anger,4.1,6,{}"]


@pytest.mark.parametrize("name", ["mobile", "mobile-svm"])
def test_systems_train_on_listed_videos_and_clips_without_a_face_are_left_out(videos, run, tmp_path, name):
    splits = (("talk", "train"), ("walk", "train"), ("chat", "validation"))
    rows = [row.format(*clip) for clip in splits for row in TALK]
    data = listed(videos, f"{name}.csv", [*rows, "bars.mp4,sadness,,,train"])
    lines = []
    short = {"windows.seconds": "1", "windows.step_seconds": "0.5"} if name == "mobile-svm" else {}
    definition = with_settings(system(name), TINY | {"fit.batch": "8"} | short)
    bundle = train_system(definition, data, replace(run, out=tmp_path, report=lines.append))
    assert "train: 1 of 3 clips have no face with a label and are left out" in lines
    assert bundle.card["examples"] % 2 == 0
    assert 40 < bundle.card["examples"] < 60  # of 60 steps, since the person is away for a second of each
    assert len(list((tmp_path / "faces").glob("*.npy"))) == 2  # the three videos of the talking head are equal
    if name == "mobile-svm":
        assert "1 of 3 clips have no labelled window with a face and are left out" in lines


def test_a_validation_clip_without_a_face_counts_against_the_system(videos, run, tmp_path):
    rows = [row.format("talk", "train") for row in TALK] + [row.format("chat", "validation") for row in TALK]
    data = listed(videos, "silent.csv", [*rows, "bars.mp4,sadness,,,validation"])
    definition = with_settings(system("mobile"), TINY | {"fit.batch": "8"})
    bundle = train_system(definition, data, replace(run, out=tmp_path))
    assert bundle.card["metrics"]["validation"]["clips"] == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [("mobile", "none of 1 clips has a face with a label"), ("mobile-kelm", "none of 1 clips has a labelled window")],
)
def test_a_split_without_any_face_is_refused_in_one_line(videos, run, tmp_path, name, message):
    rows = ["bars.mp4,sadness,,,train", *(row.format("chat", "validation") for row in TALK)]
    epochs = {"fit.epochs": "0"} if name == "mobile-kelm" else {}
    definition = with_settings(system(name), TINY | epochs)
    with pytest.raises(DataError, match=message) as raised:
        train_system(definition, listed(videos, f"none-{name}.csv", rows), replace(run, out=tmp_path))
    assert "\n" not in str(raised.value)


def test_a_validation_split_without_labels_has_no_metrics(videos, run, tmp_path):
    rows = [row.format("talk", "train") for row in TALK]
    data = listed(videos, "unlabelled.csv", [*rows, "chat.mp4,,,,validation"])
    definition = with_settings(system("mobile-kelm"), {"net.tiny": "true", "windows.seconds": "1"})
    bundle = train_system(definition, data, replace(run, out=tmp_path))
    assert bundle.card["metrics"]["validation"]["cpm"] is None


def test_a_data_set_without_a_labelled_face_is_refused(corpus, run, tmp_path):
    data = open_data(corpus[0])
    for split in ("Training_Set", "Validation_Set"):
        target = tmp_path / "aw" / "annotations" / "EXPR_Set" / split
        target.mkdir(parents=True)
        for file in (data.path / "annotations" / "EXPR_Set" / split).iterdir():
            lines = file.read_text().splitlines()
            (target / file.name).write_text("\n".join([lines[0], *["-1"] * (len(lines) - 1)]) + "\n")
    for folder in ("videos", "cropped_aligned"):
        (tmp_path / "aw" / folder).symlink_to(data.path / folder)
    with pytest.raises(DataError, match="has a face with a label"):
        train_system(
            with_settings(system("mobile-svm"), TINY), open_data(tmp_path / "aw"), replace(run, out=tmp_path / "out")
        )


def test_bundle_json_is_plain_json_with_the_windows_and_the_head(trained, run):
    content = json.loads((run.out / "bundle.json").read_text(), parse_constant=pytest.fail)
    face = content["modalities"]["face"]
    assert (face["windows"]["seconds"], face["windows"]["step_seconds"], face["head"]) == (4, 2, "head.safetensors")
