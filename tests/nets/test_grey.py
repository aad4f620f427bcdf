from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.nets.catalogue import NETWORKS  # noqa: E402
from emofuse.nets.grey import Evened, FromGrey, StandardisedGrey, standardised  # noqa: E402
from emofuse.nets.mobilefacenet import MobileFaceNet  # noqa: E402
from emofuse.training.loop import Faces, fresh  # noqa: E402


def test_a_net_behind_it_is_given_what_training_gives_it():
    net = fresh(MobileFaceNet.tiny, seed=0).eval()
    wants = NETWORKS["mobilefacenet"].preprocessing
    grey = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32)).astype(np.uint8))
    given = Faces(wants.colour, wants.mean, wants.scale, augment=None)(grey)
    with torch.inference_mode():
        for one, two in zip(net(given), FromGrey(net, wants.mean, wants.scale)(grey[:, None].float()), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_light_and_contrast_of_a_face_do_not_matter_to_a_net_that_is_given_it_standardised():
    net = StandardisedGrey(fresh(MobileFaceNet.tiny, seed=0)).eval()
    grey = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(net(grey)[1], net(20 + 50 * grey)[1], rtol=1e-2, atol=1e-3)


def test_a_standardised_face_has_mean_0_and_deviation_1_and_one_of_one_grey_is_0():
    faces = 255 * torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert standardised(faces).mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert (standardised(faces).square().mean(dim=(1, 2, 3)) - 1).abs().max() < 1e-3
    assert not standardised(torch.full((1, 1, 8, 8), 7.0)).any()


def test_a_net_behind_it_is_given_pixels_of_mean_128_and_deviation_64():
    given = []

    def net(faces):
        given.append(faces)
        return faces, faces

    Evened(net)(0.1 + 0.2 * torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert (given[0].mean(dim=(1, 2, 3)) - 128).abs().max() < 1e-2
    assert (given[0].std(dim=(1, 2, 3), correction=0) - 64).abs().max() < 2
