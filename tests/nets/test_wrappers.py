from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from emofuse.nets import mobilefacenet  # noqa: E402
from emofuse.nets.catalogue import NETWORKS  # noqa: E402
from emofuse.nets.wrappers import Normalise, Standardise, standardised  # noqa: E402
from emofuse.training.loop import Faces, fresh  # noqa: E402


def mobile(classes: int = 7) -> mobilefacenet.MobileFaceNet:
    return fresh(lambda: mobilefacenet.build(classes, tiny=True), seed=0).eval()


def test_grey_faces_become_what_training_passes_to_the_network():
    net, given = mobile(), NETWORKS["mobilefacenet"].preprocessing
    grey = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32)).astype(np.uint8))
    trained_on = Faces(given.colour, given.mean, given.scale, augment=None)(grey)
    with torch.inference_mode():
        pairs = zip(
            net(trained_on), nn.Sequential(Normalise(given.mean, given.scale), net)(grey[:, None].float()), strict=True
        )
        for one, two in pairs:
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_brightness_and_contrast_of_standardised_faces_have_no_effect():
    given = NETWORKS["mobilefacenet"].preprocessing
    net = nn.Sequential(Standardise(), Normalise(given.mean, given.scale), mobile()).eval()
    grey = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(net(grey)[1], net(20 + 50 * grey)[1], rtol=1e-2, atol=1e-3)


def test_a_standardised_face_has_mean_0_and_deviation_1_and_a_uniform_one_is_0():
    faces = 255 * torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert standardised(faces).mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert (standardised(faces).square().mean(dim=(1, 2, 3)) - 1).abs().max() < 1e-3
    assert not standardised(torch.full((1, 1, 8, 8), 7.0)).any()


def test_standardised_faces_have_mean_128_and_deviation_64():
    found = Standardise()(0.1 + 0.2 * torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert (found.mean(dim=(1, 2, 3)) - 128).abs().max() < 1e-2
    assert (found.std(dim=(1, 2, 3), correction=0) - 64).abs().max() < 2
