"""What detectors share: faces, overlap, suppression against a slow loop, and reducing an image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.errors import ShapeError
from emofuse.faces.detector import REGION_PIXELS, REGION_SIZE, Face, box_iou, region_around, resized, suppress


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


def test_iou_equals_values_worked_by_hand():
    found = box_iou(np.float32([0, 0, 4, 2]), np.float32([[2, 0, 4, 2], [0, 0, 4, 2], [4, 0, 1, 1]]))
    assert np.allclose(found, [1 / 3, 1, 0])


def test_shrinking_keeps_the_mean_and_the_positions():
    ramp = np.repeat(np.linspace(0, 255, 1000).astype(np.uint8)[None, :, None], 700, axis=0).repeat(3, axis=2)
    small = resized(ramp, 90, 129)
    expected = (np.arange(129) + 0.5) / 129 * 255
    assert small.shape == (90, 129, 3)
    assert np.abs(small[45, :, 0] - expected)[2:-2].max() < 2


def test_a_face_keeps_its_own_copy_of_the_box():
    box = np.float32([1, 2, 3, 4])
    face = Face(box, 0.5)
    box[0] = 9
    assert face.box[0] == 1
    assert not face.box.flags.writeable
    with pytest.raises(ShapeError, match=r"box has shape \(3,\)"):
        Face(box[:3], 0.5)


@given(st.floats(-50, 400), st.floats(-50, 250), st.floats(1, 500), st.floats(1, 300))
@settings(max_examples=200, deadline=None)
def test_a_region_holds_its_face_at_one_scale_and_in_no_more_pixels_than_are_searched(x, y, width, height):
    rows, columns = np.mgrid[:200, :320].astype(np.uint16)
    image = np.stack([columns // 2, rows, 0 * rows], axis=2).astype(np.uint8)
    region = region_around(image, np.float32([x, y, width, height]))
    assert max(region.image.shape[:2]) <= REGION_PIXELS
    assert region.scale == pytest.approx(max(1.0, REGION_SIZE * max(width, height) / REGION_PIXELS), rel=0.05, abs=0.6)
    middle = np.float32(region.image.shape[1::-1]) / 2
    if min(region.image.shape[:2]) > 8:
        across, down = region.points(middle)
        pixel = region.image[int(middle[1]), int(middle[0])].astype(float)
        assert abs(2 * pixel[0] - across) <= 2 + 2 * region.scale[0]
        assert abs(pixel[1] - down) <= 2 + 2 * region.scale[1]


def test_boxes_of_a_region_are_placed_like_their_corners():
    region = region_around(np.zeros((400, 400), np.uint8), np.float32([100, 120, 128, 100]))
    assert region.image.shape == (160, 160)
    assert region.boxes(np.float32([[10, 20, 30, 40]])).tolist() == [[24, 50, 60, 80]]
    assert region.points(np.float32([[10, 20]])).tolist() == [[24, 50]]
