"""Mouths that are followed between two detections of their faces."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from emofuse.core.time import ticks
from emofuse.faces.detector import Face
from emofuse.faces.mouth import SIZE, MouthSampler, placed
from emofuse.media.video import Frame

LANDMARKS = np.array([[40, 40], [80, 40], [60, 62], [44, 84], [76, 84]], np.float32)


def texture(width: int = 240, height: int = 180) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    return cv2.cvtColor(cv2.GaussianBlur(noise, (0, 0), 3), cv2.COLOR_GRAY2RGB)


def face(shift: tuple[float, float] = (0, 0), scale: float = 1.0) -> Face:
    points = (LANDMARKS * scale + shift).astype(np.float32)
    return Face(
        np.array([30 * scale + shift[0], 20 * scale + shift[1], 60 * scale, 80 * scale], np.float32), 0.9, points
    )


def frame(n: int, image: np.ndarray) -> Frame:
    return Frame.from_rgb(image, index=n, start=ticks(n / 25), end=ticks((n + 1) / 25))


def moved(image: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def test_a_mouth_is_followed_through_the_frames_between_two_detections():
    sampler, image = MouthSampler(), texture()
    (first,) = sampler.detected(frame(0, image), [face()])
    for n in range(1, 5):
        sampler.between(frame(n, moved(image, (2 * n, n))))
    (mouths,) = sampler.detected(frame(5, moved(image, (10, 5))), [face((10, 5))])
    assert first.times.tolist() == [0]
    assert mouths.times.tolist() == [ticks(n / 25) for n in range(1, 6)]
    assert mouths.crops.shape == (5, SIZE, SIZE)
    for crop in mouths.crops:  # the face moves, its mouth does not change
        assert np.abs(crop.astype(int) - first.crops[0]).mean() < 2


def test_the_crop_is_that_of_a_face_of_any_size():
    image = texture(480, 360)
    (small,) = MouthSampler().detected(frame(0, cv2.resize(image, (240, 180), interpolation=cv2.INTER_AREA)), [face()])
    (large,) = MouthSampler().detected(frame(0, image), [face(scale=2.0)])
    assert np.abs(small.crops.astype(int) - large.crops).mean() < 4


def test_a_face_that_is_new_has_only_the_mouth_of_its_frame():
    sampler, image = MouthSampler(), texture()
    sampler.detected(frame(0, image), [face()])
    sampler.between(frame(1, image))
    far, near = sampler.detected(frame(2, image), [face((100, 60)), face()])
    assert far.times.tolist() == [ticks(2 / 25)]
    assert near.times.tolist() == [ticks(1 / 25), ticks(2 / 25)]


def test_a_frame_of_another_size_begins_anew():
    sampler = MouthSampler()
    sampler.detected(frame(0, texture()), [face()])
    sampler.between(frame(1, texture(300, 200)))
    (mouths,) = sampler.detected(frame(2, texture(300, 200)), [face()])
    assert mouths.times.tolist() == [ticks(2 / 25)]


@pytest.mark.parametrize("shift", [(-300, 0), (0, -300), (400, 400)])
def test_a_mouth_outside_the_frame_is_not_followed(shift):
    sampler = MouthSampler()
    assert sampler.detected(frame(0, texture()), [face(shift)]) == [None]
    sampler.between(frame(1, texture()))
    assert sampler.detected(frame(2, texture()), [face(shift)]) == [None]


def test_a_mouth_at_the_border_repeats_the_edge():
    (mouths,) = MouthSampler().detected(frame(0, np.full((90, 90, 3), 77, np.uint8)), [face()])
    assert (mouths.crops == 77).all()


def test_without_landmarks_the_mouth_is_where_the_box_has_it():
    with_landmarks, box = placed(face()), placed(Face(face().box, 0.9, None))
    corner = np.array([SIZE / 2, SIZE / 2, 1])
    assert np.abs(with_landmarks @ corner - box @ corner).max() < 12
