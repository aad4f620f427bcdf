"""The Haar cascade on even images and real faces."""

import numpy as np
import pytest

from emofuse.errors import ShapeError
from emofuse.faces.detector import box_iou
from emofuse.faces.haar import Haar
from emofuse.faces.yunet import YuNet
from emofuse.testing import check_detector
from support.portraits import NAMES, portrait, weights_file


def test_haar_fulfils_the_contract_of_detectors():
    check_detector(Haar(), portrait())


@pytest.mark.parametrize("name", NAMES)
def test_haar_finds_the_person_where_yunet_does(name):
    image = portrait(name)
    haar, yunet = Haar()(image), YuNet(weights_file("yunet_n_dynamic.onnx"))(image)
    assert len(haar) == len(yunet) == 1
    assert box_iou(haar[0].box, yunet[0].box[None])[0] > 0.4
    assert haar[0].landmarks is None
    assert 0.5 <= haar[0].score <= 1


@pytest.mark.parametrize("shape", [(16, 16), (1, 1), (1, 3000), (720, 1280)])
def test_haar_finds_no_face_in_an_even_image(shape):
    assert Haar()(np.full((*shape, 3), 128, np.uint8)) == []


@pytest.mark.parametrize("image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)])
def test_an_array_that_is_not_an_rgb_image_is_refused(image):
    with pytest.raises(ShapeError, match=r"^face detection: .* give RGB, uint8 \[height, width, 3\]"):
        Haar()(image)
