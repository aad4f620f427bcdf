"""Image files: reading, encoding, and folders of them as arrays."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.errors import DataError, ShapeError
from emofuse.media.images import ImageRows, encode_jpeg, read_image

RED = np.zeros((8, 6, 3), np.uint8) + np.array([200, 30, 30], np.uint8)


@pytest.fixture
def rows(tmp_path):
    for n in (1, 3):
        (tmp_path / f"{n}.jpg").write_bytes(encode_jpeg(RED // n))
    return ImageRows([tmp_path / "1.jpg", None, tmp_path / "3.jpg"], (8, 6))


def test_a_jpeg_is_read_back_as_rgb_with_small_errors(rows):
    image = read_image(rows.paths[0])
    assert image.shape == RED.shape
    assert np.abs(image.astype(int) - RED).max() < 4


def test_a_row_without_a_file_is_black(rows):
    assert not rows[1].any()
    assert rows[0].any()


@pytest.mark.parametrize("chosen", [2, -1, slice(1, None), [2, 0], np.array([True, False, True]), slice(0, 0)])
def test_rows_are_indexed_like_an_array(rows, chosen):
    assert np.array_equal(rows[chosen], np.asarray(rows)[chosen])


def test_a_file_is_only_read_when_its_row_is_indexed(tmp_path):
    rows = ImageRows([tmp_path / "not-there.jpg"], (8, 6))
    assert rows.shape == (1, 8, 6, 3)
    with pytest.raises(DataError, match=r"not-there\.jpg: cannot be read"):
        rows[0]


def test_an_image_of_another_size_is_refused(rows, tmp_path):
    (tmp_path / "3.jpg").write_bytes(encode_jpeg(RED[:4]))
    with pytest.raises(DataError, match=r"3\.jpg: 6x4 pixels, the others have 6x8"):
        rows[2]


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_a_file_that_is_not_an_image_is_refused(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError, match="not an image, or a damaged one"):
        read_image(tmp_path / "a.jpg")


def test_a_grey_image_cannot_be_encoded():
    with pytest.raises(ShapeError, match=r"^encode_jpeg: .* give RGB, uint8 \[height, width, 3\]"):
        encode_jpeg(RED[..., 0])
