"""The recipe of the default bundle's net on faces, on a few made faces for one epoch each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from emofuse import fit
from emofuse.core.labels import AFFWILD2
from emofuse.data.fer2013 import FaceImages
from emofuse.errors import SettingsError
from emofuse.fit import FitSettings
from emofuse.nets.mobilefacenet import MobileFaceNet
from emofuse.systems import default
from emofuse.systems.bundle import load
from emofuse.systems.engine import Engine
from fersets import fer_table

ONCE = FitSettings(epochs=1, batch=16)
SHORT = default.DefaultSettings(compact=ONCE, mobile=ONCE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, list[tuple[str, int]]]:
    folder = tmp_path_factory.mktemp("default")
    net = fit.fresh(MobileFaceNet, seed=0)
    torch.save({k: v for k, v in net.state_dict().items() if not k.startswith("classify")}, folder / "mobile.pt")
    told: list[tuple[str, int]] = []
    table = fer_table(folder / "fer.csv")
    default.train(table, folder / "mobile.pt", folder / "out", SHORT, lambda n, e: told.append((n, e.epoch)))
    default.train(table, folder / "mobile.pt", folder / "out", SHORT, lambda n, e: told.append((n, e.epoch)))
    return folder / "out", told


def test_each_net_is_trained_once(trained):
    assert trained[1] == [("mobile-0", 0), ("mobile-1", 0), ("compact", 0)]


def test_there_is_at_least_one_seed():
    with pytest.raises(SettingsError, match="mobile_seeds is empty"):
        default.DefaultSettings(mobile_seeds=())


def test_they_are_one_bundle_that_judges_single_faces(trained):
    bundle = load(trained[0])
    assert (bundle.name, bundle.label_set, bundle.parts) == ("default-face", AFFWILD2, ("face",))
    crops = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    assert bundle.face_scorer(Engine(1, "cpu"))(crops).sum(axis=1) == pytest.approx(1)


def test_its_card_has_figures_of_both_test_parts(trained):
    figures = load(trained[0]).card["figures"]
    assert set(figures) == {"public-test", "private-test"}
    assert figures["private-test"]["images"] == 28
    assert figures["private-test"]["majority_images"] == 0  # the table has no votes


def test_the_two_opinions_are_taught_the_label_and_the_shares_of_the_votes():
    votes = np.array([[0, 3, 0, 0, 1, 0, 0], [0] * 7], np.float32)
    faces = FaceImages(np.zeros((2, 48, 48), np.uint8), np.array([4, 6]), votes, np.zeros(2, np.float32))
    targets = default.two_targets(faces)
    assert targets[:, 0].argmax(axis=1).tolist() == [4, 6]
    assert targets[0, 1].tolist() == [0, 0.75, 0, 0, 0.25, 0, 0]
    assert targets[1, 1].sum() == 0
