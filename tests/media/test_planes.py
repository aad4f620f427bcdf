"""Luma and regions of frames: equal to those of the whole RGB image, whatever the format, size and orientation."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.media.frame_image import Look
from emofuse.media.hdr import HDR_TRANSFERS
from emofuse.media.planes import Planes
from emofuse.media.video import Frame, VideoReader
from support.media_files import moving_bar, set_display_matrix, write_media

CUT = ["yuv420p", "yuvj420p", "nv12", "nv21", "yuv422p", "yuvj422p", "yuv411p", "yuv444p", "yuvj444p", "gray"]
CUT += ["yuv420p10le", "yuv422p10le", "yuv444p10le", "gray10le"]
WHOLE = ["rgb24", "gbrp", "rgba", "yuva420p", "yuyv422", "p010le", "yuv410p"]
UNSPECIFIED, LIMITED, FULL = 0, 1, 2
MATRICES = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]
WEIGHTS = {1: (0.2126, 0.7152, 0.0722), 2: (0.299, 0.587, 0.114), 9: (0.2627, 0.678, 0.0593)}


def colourful(width: int, height: int) -> np.ndarray:
    """A blurred random image without saturated colours."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 30, 220, cv2.NORM_MINMAX)


def frame_of(
    name: str, size: tuple[int, int] = (96, 64), *, colour: tuple[int, int] = (2, UNSPECIFIED), **look: object
) -> Frame:
    """A frame in a pixel format, with a colour matrix and a range."""
    picture = av.VideoFrame.from_ndarray(colourful(*size), format="rgb24").reformat(format=name)
    picture.colorspace, picture.color_range = colour
    width, height = look.get("stretched") or size
    upright = (height, width) if look.get("display_matrix", (1, 0, 0, 1))[1] else (width, height)
    whole = bool(look.get("transfer") or look.get("interlaced"))
    alpha = name in ("rgba", "yuva420p")
    return Frame(0, 0, 1, picture, Look(upright, **look, has_alpha=alpha, planes=None if whole else Planes.of(picture)))


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("colour_range", [UNSPECIFIED, LIMITED, FULL])
@pytest.mark.parametrize("name", CUT)
def test_luma_is_the_weighted_sum_of_the_colours(name, colour_range, matrix):
    frame = frame_of(name, colour=(matrix, colour_range))
    assert frame._look.planes is not None
    grey = frame.rgb() @ np.array(WEIGHTS[matrix])
    assert np.abs(frame.luma() - grey).max() < 4


@pytest.mark.parametrize("name", WHOLE)
def test_frames_that_cannot_be_cut_are_converted_first(name):
    frame = frame_of(name)
    assert frame._look.planes is None
    assert np.array_equal(frame.luma(), cv2.cvtColor(frame.rgb(), cv2.COLOR_RGB2GRAY))
    assert np.array_equal(frame.region(3, 5, 20, 30), frame.rgb()[5:35, 3:23])


@pytest.mark.parametrize("look", [{"interlaced": True}, {"transfer": HDR_TRANSFERS[16]}])
def test_a_look_that_depends_on_the_whole_frame_is_taken_from_it(look):
    frame = frame_of("yuv420p10le", **look)
    assert np.array_equal(frame.region(3, 5, 20, 30), frame.rgb()[5:35, 3:23])
    assert frame.luma().shape == (64, 96)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_region_is_equal_to_that_of_the_whole_image(data):
    name = data.draw(st.sampled_from(CUT))
    size = data.draw(st.sampled_from([(96, 64), (98, 66), (97, 65), (16, 2), (2, 64), (1, 1)]))
    look = {"display_matrix": data.draw(st.sampled_from(MATRICES))}
    if data.draw(st.booleans()):
        look["stretched"] = (size[0] * 3 // 2 + 1, size[1])
    frame = frame_of(name, size, colour=(data.draw(st.sampled_from([1, 2, 9])), data.draw(st.integers(0, 2))), **look)
    width, height = frame.size
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    across, down = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    assert np.array_equal(frame.region(x, y, across, down), frame.rgb()[y : y + down, x : x + across])
    luma = frame.luma()[y : y + down, x : x + across].astype(int)
    assert (
        np.abs(frame.luma_region((x, y, across, down), (across, down)) - luma).max() <= 1
    )  # rounded by other vector instructions


@pytest.mark.parametrize("matrix", MATRICES)
def test_luma_is_upright_and_has_square_pixels(matrix):
    frame = frame_of("yuv420p", display_matrix=matrix, stretched=(128, 64))
    assert frame.luma().shape == frame.rgb().shape[:2] == frame.size[::-1]
    assert np.abs(frame.luma() - frame.rgb() @ np.array(WEIGHTS[2])).max() < 4


@pytest.mark.parametrize("name", ["yuv420p", "yuvj420p", "yuv420p10le", "rgb24"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_a_region_of_luma_can_be_reduced(name, matrix):
    frame = frame_of(name, display_matrix=matrix)
    luma = frame.luma()[8:56, 10:50].astype(int)
    means = luma.reshape(24, 2, 20, 2).mean(axis=(1, 3))
    assert np.abs(frame.luma_region((10, 8, 40, 48), (20, 24)) - means).max() < 2


def test_luma_below_black_and_above_white_is_clipped():
    picture = av.VideoFrame(256, 2, "yuv420p")
    picture.planes[0].update(bytes(range(256)) * 2)
    luma = Frame(0, 0, 1, picture, Look((256, 2), planes=Planes.of(picture))).luma()[0]
    assert luma[[0, 16, 126, 235, 255]].tolist() == [0, 0, 128, 255, 255]


def test_a_frame_from_memory_has_regions_and_luma():
    image = colourful(40, 30)
    frame = Frame.from_rgb(image, index=0, start=0, end=1)
    assert frame.size == (40, 30)
    assert np.array_equal(frame.region(3, 5, 20, 10), image[5:15, 3:23])
    assert np.array_equal(frame.luma(), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    assert np.array_equal(frame.luma_region((3, 5, 20, 10), (20, 10)), frame.luma()[5:15, 3:23])


def test_regions_of_a_file_are_those_of_its_images(tmp_path):
    path = write_media(tmp_path / "a.mp4", moving_bar(5, 128, 96), rate=Fraction(30))
    set_display_matrix(path, (0, 1, -1, 0))
    with VideoReader(path) as video:
        for frame in video.frames():
            assert frame.size == (96, 128)
            assert np.array_equal(frame.region(7, 9, 50, 70), frame.rgb()[9:79, 7:57])
            assert np.abs(frame.luma() - frame.rgb() @ np.array(WEIGHTS[2])).max() < 4
