"""The scores of a frame in four orientations, and the turn of a video by those of its frames."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.faces.detector import Face
from emofuse.faces.orientation import TURNS, roll, scores_by_turn, video_turn

LEVEL = np.float32([[2, 3], [8, 3], [5, 5], [3, 8], [7, 8]])


def face(score: float, *, turned: float = 0) -> Face:
    """A face in a square of 10 pixels, turned clockwise by degrees around its centre."""
    angle = np.radians(turned)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Face(np.float32([0, 0, 10, 10]), score, ((LEVEL - 5) @ rotation.T + 5).astype(np.float32))


@pytest.mark.parametrize("angle", range(-180, 181, 20))
def test_the_roll_of_a_face_is_the_nearest_right_angle(angle):
    assert roll(face(0.9, turned=angle)) == round(angle / 90) * 90 % 360


def test_a_profile_whose_eyes_coincide_is_upright_by_its_mouth():
    profile = np.float32([[5, 3], [5.1, 3.6], [8, 5], [6, 8], [6, 8]])
    assert roll(Face(np.float32([0, 0, 10, 10]), 0.9, profile)) == 0


def test_the_scores_of_a_frame_are_those_of_its_best_faces():
    frame = {0: [face(0.9), face(0.6)], 90: [], 180: [face(0.7)], 270: [face(0.8)]}
    assert scores_by_turn(frame).tolist() == [0.9, 0, 0.7, 0.8]


def test_faces_with_landmarks_on_their_side_count_for_the_turn_that_they_need():
    frame = {turn: [face(0.9, turned=90 + turn)] for turn in TURNS}  # equal scores, correct landmarks
    assert scores_by_turn(frame).tolist() == [0, 0, 0, 0.9]


def test_scores_decide_where_faces_have_no_landmarks():
    bare = Face(np.float32([0, 0, 10, 10]), 0.9)
    assert scores_by_turn({0: [], 90: [bare], 180: [], 270: []}).tolist() == [0, 0.9, 0, 0]


@pytest.mark.parametrize(
    ("frames", "turn"),
    [
        ([], None),
        ([[0, 0, 0, 0]] * 3, None),
        ([[0.94, 0.7, 0.88, 0]], 0),
        ([[0.75, 0, 0, 0]], 0),  # a poor face, but nothing better
        ([[0.94, 0, 0.93, 0]], None),  # too close
        ([[0.94, 0, 0.93, 0]] * 5, 0),  # but always
        ([[0, 0, 0, 0.9]], None),  # one frame alone
        ([[0, 0, 0, 0.9], [0, 0, 0, 0], [0, 0, 0, 0.9]], 270),
        ([[0, 0.8, 0, 0]] * 5, None),  # too poor for a turn
        ([[0, 0.9, 0, 0], [0, 0.9, 0, 0], [0.95, 0, 0, 0], [0.95, 0, 0, 0], [0.95, 0, 0, 0]], 0),
    ],
)
def test_a_video_is_upright_where_its_scores_are_highest(frames, turn):
    assert video_turn([np.array(row, float) for row in frames], certain=0.85) == turn
