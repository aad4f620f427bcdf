from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.fit import Faces, fresh  # noqa: E402
from emofuse.nets.grey import FromGrey  # noqa: E402
from emofuse.nets.mobilefacenet import MobileFaceNet  # noqa: E402


def test_a_net_behind_it_is_given_what_training_gives_it():
    net = fresh(MobileFaceNet.tiny, seed=0).eval()
    wants = net.preprocessing
    grey = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32)).astype(np.uint8))
    given = Faces(wants.colour, wants.mean, wants.scale, augment=None)(grey)
    with torch.inference_mode():
        for one, two in zip(net(given), FromGrey(net, wants.mean, wants.scale)(grey[:, None].float()), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
