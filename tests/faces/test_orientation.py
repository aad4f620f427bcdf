"""Faces that are not upright are reported, with the turn that helps."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.faces.detector import Face
from emofuse.faces.orientation import OrientationCheck

BOX = np.float32([0, 0, 10, 10])
LEVEL = np.float32([[2, 3], [8, 3], [5, 5], [3, 8], [7, 8]])


class OneCorner:
    """Finds a face with a high score where its mark is in the upper left corner, with a low score elsewhere."""

    def __init__(self, *, landmarks: bool = True) -> None:
        self.calls = 0
        self.landmarks = LEVEL if landmarks else None

    def __call__(self, image: np.ndarray) -> list[Face]:
        self.calls += 1
        return [Face(BOX, 0.95 if image[0, 0, 0] else 0.75, self.landmarks)]


def checked(turned: list[int], detector: OneCorner) -> OrientationCheck:
    """After frames that were turned clockwise by quarters."""
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[0, 0] = 255
    check = OrientationCheck(detector)
    for turn in turned:
        image = np.rot90(upright, -turn)
        check.push(lambda image=image: image, detector(image))
    return check


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (1, "on their side in 4 of 4 checked frames: turn the video by 90 degrees counterclockwise"),
        (2, "upside down in 4 of 4 checked frames: turn the video by 180 degrees"),
        (3, "on their side in 4 of 4 checked frames: turn the video by 90 degrees clockwise"),
    ],
)
def test_the_warning_says_how_to_turn_the_video(turn, message):
    assert checked([turn] * 30, OneCorner()).warning == f"faces lie {message} and predict it again"


def test_upright_faces_cost_nothing():
    detector = OneCorner()
    assert checked([0] * 100, detector).warning is None
    assert detector.calls == 100


def test_the_number_of_checks_grows_with_the_logarithm_of_the_length():
    detector = OneCorner()
    checked([1] * 1000, detector)
    assert detector.calls == 1000 + 3 * 9


def test_some_frames_on_their_side_are_no_warning():
    assert checked([0] * 20 + [1] * 30, OneCorner()).warning is None
    assert checked([1] * 4, OneCorner()).warning is None  # one check is not enough


def test_landmarks_on_their_side_need_no_further_detection():
    def never(image: np.ndarray) -> list[Face]:
        raise AssertionError("searched again")

    check = OrientationCheck(never)
    clockwise = np.column_stack([10 - LEVEL[:, 1], LEVEL[:, 0]])
    for _ in range(12):
        check.push(lambda: np.zeros((4, 4, 3), np.uint8), [Face(BOX, 0.95, clockwise)])
    assert "counterclockwise" in (check.warning or "")


def test_detectors_without_landmarks_are_not_asked():
    detector = OneCorner(landmarks=False)
    assert checked([1] * 50, detector).warning is None
    assert detector.calls == 50
