"""The turn of a frame by the faces of four orientations, and that of a video by its frames."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.faces.detector import Face
from emofuse.faces.orientation import TURNS, frame_turn, roll, video_turn

LEVEL = np.float32([[2, 3], [8, 3], [5, 5], [3, 8], [7, 8]])


def face(score: float, *, turned: float = 0) -> Face:
    """A face in a square of 10 pixels, turned clockwise by degrees around its centre."""
    angle = np.radians(turned)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Face(np.float32([0, 0, 10, 10]), score, ((LEVEL - 5) @ rotation.T + 5).astype(np.float32))


def found(*scores: float) -> dict[int, list[Face]]:
    """The level face found in each orientation, 0: none."""
    return {turn: [face(score)] if score else [] for turn, score in zip(TURNS, scores, strict=True)}


@pytest.mark.parametrize("angle", range(-180, 181, 20))
def test_the_roll_of_a_face_is_the_nearest_right_angle(angle):
    assert roll(face(0.9, turned=angle)) == round(angle / 90) * 90 % 360


def test_a_profile_whose_eyes_coincide_is_upright_by_its_mouth():
    profile = np.float32([[5, 3], [5.1, 3.6], [8, 5], [6, 8], [6, 8]])
    assert roll(Face(np.float32([0, 0, 10, 10]), 0.9, profile)) == 0


@pytest.mark.parametrize(
    ("scores", "turn"),
    [
        ((0.94, 0.7, 0.88, 0), 0),
        ((0.88, 0.7, 0.94, 0.8), 180),
        ((0, 0, 0, 0.9), 270),
        ((0.6, 0, 0, 0), 0),  # a poor face, but nothing better
        ((0, 0.8, 0, 0), None),  # too poor for a turn
        ((0.93, 0.935, 0, 0), None),  # too close
        ((0, 0, 0, 0), None),
    ],
)
def test_a_frame_is_upright_where_its_best_face_scores_highest(scores, turn):
    assert frame_turn(found(*scores)) == turn


def test_faces_with_landmarks_on_their_side_count_for_the_turn_that_they_need():
    seen = {turn: [face(0.9, turned=90 + turn)] for turn in TURNS}  # equal scores, correct landmarks
    assert frame_turn(seen) == 270


def test_scores_decide_where_faces_have_no_landmarks():
    bare = {turn: [Face(f.box, f.score) for f in faces] for turn, faces in found(0.5, 0.9, 0, 0).items()}
    assert frame_turn(bare) == 90


@pytest.mark.parametrize(
    ("turns", "turn"),
    [
        ([], None),
        ([None, None], None),
        ([0], 0),
        ([None, 0], 0),
        ([90], None),
        ([90, None, 90], 90),
        ([90, 0], None),
        ([90, 270, 90], 90),
        ([90, 90, 0, 0], None),
    ],
)
def test_the_turn_of_most_frames_is_that_of_the_video_and_two_must_agree_on_it(turns, turn):
    assert video_turn(turns) == turn
