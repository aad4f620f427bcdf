"""What is drawn over frames: where it is, and that it stays within the image."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.media.overlay import FaceOverlay, blur, draw_face, draw_text

RED, BLUE = (200, 0, 0), (0, 0, 200)


def grey(width: int = 320, height: int = 240) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def changed(image: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what differs from grey."""
    rows, columns = np.nonzero((image != 128).any(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_a_box_has_the_colour_of_the_face():
    image = grey()
    draw_face(image, FaceOverlay((100, 80, 60, 90), "1 anger 0.91", RED))
    assert image[125, 100].tolist() == image[125, 160].tolist() == image[170, 130].tolist() == list(RED)
    assert (image[90:160, 110:150] == 128).all()


def test_the_text_is_above_the_box_and_below_it_at_the_top_of_the_image():
    image = grey()
    draw_face(image, FaceOverlay((100, 80, 60, 90), "1", RED))
    assert (image[75, 102] != 128).any()
    image = grey()
    draw_face(image, FaceOverlay((100, 2, 60, 90), "1", RED))
    assert (image[97, 102] != 128).any()


@pytest.mark.parametrize(("x", "side"), [(100, slice(165, 320)), (250, slice(0, 245))])
def test_bars_are_beside_the_box_where_there_is_room(x, side):
    image = grey()
    draw_face(image, FaceOverlay((x, 60, 60, 90), "1", RED, [("calm", 1.0, BLUE), ("cross", 0.0, RED)]))
    blue = (image == BLUE).all(axis=2)
    assert blue[:, side].sum() == blue.sum() > 100


def test_bars_are_as_long_as_their_fractions():
    image = grey()
    bars = [("calm", 1.0, BLUE), ("cross", 0.5, (0, 200, 0))]
    draw_face(image, FaceOverlay((60, 60, 60, 90), "1", RED, bars))
    lengths = [(image == colour).all(axis=2).sum(axis=1).max() for _, _, colour in bars]
    assert abs(lengths[0] - 2 * lengths[1]) <= 2


@pytest.mark.parametrize("box", [(-50, -50, 400, 400), (310, 230, 40, 40), (500, 500, 10, 10), (0, 0, 1, 1)])
def test_faces_may_reach_beyond_the_image(box):
    for size in ((320, 240), (32, 24), (2, 2)):
        image = grey(*size)
        draw_face(image, FaceOverlay(box, "1 Anna happiness 0.93", RED, [("happiness", 0.5, BLUE)] * 7))
        blur(image, box)


@pytest.mark.parametrize("text", ["Zoë", "名前", "a\nb\x00", "😀", "x" * 300, ""])
def test_any_text_is_drawn_on_one_line(text):
    image = grey()
    height = draw_text(image, text, 10, 10)
    left, top, _, bottom = changed(image)
    assert (left, top, bottom) == (10 if len(text) < 99 else 0, 10, 10 + height)


def test_a_blurred_face_has_no_detail_left_and_the_rest_is_untouched():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    before = image.copy()
    blur(image, (100, 80, 60, 90))
    assert (image[:50] == before[:50]).all()
    region = image[80:170, 100:160].astype(float)
    assert (
        np.abs(np.diff(region, axis=1)).mean()
        < 0.05 * np.abs(np.diff(before[80:170, 100:160].astype(float), axis=1)).mean()
    )
