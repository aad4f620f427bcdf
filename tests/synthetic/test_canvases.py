"""Canvases composed from photographs, checked with a drawn face whose position is known."""

import numpy as np
import pytest

from emofuse.synthetic import distortions
from emofuse.synthetic.canvases import Canvas, Photograph, Placed, Studio

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def photograph():
    """A bright 20 x 30 box as the face on black, with a white dot at each landmark."""
    image = np.zeros((60, 50), np.uint8)
    image[15:45, 15:35] = 100
    landmarks = np.float32([[20, 25], [30, 25], [25, 31], [21, 38], [29, 38]])
    for x, y in landmarks.astype(int):
        image[y - 1 : y + 1, x - 1 : x + 1] = 255
    return Photograph(image, np.float32([[15, 15, 35, 45]]), landmarks[None], np.array([True]))


def pasted(photograph, placed, **options):
    canvas = Canvas(np.zeros((192, 256), np.uint8))
    assert canvas.paste(photograph, placed, RNG(0), whole=True, centre=(128, 96), **options)
    return canvas


def test_a_face_has_the_demanded_height_at_the_demanded_place(photograph):
    canvas = pasted(photograph, Placed(90))
    assert canvas.boxes[0].tolist() == [98, 51, 158, 141]
    inside = canvas.image[53:139, 100:156]
    assert inside.min() > 80
    assert canvas.image[51:141, :96].max() == 0


@pytest.mark.parametrize("placed", [Placed(90), Placed(90, 0.5), Placed(60, -0.8), Placed(90, 0.3, mirrored=True)])
def test_landmarks_are_where_the_pixels_of_the_photograph_went(photograph, placed):
    canvas = pasted(photograph, placed)
    for x, y in canvas.landmarks[0].astype(int):
        assert canvas.image[y - 2 : y + 3, x - 2 : x + 3].max() > 180


def test_a_mirrored_face_keeps_its_right_eye_on_the_left_of_the_image(photograph):
    right_eye, left_eye, _, right_mouth, left_mouth = pasted(photograph, Placed(90, mirrored=True)).landmarks[0]
    assert right_eye[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]


def test_the_box_of_a_rotated_face_is_that_of_its_ellipse(photograph):
    angle = 0.6
    box = pasted(photograph, Placed(90, angle)).boxes[0]
    half = np.hypot(30 * np.cos(angle), 45 * np.sin(angle)), np.hypot(30 * np.sin(angle), 45 * np.cos(angle))
    assert np.allclose(box, [128 - half[0], 96 - half[1], 128 + half[0], 96 + half[1]], atol=1e-3)


def test_a_face_that_lies_mostly_outside_is_neither_face_nor_background(photograph):
    canvas = Canvas(np.zeros((100, 100), np.uint8))
    canvas.paste(photograph, Placed(60), RNG(0), whole=True, centre=(-12, 50))
    assert canvas.certain == [False]


def test_a_face_that_is_pasted_over_counts_no_longer(photograph):
    canvas = pasted(photograph, Placed(30))
    canvas.paste(photograph, Placed(90), RNG(0), whole=True, centre=(128, 96))
    assert len(canvas.boxes) == 1
    assert canvas.boxes[0][3] - canvas.boxes[0][1] == 90


def test_faces_of_one_canvas_do_not_overlap(photograph):
    studio = Studio([photograph], [RNG(1).integers(0, 256, (300, 400)).astype(np.uint8)])
    for seed in range(40):
        canvas = studio.canvas((128, 96), RNG(seed))
        boxes = canvas.boxes[canvas.certain]
        for n, box in enumerate(boxes):
            for other in boxes[n + 1 :]:
                sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
                assert np.prod(np.maximum(sides, 0)) < 0.4 * np.prod(box[2:] - box[:2])


def test_a_canvas_is_decided_by_the_random_numbers_alone(photograph):
    studio = Studio([photograph], [])
    one, other = (studio.canvas((128, 96), RNG(3)) for _ in range(2))
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.boxes, other.boxes)
    assert one.image.shape == (96, 128)
    assert one.image.dtype == np.uint8


def test_every_height_from_small_to_more_than_the_canvas_occurs(photograph):
    studio = Studio([photograph], [])
    canvases = [studio.canvas((256, 192), RNG(seed)) for seed in range(200)]
    heights = np.concatenate([c.boxes[c.certain][:, 3] - c.boxes[c.certain][:, 1] for c in canvases]) / 192
    assert heights.min() < 0.08
    assert heights.max() > 1.1
    assert 0.02 < np.mean([len(c.boxes) == 0 for c in canvases]) < 0.3


@pytest.mark.parametrize(
    "distortion",
    [
        lambda i, r: distortions.gaussian_blur(i, 2),
        lambda i, r: distortions.motion_blur(i, 9, 0.7),
        lambda i, r: distortions.compress(i, 20),
        lambda i, r: distortions.reduce_resolution(i, 2),
        lambda i, r: distortions.grain(i, 8, r),
        lambda i, r: distortions.camera(i, r),
        lambda i, r: distortions.side_light(i, (64, 48), 30, 0.0, 0.3),
        lambda i, r: distortions.hat(i, np.float32([[50, 40], [70, 40], [60, 50], [53, 60], [67, 60]]), r),
        lambda i, r: distortions.cover(i, np.float32([[50, 40], [70, 40], [60, 50], [53, 60], [67, 60]]), r),
    ],
)
def test_distortions_change_the_image_and_keep_its_shape_and_input(distortion):
    image = RNG(0).integers(0, 256, (96, 128)).astype(np.uint8)
    before = image.copy()
    result = distortion(image, RNG(1))
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    assert np.array_equal(image, before)
    assert not np.array_equal(result, image)


def test_a_hat_leaves_the_face_below_the_brow():
    image = RNG(0).integers(0, 256, (120, 120)).astype(np.uint8)
    landmarks = np.float32([[50, 60], [70, 60], [60, 70], [53, 80], [67, 80]])
    for seed in range(20):
        worn = distortions.hat(image, landmarks, RNG(seed))
        assert np.array_equal(worn[58:], image[58:])
        assert not np.array_equal(worn[:55], image[:55])


def test_side_light_darkens_one_side_only():
    lit = distortions.side_light(np.full((50, 100), 200, np.uint8), (50, 25), 20, 0.0, 0.2)
    assert lit[:, 0].max() < 60
    assert lit[:, -1].min() > 190


def test_a_distraction_is_painted_where_no_face_is(photograph):
    for seed in range(20):
        canvas = pasted(photograph, Placed(60))
        before = canvas.image.copy()
        canvas.distract(np.full((192, 256), 77, np.uint8), RNG(seed))
        left, top, right, bottom = canvas.boxes[0].astype(int)
        assert np.array_equal(canvas.image[top:bottom, left:right], before[top:bottom, left:right])
        assert len(canvas.boxes) == 1
