"""The bundled face detector: its contract, and real and drawn faces."""

import numpy as np
import pytest

from emofuse.errors import ShapeError, WeightsError
from emofuse.faces.default import NETWORK, DefaultDetector, _Found
from emofuse.faces.detector import box_iou
from emofuse.faces.yunet import YuNet
from emofuse.media.images import luma_of
from emofuse.testing import check_detector
from support.portraits import NAMES, portrait, weights_file


def test_the_bundled_detector_fulfils_the_contract():
    check_detector(DefaultDetector())


@pytest.mark.parametrize("name", NAMES)
def test_a_real_face_is_found_where_yunet_finds_it(name):
    image = portrait(name)
    check_detector(DefaultDetector(), image)
    face = DefaultDetector()(luma_of(image))[0]
    other = YuNet(weights_file("yunet_n_dynamic.onnx"))(image)[0]
    assert box_iou(face.box, other.box[None])[0] > 0.6
    eyes = np.linalg.norm(other.landmarks[1] - other.landmarks[0])
    assert np.linalg.norm(face.landmarks - other.landmarks, axis=1).max() < 0.25 * eyes


@pytest.mark.parametrize("shape", [(16, 16), (1, 1), (1, 4000), (4320, 7680), (33, 65)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_even_images_of_any_size_have_no_face(shape, level):
    assert DefaultDetector()(np.full(shape, level, np.uint8)) == []


def test_noise_has_no_face():
    assert DefaultDetector()(np.random.default_rng(0).integers(0, 256, (270, 480)).astype(np.uint8)) == []


def test_the_network_fits_into_300_kilobytes():
    assert NETWORK.stat().st_size <= 300_000


def test_the_identity_contains_the_size_to_which_images_are_reduced():
    assert DefaultDetector(long_side=640).identity.endswith(":640")


def test_a_colour_image_is_refused():
    with pytest.raises(ShapeError, match="luma"):
        DefaultDetector()(np.zeros((64, 64, 3), np.uint8))


def test_another_network_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no output"):
        DefaultDetector(weights_file("yunet_n_dynamic.onnx"))
    with pytest.raises(WeightsError, match="no such file"):
        DefaultDetector(tmp_path / "missing.onnx")


def test_of_several_cells_that_see_a_candidate_the_surest_decides(monkeypatch):
    near, sure = [100, 100, 60, 60], [104, 104, 60, 60]

    def search(self, image, long_side, min_score):
        whole = len(image) == 400  # elsewhere the region: pixels of the image less its corner
        boxes = np.float32([near] if whole else [np.subtract(box, [55, 55, 0, 0]) for box in (near, sure)])
        scores = np.float32([0.4] if whole else [0.6, 0.9])
        return _Found(boxes, scores, np.repeat(boxes[:, None, :2], 5, axis=1))

    monkeypatch.setattr(DefaultDetector, "_search", search)
    (face,) = DefaultDetector()(np.zeros((400, 600), np.uint8))
    assert (face.box.tolist(), round(face.score, 3)) == (sure, 0.9)
