"""The stage before Visual 3: a network is trained on FER-2013, and other systems start from its weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from emofuse.core.colour import Colour
from emofuse.datasets.fer2013.dataset import Fer2013
from emofuse.errors import DataError, SettingsError, WeightsError
from emofuse.faces.crop import fer_crop, identity_crop
from emofuse.models.bundle import Bundle, load
from emofuse.models.face import EMBEDDING, OUTPUT, FaceScorer
from emofuse.nets import pretrained
from emofuse.nets.catalogue import NETWORKS, network_for
from emofuse.nets.vggface import VGGFace, VGGFaceSettings
from emofuse.nets.wrappers import Resize
from emofuse.runtime import Engine
from emofuse.training import loop as fit
from emofuse.training.train import TrainRequest, train
from emofuse.training.training_run import WEIGHTS
from support.fer2013_files import generate_faces, write_random_table, write_table

QUICK = {
    "fit__epochs": "2",
    "fit__batch": "14",
    "fit__lr": "0.01",
    "fit__ema_decay": "none",
    "net__augment": "none",
}


def trained(system: str, data: Path, out: Path, *, weights: Path | None = None, **changes: str) -> Bundle:
    """A system in its tiny version; names of settings with __ for the dot."""
    given = {"net.tiny": "true"} | {name.replace("__", "."): value for name, value in changes.items()}
    train(TrainRequest(system, data, out, given, weights), report=lambda _: None)
    return load(out)


def stage(system: str, data: Path, out: Path, **changes: str) -> Bundle:
    return trained(system, data, out, **QUICK | changes)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums have the same order in all tests and fixtures."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_random_table(tmp_path_factory.mktemp("fer") / "fer2013.csv")


@pytest.fixture(scope="module")
def runs(table, tmp_path_factory) -> dict[str, Path]:
    """The folders of the two stages."""
    root = tmp_path_factory.mktemp("stages")
    for name in ("vggfer", "mobile-fer"):
        stage(name, table, root / name)
    return {name: root / name for name in ("vggfer", "mobile-fer")}


def test_the_bundle_of_the_stage_crops_like_fer2013_and_takes_grey_faces(runs):
    bundle = load(runs["vggfer"])
    assert bundle.face.crop == fer_crop(48)
    assert bundle.face.input.colour is Colour.GREY
    assert bundle.card["metrics"]["validation"]["images"] == 28
    assert "FER-2013" in bundle.card["licence"]


@pytest.mark.parametrize(
    ("parent", "system", "name"), [("vggfer", "vggfer-kelm", "vggfer"), ("mobile-fer", "mobile-kelm", "mobilefacenet")]
)
def test_a_kernel_elm_starts_from_the_weights_of_the_stage(runs, corpus, tmp_path, parent, system, name):
    bundle = trained(system, corpus[0], tmp_path, weights=runs[parent])
    assert bundle.card["start"]["name"] == parent
    assert bundle.face.crop == identity_crop(112)
    weights = network_for(name).build(tiny=True)
    pretrained.load_pretrained(weights, runs[parent] / WEIGHTS, name=name)
    faces = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3)).astype(np.uint8)
    given = bundle.face.input
    prepare = fit.Faces(given.colour, given.mean, given.scale, None, None)
    expected = fit.predict(
        nn.Sequential(Resize(network_for(name).tiny_size), weights), faces, prepare=prepare
    ).embeddings
    found = FaceScorer(bundle.face, Engine(), classes=7, output=EMBEDDING)(faces)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_the_bundle_scores_colour_crops_like_the_grey_images_of_its_training(table, tmp_path, monkeypatch):
    # Faces of 48 pixels are not resized in training or prediction.
    small = VGGFaceSettings(widths=(4, 6), convolutions=(1, 1), hidden=10, size=48)
    entry = replace(NETWORKS["vggface"], builder=lambda classes, tiny: VGGFace(small), tiny_size=48)
    monkeypatch.setitem(NETWORKS._own, "vggface", entry)
    bundle = stage("vggfer", table, tmp_path)
    images = Fer2013(table).images("public-test")
    scores = FaceScorer(bundle.face, Engine(), classes=7, output=OUTPUT)(np.repeat(images.faces[..., None], 3, axis=3))
    assert (scores.argmax(axis=1) == images.labels).mean() == pytest.approx(
        bundle.card["metrics"]["validation"]["accuracy"], abs=1e-4
    )


def test_the_private_test_split_does_not_change_the_weights(table, runs, tmp_path):
    lines = table.read_text().splitlines()
    (tmp_path / "fer.csv").write_text("\n".join(line for line in lines if "PrivateTest" not in line) + "\n")
    stage("mobile-fer", tmp_path / "fer.csv", tmp_path / "out")
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (runs["mobile-fer"] / WEIGHTS).read_bytes()


def test_the_stage_is_more_accurate_than_chance(tmp_path):
    table = write_random_table(tmp_path / "fer.csv", train=210)
    bundle = stage("mobile-fer", table, tmp_path / "out", fit__epochs="6")
    assert bundle.card["metrics"]["validation"]["accuracy"] > 0.7  # of seven classes


def test_the_stage_can_be_trained_on_clips(corpus, tmp_path):
    bundle = trained("vggfer", corpus[0], tmp_path, fit__epochs="1")
    assert bundle.face.crop == identity_crop(112)
    assert bundle.face.input.colour is Colour.RGB
    assert (tmp_path / WEIGHTS).is_file()


@pytest.mark.parametrize(
    ("system", "changes", "weights", "error", "message"),
    [
        ("mobile-kelm", {}, "vggfer", WeightsError, r"or a MobileFaceNet .*, found a VGGFace trained as 'vggfer'"),
        ("vggfer-kelm", {"net__tiny": "false"}, "vggfer", WeightsError, r"'average' is \[3, 56, 56\] in the file"),
        ("vggfer-kelm", {"net__scratch": "true"}, "vggfer", SettingsError, "net.scratch starts from random weights"),
        ("vggfer-kelm", {}, ".", WeightsError, r"a folder without weights\.safetensors; give that of a finished"),
        ("vggfer-kelm", {}, "no.mat", WeightsError, r"no\.mat: cannot be read"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_in_one_line(
    runs, corpus, tmp_path, system, changes, weights, error, message
):
    path = runs.get(weights, tmp_path / weights)
    with pytest.raises(error, match=message) as raised:
        trained(system, corpus[0], tmp_path / "out", weights=path, **changes)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out" / "bundle.json").exists()


def test_a_system_on_windows_cannot_be_trained_on_single_images(table, tmp_path):
    with pytest.raises(SettingsError, match="mobile-svm: classifies windows of clips, but fer2013 has single images"):
        trained("mobile-svm", table, tmp_path)


def test_a_table_without_a_public_test_split_is_refused(tmp_path):
    table = write_table(tmp_path / "f.csv", [(0, face, "Training") for face in generate_faces([0] * 14)])
    with pytest.raises(DataError, match=r"f\.csv: no faces of public-test, found train \(14\)"):
        trained("mobile-fer", table, tmp_path / "out")
