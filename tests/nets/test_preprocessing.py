from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.core.colour import Colour  # noqa: E402
from emofuse.errors import ShapeError  # noqa: E402 (torch may be missing)
from emofuse.models import bundle  # noqa: E402
from emofuse.nets import mobilefacenet, vggface, vggface2  # noqa: E402
from emofuse.nets.preprocessing import Preprocessing  # noqa: E402

ALL = {
    "vggface2": vggface2.PREPROCESSING,
    "vggface2@code": vggface2.PREPROCESSING_CODE,
    "vggface": vggface.VGGFace.tiny().preprocessing,
    "mobilefacenet": mobilefacenet.PREPROCESSING,
}


def faces(size: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ALL)
def test_a_bundle_with_the_same_colours_mean_and_scale_does_the_same(name):
    given = ALL[name]
    same = bundle.FaceInput(bundle.Colour(given.colour), given.mean, given.scale)
    batch = faces(given.size)
    np.testing.assert_allclose(given(batch).numpy(), same(batch), atol=1e-5)


def test_vggface2_takes_blue_first_and_subtracts_the_mean_of_each_colour():
    red = np.zeros((1, 224, 224, 3), np.uint8)
    red[..., 0] = 200
    channels = vggface2.PREPROCESSING(red)[0, :, 5, 7].tolist()
    assert channels == pytest.approx([-91.4953, -103.8827, 200 - 131.0912], abs=1e-4)


def test_the_authors_code_subtracts_the_means_of_vgg_face_in_the_order_of_bgr():
    assert vggface2.PREPROCESSING_CODE.mean == vggface.AVERAGE_COLOUR[::-1]


def test_mobilefacenet_takes_imagenets_mean_and_deviation():
    batch = faces(112)
    expected = (batch / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(mobilefacenet.PREPROCESSING(batch), expected.transpose(0, 3, 1, 2), atol=1e-5)


@pytest.mark.parametrize("size", [112, 300])
def test_faces_of_another_size_are_resized_without_moving(size):
    ramp = np.broadcast_to(np.linspace(0, 255, size).astype(np.uint8)[None, None, :, None], (1, size, size, 3))
    found = Preprocessing(224, Colour.RGB)(ramp)[0, 0, 100]
    centres = (np.arange(224) + 0.5) / 224 * size - 0.5
    expected = np.interp(centres, np.arange(size), ramp[0, 0, :, 0])
    np.testing.assert_allclose(found, expected, atol=1.0)


@pytest.mark.parametrize("bad", [np.zeros((2, 224, 224, 1), np.uint8), np.zeros((2, 224, 224, 3)), np.zeros((224, 3))])
def test_what_is_no_rgb_face_is_refused(bad):
    with pytest.raises(ShapeError, match=r"give RGB uint8 \[n, height, width, 3\]"):
        vggface2.PREPROCESSING(bad)


def test_the_input_of_a_net_has_its_own_size():
    net = vggface2.VGGFace2.tiny()
    assert net.preprocessing(faces(30)).shape == (2, 3, net.settings.size, net.settings.size)
