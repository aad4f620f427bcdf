from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.core.time import ticks
from emofuse.errors import ShapeError
from emofuse.faces.detector import Face
from emofuse.faces.pose import HeadModel, HeadPose, HeadPoses, head_pose, pose_of
from support.turned_heads import MODEL, landmarks, rotation

SWAPPED = [1, 0, 2, 4, 3]  # landmarks of a mirrored face

angles = st.tuples(st.floats(-80, 80), st.floats(-40, 40), st.floats(-170, 170))


@given(angles)
def test_the_pose_of_the_projected_model_is_exact(pose):
    assert head_pose(landmarks(pose), MODEL) == pytest.approx(pose, abs=1e-6)


def test_a_face_turned_to_the_right_of_the_image_has_positive_yaw_and_one_turned_up_positive_pitch():
    face = landmarks((0, 0, 0))
    right, up = face.copy(), face.copy()
    right[2] += (5, 0)  # the nose tip shows where a face points to
    up[2] += (0, -5)
    assert head_pose(right, MODEL).yaw > 5
    assert head_pose(up, MODEL).pitch > 5


def test_a_head_tilted_clockwise_has_positive_roll():
    tilted = landmarks((0, 0, 0))
    tilted[:2, 1] += (-4, 4)  # of two eyes on a level, the one on the right of the image sinks
    assert head_pose(tilted, MODEL).roll > 2


@given(angles, st.integers(0, 2**32 - 1))
def test_a_mirrored_image_has_the_opposite_yaw_and_roll(pose, seed):
    face = landmarks(pose) + np.random.default_rng(seed).normal(0, 2, (5, 2))
    mirrored = (face * [-1, 1] + [400, 0])[SWAPPED]
    one, other = head_pose(face, MODEL), head_pose(mirrored, MODEL)
    assert other == pytest.approx((-one.yaw, one.pitch, -one.roll), abs=1e-6)


@given(angles, st.floats(-60, 60), st.integers(0, 2**32 - 1))
def test_turning_the_image_changes_the_roll_alone(pose, turn, seed):
    face = landmarks(pose) + np.random.default_rng(seed).normal(0, 2, (5, 2))
    turned = face @ rotation(0, 0, turn)[:2, :2].T
    one, other = head_pose(face, MODEL), head_pose(turned, MODEL)
    assert other[:2] == pytest.approx(one[:2], abs=1e-6)
    assert (other.roll - one.roll - turn + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


def test_angles_of_unequal_heads_with_noisy_landmarks_are_approximate():
    rng, errors = np.random.default_rng(0), []
    for _ in range(400):
        pose = (rng.uniform(-60, 60), rng.uniform(-20, 20), rng.uniform(-30, 30))
        head = MODEL.points * rng.normal(1, 0.06, (5, 3))
        face = landmarks(pose, head) + rng.normal(0, 1.0, (5, 2))  # in faces of 44 pixels between the eyes
        errors.append(np.abs(np.subtract(head_pose(face, MODEL), pose)))
    assert (np.mean(errors, axis=0) < [4, 5, 4]).all()


def test_a_detector_whose_landmarks_do_not_show_pitch_returns_none():
    pose = head_pose(landmarks((20, 10, 5)), HeadModel(shows_pitch=False))
    assert np.isnan(pose.pitch)
    assert (pose.yaw, pose.roll) == pytest.approx((20, 5), abs=1e-6)


def test_landmarks_that_coincide_have_finite_angles():
    assert isinstance(head_pose(np.zeros((5, 2)), MODEL), HeadPose)
    assert np.isfinite(head_pose(np.ones((5, 2)), MODEL)).all()


def test_other_numbers_of_landmarks_are_refused():
    with pytest.raises(ShapeError, match=r"landmarks have shape \(68, 2\); give five"):
        head_pose(np.zeros((68, 2)), MODEL)


class Nearsighted:
    """Finds a turned head only in images of 32 pixels, and nothing in black ones."""

    identity = "nearsighted"
    colour = False
    certain_score = 0.85
    head_model = HeadModel(close_up=32)

    def __call__(self, image: np.ndarray) -> list[Face]:
        yaw = 25 if image.shape == (32, 32) else 0
        return [Face(np.array([10, 20, 40, 50], np.float32), 0.9, landmarks((yaw, 0, 0)))] if image.any() else []


@pytest.mark.parametrize(("level", "yaw"), [(90, 25), (0, None)])
def test_a_pose_is_found_in_an_image_of_the_face_alone_if_the_detector_sees_it_there(level, yaw):
    for factor in (0.4, 2):  # enlarged, reduced
        face = Face(np.array([10, 20, 40, 50], np.float32) * factor, 0.9, landmarks((0, 0, 0)))
        pose = pose_of(face, np.full((160, 160), level, np.uint8), Nearsighted())
        assert (pose and round(pose.yaw)) == yaw


def test_a_face_without_landmarks_has_no_pose():
    face = Face(np.array([10, 20, 40, 50], np.float32), 0.9)
    assert pose_of(face, np.zeros((100, 100), np.uint8), Nearsighted()) is None


class Nodding(Nearsighted):
    """Finds a face with another yaw each time; `calls` counts its searches."""

    def __init__(self, close_up: int | None = 32) -> None:
        self.head_model = HeadModel(close_up=close_up)
        self.calls = 0

    def __call__(self, image):
        self.calls += 1
        return [Face(np.array([10, 20, 40, 50], np.float32), 0.9, landmarks((self.calls, 0, 0)))]


def face(yaw: float = 0, x: float = 10) -> Face:
    return Face(np.array([x, 20, 40, 50], np.float32), 0.9, landmarks((yaw, 0, 0)) + np.array([x, 0]))


def yaws(faces: list[list[Face]], *, seconds: float = 0.2, detector: Nodding | None = None) -> list[list[int]]:
    """The yaw of each face in frames that are so many seconds apart."""
    heads, image = HeadPoses(detector or Nodding()), np.zeros((100, 100), np.uint8)
    poses = [heads.push(ticks(n * seconds), image, found) for n, found in enumerate(faces)]
    return [[round(pose.yaw) for pose in found if pose] for found in poses]


def test_a_face_that_stays_is_searched_for_its_pose_in_every_other_frame():
    assert yaws([[face()]] * 5) == [[1], [1], [2], [2], [3]]
    assert yaws([[face(), face(x=55)]] * 3) == [[1, 2], [1, 2], [3, 4]]


def test_a_face_that_turns_or_jumps_is_searched_for_its_pose_at_once():
    assert yaws([[face()], [face(yaw=25)], [face(yaw=25)]]) == [[1], [2], [2]]
    assert yaws([[face()], [face(x=50)]]) == [[1], [2]]


def test_a_pose_holds_for_a_quarter_of_a_second_at_most():
    assert yaws([[face()]] * 3, seconds=0.5) == [[1], [2], [3]]


def test_a_pose_of_the_landmarks_that_were_found_is_never_held():
    detector = Nodding(close_up=None)
    assert yaws([[face(yaw=10)], [face(yaw=10.9)]], detector=detector) == [[10], [11]]
    assert detector.calls == 0
