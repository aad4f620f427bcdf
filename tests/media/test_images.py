"""Image files: reading, encoding, and folders of them as arrays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

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
    with pytest.raises(DataError, match="is not an image; copy it again"):
        read_image(tmp_path / "a.jpg")


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A smooth image without symmetry, so that every orientation differs."""
    y, x = np.mgrid[:40, :60]
    return np.stack([4 * x, 6 * y, 255 - 2 * x - 2 * y], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize(("orientation", "turned"), [(3, 180), (6, 90), (8, 270)])
def test_the_exif_orientation_is_obeyed(tmp_path, scene, suffix, orientation, turned):
    exif = Pillow.Exif()
    exif[0x112] = orientation
    stored = np.rot90(scene, turned // 90)  # is to be turned clockwise
    Pillow.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a{suffix}", exif=exif, quality=95)
    image = read_image(tmp_path / f"a{suffix}")
    assert image.shape == scene.shape
    assert np.abs(image.astype(int) - scene).mean() < 3


@pytest.mark.parametrize(
    ("name", "mode"), [("a.jpg", "CMYK"), ("a.tif", "CMYK"), ("a.png", "P"), ("a.bmp", "P"), ("a.tif", "P")]
)
def test_other_colour_models_become_rgb(tmp_path, scene, name, mode):
    image = Pillow.fromarray(scene)
    image = image.quantize(256) if mode == "P" else image.convert(mode)
    image.save(tmp_path / name, quality=95)
    assert np.abs(read_image(tmp_path / name).astype(int) - scene).mean() < 4


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_reduced_to_8(tmp_path, scene, suffix):
    cv2.imwrite(str(tmp_path / f"rgb{suffix}"), scene[..., ::-1].astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / f"grey{suffix}"), scene[..., 0].astype(np.uint16) * 257)
    assert np.array_equal(read_image(tmp_path / f"rgb{suffix}"), scene)
    assert np.array_equal(read_image(tmp_path / f"grey{suffix}"), np.repeat(scene[..., :1], 3, axis=2))


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_transparent_parts_are_white_whatever_their_hidden_colour(tmp_path, scene, name):
    alpha = np.full(scene.shape[:2], 255, np.uint8)
    alpha[:, :10], alpha[:, 10:20] = 0, 128
    Pillow.fromarray(np.dstack([scene, alpha])).save(tmp_path / name, lossless=True, exact=True)
    image = read_image(tmp_path / name).astype(int)
    assert (image[:, :10] == 255).all()
    assert np.abs(image[:, 10:20] - (scene[:, 10:20] * 128.0 + 255 * 127) / 255).max() <= 1
    assert np.array_equal(image[:, 20:], scene[:, 20:])


def test_a_transparent_palette_colour_is_white(tmp_path):
    image = Pillow.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([200, 30, 30, 10, 20, 30])
    image.save(tmp_path / "a.png", transparency=0)
    assert read_image(tmp_path / "a.png").tolist() == [[[255, 255, 255], [10, 20, 30]]]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
def test_an_image_that_is_cut_off_is_refused_without_output_of_opencv(tmp_path, scene, capfd, suffix):
    path = tmp_path / f"a{suffix}"
    Pillow.fromarray(scene).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(DataError, match=f"a{suffix}: is damaged, cut off, or of a kind that cannot be decoded"):
        read_image(path)
    assert capfd.readouterr() == ("", "")


def test_a_grey_image_cannot_be_encoded():
    with pytest.raises(ShapeError, match=r"^encode_jpeg: .* give RGB, uint8 \[height, width, 3\]"):
        encode_jpeg(RED[..., 0])
