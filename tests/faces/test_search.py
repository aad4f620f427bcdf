"""Faces are followed in regions; the whole frame is searched now and then, at cuts, and when a face is lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.time import ticks
from emofuse.faces.cuts import thumbnail
from emofuse.faces.detector import Face
from emofuse.faces.search import MOST_REGIONS, FaceSearch

WIDTH, HEIGHT = 640, 360
WALL = 60


@dataclass
class Squares:
    """Finds squares of one grey level above 100 each; the score grows with their visible part. Counts its calls."""

    colour = False
    identity = "squares"
    shapes: list[tuple[int, int]] = field(default_factory=list)
    smallest: int = 4

    def __call__(self, image: np.ndarray) -> list[Face]:
        self.shapes.append(image.shape)
        faces = []
        for level in np.unique(image[image > 100]):
            rows, columns = np.nonzero(image == level)
            width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
            if min(width, height) >= self.smallest and width * height == len(rows):
                box = np.float32([columns.min(), rows.min(), width, height])
                faces.append(Face(box, 0.5 + 0.001 * float(level), np.tile(box[:2], (5, 1))))
        return sorted(faces, key=lambda face: -face.score)

    @property
    def whole(self) -> int:
        return self.shapes.count((HEIGHT, WIDTH))


def frame(*squares: tuple[int, int, int], wall: int = WALL) -> np.ndarray:
    """A luma image with squares (x, y, side) on a wall; each has a level of its own."""
    image = np.full((HEIGHT, WIDTH), wall, np.uint8)
    for n, (x, y, side) in enumerate(squares):
        image[y : y + side, x : x + side] = 110 + 8 * n
    return image


def searched(
    frames: list[np.ndarray], *, rate: Fraction | int = 5, detector: Squares | None = None
) -> list[list[Face]]:
    search = FaceSearch(detector or Squares())
    return [search.push(ticks(Fraction(n) / rate), image, thumbnail(image)) for n, image in enumerate(frames)]


def boxes(faces: list[Face]) -> list[list[int]]:
    return sorted(face.box.round().astype(int).tolist() for face in faces)


@pytest.mark.parametrize(("rate", "expected"), [(5, 6), (30, 6), (Fraction(30000, 1001), 6), (10, 6), (2, 4), (1, 2)])
def test_the_whole_frame_is_searched_every_0_4_s(rate, expected):
    detector = Squares()
    n = round(Fraction(2) * rate) + 1
    found = searched([frame((200, 100, 40))] * n, rate=rate, detector=detector)
    assert [boxes(faces) for faces in found] == [[[200, 100, 40, 40]]] * n
    assert detector.whole == pytest.approx(expected, abs=1)


def test_regions_are_two_and_a_half_times_the_face_and_at_most_160_pixels():
    small, large = Squares(), Squares()
    searched([frame((200, 100, 40))] * 2, detector=small)
    searched([frame((200, 100, 120))] * 2, detector=large)
    assert small.shapes == [(HEIGHT, WIDTH), (100, 100)]
    assert large.shapes == [(HEIGHT, WIDTH), (160, 160)]


def test_boxes_and_landmarks_of_a_reduced_region_are_in_pixels_of_the_frame():
    (face,) = searched([frame((200, 100, 130))] * 2)[1]
    assert face.box == pytest.approx([200, 100, 130, 130], abs=4)
    assert face.landmarks[0] == pytest.approx([200, 100], abs=3)


@pytest.mark.parametrize("corner", [(0, 0), (WIDTH - 40, 0), (0, HEIGHT - 40), (WIDTH - 40, HEIGHT - 40)])
def test_regions_are_cut_at_the_border(corner):
    detector = Squares()
    assert boxes(searched([frame((*corner, 40))] * 2, detector=detector)[1]) == [[*corner, 40, 40]]
    assert detector.shapes[1:] == [(70, 70)]


def test_a_moving_face_is_followed_in_its_region():
    detector = Squares()
    frames = [frame((20 + 8 * n, 100, 60)) for n in range(30)]
    found = searched(frames, rate=30, detector=detector)
    assert [faces[0].box[0] for faces in found] == pytest.approx([20 + 8 * n for n in range(30)], abs=1)
    assert detector.whole == 3


def test_a_face_that_leaves_its_region_is_found_in_the_whole_frame_at_once():
    detector = Squares()
    found = searched([frame((20, 100, 40)), frame((400, 100, 40))], detector=detector)
    assert boxes(found[1]) == [[400, 100, 40, 40]]
    assert detector.whole == 2


@pytest.mark.parametrize("rate", [5, 10, 30])
def test_while_there_is_no_face_the_whole_frame_is_searched_every_0_2_s(rate):
    detector = Squares()
    frames = [frame()] * (2 * rate) + [frame((400, 100, 40))] * rate
    found = searched(frames, rate=rate, detector=detector)
    first = next(n for n, faces in enumerate(found) if faces)
    assert (first - 2 * rate) / rate <= 0.2
    assert all(found[first:])
    assert detector.whole == pytest.approx(10 + 3, abs=1)


def test_when_one_of_two_faces_has_left_the_whole_frame_is_searched_once_and_then_as_usual():
    detector = Squares()
    frames = [frame((20, 100, 40), (400, 100, 40))] * 2 + [frame((20, 100, 40))] * 28
    found = searched(frames, rate=30, detector=detector)
    assert [len(faces) for faces in found] == [2] * 2 + [1] * 28
    assert detector.whole <= 2 + 3


def test_one_of_two_faces_that_is_hidden_for_a_moment_is_found_in_its_region():
    detector = Squares()
    shown, hidden = frame((20, 100, 40), (200, 100, 40)), frame((20, 100, 40))
    found = searched([shown] * 2 + [hidden] * 3 + [shown] * 3, rate=30, detector=detector)
    assert [len(faces) for faces in found] == [2, 2, 1, 1, 1, 2, 2, 2]
    assert detector.whole == 2


@given(st.integers(0, 30), st.sampled_from([5, 10, 25, 30]))
@settings(max_examples=12, deadline=None)
def test_a_new_face_is_found_within_the_interval_and_half_a_frame(late, rate):
    frames = [frame((20, 100, 40))] * (late + 1) + [frame((20, 100, 40), (400, 100, 40))] * rate
    found = searched(frames, rate=rate)
    delay = next(n for n, faces in enumerate(found) if len(faces) == 2) - (late + 1)
    assert delay / rate <= 0.4 + 0.5 / rate


def test_a_cut_forgets_the_faces_and_searches_the_whole_frame():
    detector = Squares()
    found = searched([frame((20, 100, 40)), frame((400, 200, 60), wall=90)], detector=detector)
    assert boxes(found[1]) == [[400, 200, 60, 60]]
    assert detector.shapes == [(HEIGHT, WIDTH)] * 2


def test_a_frame_of_another_size_is_searched_as_a_whole():
    search, image = FaceSearch(detector := Squares()), frame((200, 100, 40))
    search.push(0, image, thumbnail(image))
    faces = search.push(1, np.ascontiguousarray(image[:180]), thumbnail(image))
    assert boxes(faces) == [[200, 100, 40, 40]]
    assert detector.shapes == [(HEIGHT, WIDTH), (180, WIDTH)]


def test_a_region_with_a_neighbour_returns_its_own_face_alone():
    pair = [frame((200, 100, 40), (250, 100, 40))] * 4
    assert [boxes(faces) for faces in searched(pair, rate=30)] == [[[200, 100, 40, 40], [250, 100, 40, 40]]] * 4


def test_two_persons_do_not_share_a_face():
    frames = [frame((200, 100, 40), (250, 100, 40)), frame((225, 100, 40)), frame((225, 100, 40))]
    assert [len(faces) for faces in searched(frames, rate=30)] == [2, 1, 1]


def test_a_face_that_is_found_in_the_whole_frame_only_is_kept():
    class Coarse(Squares):
        def __call__(self, image: np.ndarray) -> list[Face]:
            found = super().__call__(image)
            return found if image.shape == (HEIGHT, WIDTH) else []

    detector = Coarse()
    found = searched([frame((200, 100, 40))] * 2, detector=detector)
    assert [boxes(faces) for faces in found] == [[[200, 100, 40, 40]]] * 2
    assert detector.whole == 2


def test_with_more_than_16_faces_every_frame_is_searched_as_a_whole():
    crowd, detector = [(30 * n, 40, 8 + n) for n in range(18)], Squares()
    found = searched([frame(*crowd)] * 3, rate=30, detector=detector)
    assert [boxes(faces) for faces in found] == [sorted([x, y, side, side] for x, y, side in crowd)] * 3
    assert detector.shapes == [(HEIGHT, WIDTH)] * 3


def test_no_more_than_16_regions_are_searched_around_the_largest_faces():
    class Tired(Squares):
        def __call__(self, image: np.ndarray) -> list[Face]:
            found = super().__call__(image)
            return [] if self.whole > 1 and image.shape == (HEIGHT, WIDTH) else found

    crowd, detector = [(30 * n, 40, 8 + n) for n in range(18)], Tired()
    found = searched([frame(*crowd)] * 2, rate=30, detector=detector)
    assert boxes(found[1]) == sorted([x, y, side, side] for x, y, side in crowd[2:])
    assert len(detector.shapes) == 2 + MOST_REGIONS


def test_a_known_face_that_the_whole_frame_does_not_show_is_found_in_its_region():
    class Coarse(Squares):
        def __call__(self, image: np.ndarray) -> list[Face]:
            found = super().__call__(image)
            return [] if self.whole > 1 and image.shape == (HEIGHT, WIDTH) else found

    detector = Coarse()
    assert [len(faces) for faces in searched([frame((200, 100, 40))] * 9, detector=detector)] == [1] * 9
    assert detector.whole == 5


def test_the_best_face_comes_first():
    scores = [face.score for face in searched([frame((20, 100, 40), (120, 100, 60), (400, 100, 30))] * 2)[1]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3


def test_images_of_one_pixel_are_searched():
    assert searched([np.full((1, 1), WALL, np.uint8)] * 3) == [[], [], []]
