"""Crops of faces: the similarity transform, the framing, the pixels, and JSON."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.errors import BundleError, SettingsError, ShapeError
from emofuse.faces.crop import AlignedCrop, BoxCrop, fer_crop, from_json, similarity
from emofuse.faces.detector import Face

POINTS = np.array([[30.0, 40], [70, 38], [52, 60], [35, 80], [66, 82]])


def rotated(points, scale, angle, shift):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return points @ np.array([[c, -s], [s, c]]).T + shift


@given(st.floats(0.01, 100), st.floats(-3.1, 3.1), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
@settings(max_examples=50, deadline=None)
def test_similarity_recovers_a_known_transform(scale, angle, x, y):
    target = rotated(POINTS, scale, angle, [x, y])
    m = similarity(POINTS, target)
    assert np.allclose(POINTS @ m[:, :2].T + m[:, 2], target, atol=1e-8, rtol=1e-9)
    assert np.linalg.det(m[:, :2]) == pytest.approx(scale**2)


def test_similarity_is_the_least_squares_solution():
    target = POINTS * [1.3, 0.9] + np.random.default_rng(0).normal(0, 3, (5, 2))
    rows = [r for (x, y) in POINTS for r in ([x, -y, 1, 0], [y, x, 0, 1])]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), target.ravel(), rcond=None)[0]
    assert np.allclose(similarity(POINTS, target), [[a, -b, tx], [b, a, ty]])


def test_similarity_never_reflects():
    assert np.linalg.det(similarity(POINTS, POINTS * [-1, 1])[:, :2]) >= 0


def test_points_of_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"give both as \[n, 2\]"):
        similarity(POINTS, POINTS[:4])


def test_a_box_crop_at_its_own_size_copies_the_pixels():
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    crop = BoxCrop(20)(image, Face(np.float32([30, 10, 20, 20]), 1))
    assert np.array_equal(crop, image[10:30, 30:50])


def test_margin_and_shift_are_fractions_of_the_longer_side():
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    crop = BoxCrop(24, margin=0.2, shift_y=0.1)(image, Face(np.float32([30, 10, 10, 20]), 1))
    assert np.array_equal(crop, image[10:34, 23:47])


def test_beyond_the_border_the_edge_is_repeated():
    image = np.full((40, 40, 3), 10, np.uint8)
    image[:, -1] = 200
    crop = BoxCrop(20)(image, Face(np.float32([30, 10, 20, 20]), 1))
    assert np.all(crop[:, 10:] == 200)
    assert np.all(crop[:, :9] == 10)


def test_a_face_completely_outside_is_cropped_from_the_repeated_edge():
    image = np.full((16, 16, 3), 7, np.uint8)
    for box in ([500, 500, 40, 40], [-500, -90, 4, 4], [3, 3, 0, 0]):
        assert np.all(BoxCrop(8)(image, Face(np.float32(box), 1)) == 7)


def test_shrinking_averages_a_fine_pattern_instead_of_aliasing():
    image = np.zeros((300, 300, 3), np.uint8)
    image[:, ::2] = 255
    box_crop = BoxCrop(48)(image, Face(np.float32([0, 0, 300, 300]), 1))
    face = Face(np.float32([0, 0, 300, 300]), 1, (POINTS * 3).astype(np.float32))
    aligned = AlignedCrop(48, tuple(map(tuple, POINTS / 100)), BoxCrop(48))(image, face)
    assert np.all(np.abs(box_crop.astype(int) - 127) < 30)
    assert np.all(np.abs(aligned[2:-2, 2:-2].astype(int) - 127) < 30)


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2])
def test_an_aligned_crop_maps_landmarks_to_the_template(angle):
    crop = fer_crop(96)
    marks = np.add(rotated(np.array(crop.template) * 96, 2.1, angle, [150, 120]), [100, 60])
    y, x = np.mgrid[:600, :600] + 0.5
    image = np.zeros((600, 600, 3), np.uint8)
    image[np.hypot(x - marks[1, 0], y - marks[1, 1]) < 9] = 255  # a disk at the left eye only
    lit = crop(image, Face(np.float32([0, 0, 1, 1]), 1, marks.astype(np.float32)))[:, :, 0].astype(float)
    rows, columns = np.mgrid[:96, :96] + 0.5
    centre = np.array([(lit * columns).sum(), (lit * rows).sum()]) / lit.sum()
    assert np.allclose(centre, np.array(crop.template[1]) * 96, atol=0.4)


def test_without_landmarks_the_fallback_is_used():
    image = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    crop, face = fer_crop(32), Face(np.float32([10, 10, 50, 50]), 1)
    assert np.array_equal(crop(image, face), crop.fallback(image, face))


@pytest.mark.parametrize("crop", [fer_crop(48), BoxCrop(112, 0.25, -0.1)])
def test_a_crop_is_equal_after_a_round_trip_through_json(crop):
    assert from_json(json.loads(json.dumps(crop.to_json()))) == crop


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "oval"}, "kind 'oval': unknown; choose aligned, box"),
        ({"kind": None}, "kind 'None': unknown"),
        ({"colour": 1}, "colour is missing or unknown"),
        ({"size": "48"}, "size is '48'"),
        ({"size": 0}, "give at least one pixel"),
        ({"template": [[0, 0]]}, "1 points; give five"),
        ({"template": 3}, "create the bundle again"),
        ({"fallback": {"kind": "box"}}, "margin, shift_y, size is missing"),
        ({"fallback": fer_crop(48).to_json()}, "give a BoxCrop of size 48"),
        ({"fallback": 3}, "kind 'None': unknown"),
    ],
)
def test_a_damaged_crop_is_reported_in_one_line(change, message):
    with pytest.raises(BundleError, match=message) as caught:
        from_json({**fer_crop(48).to_json(), **change})
    assert "\n" not in str(caught.value)


def test_a_missing_field_is_named():
    data = BoxCrop(48).to_json()
    del data["margin"]
    with pytest.raises(BundleError, match="margin is missing"):
        from_json(data)


def test_a_fallback_of_another_size_is_refused():
    with pytest.raises(SettingsError, match=r"fallback is BoxCrop\(size=64, .*; give a BoxCrop of size 48"):
        replace(fer_crop(48), fallback=BoxCrop(64))


def test_a_grey_image_is_refused():
    with pytest.raises(ShapeError, match=r"^face crop: .* give RGB, uint8 \[height, width, 3\]"):
        BoxCrop(48)(np.zeros((9, 9), np.uint8), Face(np.float32([0, 0, 9, 9]), 1))


def test_a_crop_takes_no_more_of_a_frame_than_it_needs():
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)

    taken = []

    class Parts:
        size = (400, 300)

        def region(self, x, y, width, height):
            taken.append((x, y, width, height))
            return image[y : y + height, x : x + width]

    face, crop = Face(np.float32([150, 100, 60, 60]), 1, POINTS + np.array([120, 70])), fer_crop(48)
    assert np.array_equal(crop(Parts(), face), crop(image, face))
    ((x, y, width, height),) = taken
    assert 100 < x < x + width < 240
    assert 50 < y < y + height < 190
