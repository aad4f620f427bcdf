"""Detectors: suppression against a slow loop, YuNet against OpenCV's own, and real faces."""

import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.errors import ShapeError, WeightsError
from emofuse.faces.detector import Face, Haar, YuNet, box_iou, shrunk, suppress

SHARED = Path(__file__).parents[4] / "shared"
WEIGHTS = Path(os.environ.get("EMOFUSE_WEIGHTS", SHARED / "weights"))
CLIPS = Path(os.environ.get("EMOFUSE_TEST_DATA", SHARED / "data")) / "clips"
MODELS = ["yunet_n_640_640.onnx", "yunet_n_dynamic.onnx"]
NAMES = ["01-01-01_01.mp4", "02-04-05_01.mp4", "03-02-03_01.mp4"]


def model(name):
    if not (WEIGHTS / name).is_file():
        pytest.skip(f"no {name} in {WEIGHTS}; set EMOFUSE_WEIGHTS")
    return WEIGHTS / name


def frame(name):
    """The 31st frame: some clips begin black."""
    if not (CLIPS / name).is_file():
        pytest.skip(f"no {name} in {CLIPS}; set EMOFUSE_TEST_DATA")
    with av.open(str(CLIPS / name)) as file:
        for n, picture in enumerate(file.decode(video=0)):
            if n == 30:
                return picture.to_ndarray(format="rgb24")
    raise AssertionError(f"{name} has fewer than 31 frames")


def slow_iou(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = w * h if w > 0 and h > 0 else 0
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


side = st.integers(1, 12)
boxes = st.lists(st.tuples(side, side, side, side, st.integers(0, 9)), max_size=15)


@given(boxes, st.sampled_from([0.1, 0.3, 0.55]))
@settings(max_examples=100, deadline=None)
def test_suppression_equals_a_slow_loop(rows, limit):
    table = np.array(rows, np.float32).reshape(-1, 5)
    kept = []
    for n in sorted(range(len(rows)), key=lambda n: (-rows[n][4], n)):
        if all(slow_iou(rows[n], rows[k]) <= limit for k in kept):
            kept.append(n)
    assert suppress(table[:, :4], table[:, 4], iou=limit).tolist() == kept


def test_iou_worked_by_hand():
    found = box_iou(np.float32([0, 0, 4, 2]), np.float32([[2, 0, 4, 2], [0, 0, 4, 2], [4, 0, 1, 1]]))
    assert np.allclose(found, [1 / 3, 1, 0])


@pytest.mark.parametrize("name", NAMES)
def test_yunet_equals_opencv(name):
    path, image = model(MODELS[0]), frame(name)
    theirs = cv2.FaceDetectorYN.create(str(path), "", image.shape[1::-1], 0.6, 0.3, 50)
    rows = theirs.detect(np.ascontiguousarray(image[:, :, ::-1]))[1]
    ours = YuNet(model(MODELS[1]), min_score=0.6, iou=0.3)(image)
    assert len(ours) == len(rows) == 1
    assert np.abs(ours[0].box - rows[0, :4]).max() < 1
    assert np.abs(ours[0].landmarks.ravel() - rows[0, 4:14]).max() < 1
    assert abs(ours[0].score - rows[0, 14]) < 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_yunet_gives_pixels_of_the_picture_whatever_its_size(name):
    detect, image = YuNet(model(name), long_side=640), frame(NAMES[0])
    small, large = detect(image), detect(cv2.resize(image, None, fx=4, fy=4))
    assert len(small) == len(large) == 1
    assert box_iou(large[0].box / 4, small[0].box[None])[0] > 0.9
    assert np.abs(large[0].landmarks / 4 - small[0].landmarks).max() < 4


def test_landmarks_begin_with_the_eye_on_the_left_of_the_picture():
    right_eye, left_eye, nose, right_mouth, left_mouth = YuNet(model(MODELS[1]))(frame(NAMES[0]))[0].landmarks
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


@pytest.mark.parametrize("shape", [(16, 16), (1, 1), (1, 3000), (2000, 3), (33, 65)])
@pytest.mark.parametrize("name", MODELS)
def test_yunet_takes_pictures_of_any_size(name, shape):
    assert YuNet(model(name))(np.full((*shape, 3), 128, np.uint8)) == []


@pytest.mark.parametrize("name", NAMES)
def test_haar_finds_the_person_where_yunet_does(name):
    image = frame(name)
    haar, yunet = Haar()(image), YuNet(model(MODELS[1]))(image)
    assert len(haar) == len(yunet) == 1
    assert box_iou(haar[0].box, yunet[0].box[None])[0] > 0.4
    assert haar[0].landmarks is None
    assert 0.5 <= haar[0].score <= 1


@pytest.mark.parametrize("shape", [(16, 16), (1, 1), (1, 3000), (720, 1280)])
def test_haar_finds_nobody_in_an_even_picture(shape):
    assert Haar()(np.full((*shape, 3), 128, np.uint8)) == []


def test_shrinking_keeps_the_mean_and_the_places():
    ramp = np.repeat(np.linspace(0, 255, 1000).astype(np.uint8)[None, :, None], 700, axis=0).repeat(3, axis=2)
    small = shrunk(ramp, 90, 129)
    expected = (np.arange(129) + 0.5) / 129 * 255
    assert small.shape == (90, 129, 3)
    assert np.abs(small[45, :, 0] - expected)[2:-2].max() < 2


@pytest.mark.parametrize("image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)])
def test_a_picture_of_another_kind_is_refused(image):
    with pytest.raises(ShapeError, match=r"give RGB, uint8 \[height, width, 3\]"):
        Haar()(image)


def test_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(WeightsError, match="emofuse weights"):
        YuNet(tmp_path / "none.onnx")


def test_damaged_weights_are_one_line(tmp_path):
    (tmp_path / "yunet.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match="cannot be read as an ONNX network") as caught:
        YuNet(tmp_path / "yunet.onnx")
    assert "\n" not in str(caught.value)


def test_a_face_keeps_its_own_copy():
    box = np.float32([1, 2, 3, 4])
    face = Face(box, 0.5)
    box[0] = 9
    assert face.box[0] == 1
    assert not face.box.flags.writeable
    with pytest.raises(ShapeError, match=r"box has shape \(3,\)"):
        Face(box[:3], 0.5)
