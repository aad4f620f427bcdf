"""Training of the default bundle's face networks, on a few synthetic faces for one epoch each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from emofuse.core.labels import AFFWILD2
from emofuse.datasets.fer2013.dataset import FaceImages
from emofuse.errors import SettingsError
from emofuse.models.bundle import load
from emofuse.nets.mobilefacenet import MobileFaceNet
from emofuse.runtime import Engine
from emofuse.training import default
from emofuse.training import loop as fit
from emofuse.training.loop import FitSettings
from support.fer2013_files import write_random_table

ONCE = FitSettings(epochs=1, batch=16)
SHORT = default.DefaultSettings(compact=ONCE, mobile=ONCE, distilled=ONCE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, list[tuple[str, int]]]:
    folder = tmp_path_factory.mktemp("default")
    net = fit.fresh(MobileFaceNet, seed=0)
    torch.save({k: v for k, v in net.state_dict().items() if not k.startswith("classify")}, folder / "mobile.pt")
    epochs: list[tuple[str, int]] = []
    table = write_random_table(folder / "fer.csv")
    training = default.DefaultTraining(SHORT, folder / "out", lambda n, e: epochs.append((n, e.epoch)))
    default.train(table, folder / "mobile.pt", training)
    default.train(table, folder / "mobile.pt", training)
    return folder / "out", epochs


def test_each_network_is_trained_once(trained):
    assert trained[1] == [("mobile-0", 0), ("mobile-1", 0), ("compact", 0), ("distilled", 0)]


def test_settings_without_a_seed_are_refused():
    with pytest.raises(SettingsError, match="mobile_seeds is empty"):
        default.DefaultSettings(mobile_seeds=())


@pytest.mark.parametrize("name", ["votes_weight", "teacher_weight", "compact_weight", "labels_weight"])
def test_a_weight_above_1_is_refused_before_anything_is_trained(name):
    with pytest.raises(SettingsError, match=rf"default: {name} is 1\.5; give 0 to 1"):
        default.DefaultSettings(**{name: 1.5})


def test_the_bundle_scores_single_faces(trained):
    bundle = load(trained[0])
    assert (bundle.name, bundle.label_set, bundle.modalities) == ("default-face", AFFWILD2, ("face",))
    crops = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    assert bundle.face_scorer(Engine(1, "cpu"))(crops).sum(axis=1) == pytest.approx(1)


def test_the_card_has_metrics_of_both_test_splits(trained):
    metrics = load(trained[0]).card["metrics"]
    assert set(metrics) == {"public-test", "private-test"}
    assert metrics["private-test"]["images"] == 28
    assert metrics["private-test"]["ferplus"]["majority"]["images"] == 0  # the table has no votes


def test_the_targets_are_the_label_and_the_normalised_votes():
    votes = np.array([[0, 3, 0, 0, 1, 0, 0], [0] * 7], np.float32)
    faces = FaceImages(np.zeros((2, 48, 48), np.uint8), np.array([4, 6]), votes, np.zeros((2, 3), np.float32))
    targets = default.two_targets(faces)
    assert targets[:, 0].argmax(axis=1).tolist() == [4, 6]
    assert targets[0, 1].tolist() == [0, 0.75, 0, 0, 0.25, 0, 0]
    assert targets[1, 1].sum() == 0


class Certain(torch.nn.Module):
    """A network that is certain of one class, for each set of labels."""

    def __init__(self, *classes: int) -> None:
        super().__init__()
        self.logits = 30 * torch.eye(7)[list(classes)].squeeze(0)

    def forward(self, faces):
        return faces.new_zeros(len(faces), 1), self.logits.expand(len(faces), *self.logits.shape)


def two_faces() -> FaceImages:
    votes = np.array([[4, 0, 0, 0, 0, 0, 0], [0] * 7], np.float32)  # the second one has no votes
    return FaceImages(np.zeros((2, 48, 48), np.uint8), np.array([1, 2]), votes, np.zeros((2, 3), np.float32))


def distilled(folder: Path, compact: Certain, mobile: Certain, **changes: float) -> np.ndarray:
    training = default.DefaultTraining(default.DefaultSettings(**changes), folder, lambda *_: None)
    return default.distillation_targets(two_faces(), compact, [mobile], training)


def test_the_probabilities_of_the_ensemble_are_half_of_the_targets(tmp_path):
    targets = distilled(tmp_path, Certain(3), Certain(3, 5))
    for row, label_set, wanted in ((0, 0, [1, 3]), (0, 1, [0, 5]), (1, 0, [2, 3]), (1, 1, [5])):
        assert targets[row, label_set] == pytest.approx(np.eye(7)[wanted].mean(axis=0), abs=1e-6)


def test_the_probabilities_of_the_ensemble_are_cached_until_the_file_is_damaged_or_settings_change(tmp_path):
    first = distilled(tmp_path, Certain(3), Certain(3, 5))
    assert (distilled(tmp_path, Certain(6), Certain(6, 6)) == first).all()  # from the cache
    other = distilled(tmp_path, Certain(6), Certain(6, 6), compact_weight=0.5)
    assert other[1, 1].argmax() == 6
    for path in tmp_path.glob("teacher-*"):
        path.write_bytes(path.read_bytes()[:50])
    assert (distilled(tmp_path, Certain(3), Certain(3, 5)) == first).all()
