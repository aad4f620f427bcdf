"""YuNet against OpenCV's own implementation, on real faces."""

import cv2
import numpy as np
import pytest

from emofuse.errors import ShapeError, WeightsError
from emofuse.faces.detector import box_iou
from emofuse.faces.yunet import YuNet
from emofuse.testing import check_detector
from support.portraits import NAMES, portrait, weights_file

MODELS = ["yunet_n_640_640.onnx", "yunet_n_dynamic.onnx"]


@pytest.mark.parametrize("name", MODELS)
def test_yunet_fulfils_the_contract_of_detectors(name):
    check_detector(YuNet(weights_file(name)), portrait())


@pytest.mark.parametrize("name", NAMES)
def test_yunet_equals_opencv(name):
    path, image = weights_file(MODELS[0]), portrait(name)
    reference = cv2.FaceDetectorYN.create(str(path), "", image.shape[1::-1], 0.6, 0.3, 50)
    rows = reference.detect(np.ascontiguousarray(image[:, :, ::-1]))[1]
    faces = YuNet(weights_file(MODELS[1]), min_score=0.6, iou=0.3)(image)
    assert len(faces) == len(rows) == 1
    assert np.abs(faces[0].box - rows[0, :4]).max() < 1
    assert np.abs(faces[0].landmarks.ravel() - rows[0, 4:14]).max() < 1
    assert abs(faces[0].score - rows[0, 14]) < 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_boxes_and_landmarks_are_in_pixels_of_an_image_of_any_size(name):
    detect, image = YuNet(weights_file(name), long_side=640), portrait()
    small, large = detect(image), detect(cv2.resize(image, None, fx=4, fy=4))
    assert len(small) == len(large) == 1
    assert box_iou(large[0].box / 4, small[0].box[None])[0] > 0.9
    assert np.abs(large[0].landmarks / 4 - small[0].landmarks).max() < 4


def test_landmarks_begin_with_the_eye_on_the_left_of_the_image():
    right_eye, left_eye, nose, right_mouth, left_mouth = YuNet(weights_file(MODELS[1]))(portrait())[0].landmarks
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


@pytest.mark.parametrize("shape", [(16, 16), (1, 1), (1, 3000), (2000, 3), (33, 65)])
@pytest.mark.parametrize("name", MODELS)
def test_images_of_any_size_are_accepted(name, shape):
    assert YuNet(weights_file(name))(np.full((*shape, 3), 128, np.uint8)) == []


def test_the_identity_contains_the_size_to_which_images_are_reduced():
    name, _, size = YuNet(weights_file(MODELS[1]), long_side=416).identity.split(":")
    assert (name, size) == ("yunet", "416")


def test_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(WeightsError, match="emofuse weights"):
        YuNet(tmp_path / "none.onnx")


def test_damaged_weights_are_reported_in_one_line(tmp_path):
    (tmp_path / "yunet.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match="cannot be read as an ONNX network") as caught:
        YuNet(tmp_path / "yunet.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)])
def test_an_array_that_is_not_an_rgb_image_is_refused(image):
    detect = YuNet(weights_file(MODELS[1]))
    with pytest.raises(ShapeError, match=r"^face detection: .* give RGB, uint8 \[height, width, 3\]"):
        detect(image)
