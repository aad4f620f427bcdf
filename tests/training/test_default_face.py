"""Training of the default bundle's face network, on a few synthetic faces for one epoch each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.datasets.fer2013.dataset import Fer2013
from emofuse.errors import DataError, SettingsError
from emofuse.faces.crop import FER_TEMPLATE, fer_crop
from emofuse.models.bundle import load
from emofuse.models.face import IDENTITY, NET
from emofuse.runtime import Engine, OnnxNetwork
from emofuse.training import default_face, default_faces
from support.small_face_data import SHORT, write_face_data, write_face_weights, write_photographs


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_face_data(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_face_weights(tmp_path_factory.mktemp("weights") / "mobile.pt")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data, weights) -> tuple[Path, list[tuple[str, int]]]:
    out = tmp_path_factory.mktemp("default")
    epochs: list[tuple[str, int]] = []
    training = default_face.DefaultTraining(SHORT, out, lambda n, e: epochs.append((n, e.epoch)))
    default_face.train(data, weights, training)
    default_face.train(data, weights, training)
    return out, epochs


def test_each_stage_is_trained_once(trained):
    assert trained[1] == [("broad", 0), ("polish", 0)]


@pytest.mark.parametrize("name", ["votes_weight", "smoothing", "fer_part"])
def test_a_part_above_1_is_refused_before_anything_is_trained(name):
    with pytest.raises(SettingsError, match=rf"default-face: {name} is 1\.5; give 0 to 1"):
        default_face.DefaultSettings(**{name: 1.5})


def test_a_size_that_does_not_fit_the_network_is_refused():
    with pytest.raises(SettingsError, match="size is 100; give a multiple of 16"):
        default_face.DefaultSettings(size=100)


def test_the_bundle_scores_single_faces(trained):
    bundle = load(trained[0])
    assert (bundle.name, bundle.label_set, bundle.modalities) == ("default-face", AFFWILD2, ("face",))
    crops = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    assert bundle.face_scorer(Engine(1, "cpu"))(crops).values.sum(axis=1) == pytest.approx(1)


def test_the_network_has_identities(trained):
    assert OnnxNetwork(trained[0] / NET, Engine(1, "cpu")).outputs[IDENTITY][-1] == 128


def test_the_card_has_metrics_of_what_was_set_aside(trained):
    metrics = load(trained[0]).card["metrics"]
    assert set(metrics) == {"rafdb-set-aside", "fer2013-private-test"}
    assert metrics["rafdb-set-aside"]["images"] == sum(
        default_faces.part_of(f"face_{n:03d}.png") == default_faces.TEST for n in range(63)
    )
    assert metrics["fer2013-private-test"]["images"] == 28
    assert metrics["fer2013-private-test"]["ferplus"]["majority"]["images"] == 0  # the table has no votes


def test_nothing_that_is_set_aside_is_trained_on(data, weights, tmp_path):
    given = default_face.DefaultData.read(data, weights, tmp_path)
    examples = given.train(default_face.DefaultSettings(size=32), default_face.BROAD)
    photographs = sum(default_faces.part_of(f"face_{n:03d}.png") >= 2 for n in range(63))
    people = sum(default_faces.part_of(f"Person {n // 2}") >= 1 for n in range(20))
    assert len(examples) == photographs + 70 + people
    labelled, known = examples.targets.any(axis=1), examples.identities.any(axis=1)
    assert labelled.tolist() == [True] * (photographs + 70) + [False] * people
    assert known.tolist() == [True] * photographs + [False] * 70 + [True] * people


def test_the_second_stage_takes_a_part_of_fer2013_and_balances_classes_within_each_data_set(data, weights, tmp_path):
    given = default_face.DefaultData.read(data, weights, tmp_path)
    settings = default_face.DefaultSettings(size=32, fer_part=0.5, rafdb_weight=2.0, balance_mu=7.0)
    examples = given.train(settings, default_face.POLISH)
    photographs = sum(default_faces.part_of(f"face_{n:03d}.png") >= 2 for n in range(63))
    classes = examples.targets.argmax(axis=1)
    for rows, factor in ((np.arange(photographs), 2.0), (np.arange(photographs, photographs + 35), 1.0)):
        counts = np.bincount(classes[rows], minlength=7)
        expected = factor * np.maximum(1, np.log(7.0 * len(rows) / counts[classes[rows]]))
        assert examples.weights[rows] == pytest.approx(expected)
    assert (examples.weights[photographs + 35 :] == 1).all()


def test_an_image_without_a_face_is_cropped_as_fer2013_is_framed(data, tmp_path):
    photographs, _ = default_faces.fer2013(Fer2013(data), "public-test", tmp_path)
    assert photographs.landmarks[0] == pytest.approx(48 * np.array(FER_TEMPLATE), abs=1e-4)
    crops = default_faces.Crops([photographs], fer_crop(48))
    assert np.abs(crops[np.array([3])][0, ..., 0].astype(int) - photographs.image(3)[..., 0]).max() <= 1


def test_a_photograph_without_a_label_or_a_person_is_refused(tmp_path):
    write_photographs(tmp_path / "faces", "labels.csv", "path,label", ["fear", ""])
    with pytest.raises(DataError, match=r"face_001\.png: has no label; give one to each photograph"):
        default_faces.rafdb(tmp_path / "faces", tmp_path)
    with pytest.raises(DataError, match=r"face_000\.png: has no subject; name the person of each photograph"):
        default_faces.lfw(tmp_path / "faces", tmp_path)
