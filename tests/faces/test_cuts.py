"""Thumbnails of luma and of RGB, and the cuts between them."""

import numpy as np
import pytest

from emofuse.errors import ShapeError
from emofuse.faces.cuts import is_cut, thumbnail


@pytest.mark.parametrize("shape", [(720, 1280), (1, 1), (7, 4000)])
def test_thumbnails_of_luma_and_of_grey_rgb_are_equal(shape):
    luma = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert thumbnail(luma).shape == (18, 32)
    assert np.array_equal(thumbnail(luma), thumbnail(np.repeat(luma[:, :, None], 3, axis=2)))


def test_a_cut_is_a_large_difference_of_what_both_frames_show():
    dark, light = np.full((18, 32), 60, np.int16), np.full((18, 32), 90, np.int16)
    assert is_cut(dark, light)
    assert not is_cut(dark, dark + np.int16(10))
    light[:, :20] = -1
    assert is_cut(dark, light)
    light[:] = -1
    assert not is_cut(dark, light)


def test_thumbnails_of_two_shapes_are_refused():
    with pytest.raises(ShapeError, match="give all one shape"):
        is_cut(np.zeros((18, 32), np.uint8), np.zeros((9, 16), np.uint8))
