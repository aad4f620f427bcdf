"""Frames of another size lie where players would fit them into the first one."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.faces.detector import Face
from emofuse.faces.placement import Placement
from emofuse.faces.tracker import Tracker

GREY = np.arange(18 * 32, dtype=np.uint8).reshape(18, 32)


def test_a_face_of_a_smaller_frame_is_scaled():
    face = Face(np.float32([10, 20, 30, 40]), 0.9, np.full((5, 2), 25, np.float32))
    placed = Placement((320, 180), (640, 360)).face(face)
    assert placed.box.tolist() == [20, 40, 60, 80]
    assert placed.landmarks.tolist() == [[50, 50]] * 5
    assert placed.score == face.score


@pytest.mark.parametrize(
    ("size", "canvas", "corner"), [((360, 640), (640, 360), (218.75, 0)), ((640, 360), (360, 640), (0, 218.75))]
)
def test_a_turned_frame_is_centred_between_bars(size, canvas, corner):
    placement = Placement(size, canvas)
    whole = placement.face(Face(np.float32([0, 0, *size]), 0.9))
    assert whole.box[:2].tolist() == list(corner)
    assert (whole.box[:2] + whole.box[2:] / 2).tolist() == [canvas[0] / 2, canvas[1] / 2]


def test_a_thumbnail_of_the_same_shape_is_unchanged():
    assert np.array_equal(Placement((320, 180), (1280, 720)).thumbnail(GREY), GREY)


def test_a_thumbnail_of_a_turned_frame_has_bars_without_levels():
    placed = Placement((360, 640), (640, 360)).thumbnail(GREY)
    assert np.array_equal((placed >= 0).any(axis=0), (np.arange(32) >= 11) & (np.arange(32) < 21))
    assert np.array_equal((placed >= 0).all(axis=0), (placed >= 0).any(axis=0))


def test_bars_are_no_cut():
    tracker: Tracker[Face] = Tracker(1)
    face = Face(np.float32([300, 100, 40, 40]), 0.9)
    level = np.full((18, 32), 200, np.uint8)
    persons = [tracker.push(0, [face], thumbnail=level)]
    persons += [tracker.push(10**8, [face], thumbnail=Placement((360, 640), (640, 360)).thumbnail(level))]
    assert [[tracked.person for tracked in faces] for faces in persons] == [[1], [1]]
