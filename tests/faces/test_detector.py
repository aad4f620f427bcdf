"""What detectors share: faces, overlap, suppression against a slow loop, and reducing an image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.errors import ShapeError
from emofuse.faces.detector import Face, box_iou, shrink, suppress


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
    small = shrink(ramp, 90, 129)
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
