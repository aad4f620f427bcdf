"""What is drawn over the frames of a video: boxes of faces with text and bars, lines of text, and blurred regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.core.plot_text import plain
from emofuse.media.images import Image

Rgb = tuple[int, int, int]
Box = tuple[float, float, float, float]

_WHITE, _DARK, _PALE = (255, 255, 255), (20, 20, 20), (90, 90, 90)
_PANEL_OPACITY = 0.6
_TEXT_FRACTION = 1 / 36  # of the height of the frame
_TEXT_PIXELS = (10, 64)
_BLOCKS = 6  # in the width of a blurred region
_MARGIN = 0.25  # of a box, which is blurred around it
_LONGEST_TEXT = 60
_ASCENT, _DESCENT = 0.95, 0.25  # of a line of text, as fractions of its size


@dataclass(frozen=True)
class FaceOverlay:
    """A face: its box, a line of text above it, and a small bar chart beside it.

    box: x, y, width and height in pixels; may reach beyond the frame.
    bars: name, fraction from 0 to 1 and colour of each; none: no chart.
    """

    box: Box
    text: str
    colour: Rgb
    bars: Sequence[tuple[str, float, Rgb]] = ()


def draw_face(image: Image, face: FaceOverlay) -> None:
    """Draw a face into an RGB image, uint8 [height, width, 3]."""
    size = text_size(image)
    left, top, right, bottom = _corners(face.box)
    cv2.rectangle(image, (left, top), (right, bottom), face.colour, max(1, round(size / 7)))
    height = _line_height(size)
    y = top - height if top >= height else min(bottom, image.shape[0] - height)
    draw_text(image, face.text, left, y, background=face.colour)
    if face.bars:
        _draw_bars(image, face, right, top, left)


def draw_text(image: Image, text: str, x: int, y: int, *, background: Rgb = _DARK) -> int:
    """Draw a line of text on a panel whose top left corner is at (x, y), moved into the image; returns its height."""
    size = text_size(image)
    mask, height = _mask(text, size), _line_height(size)
    width = mask.shape[1] + size // 2
    x, y = _inside(image, x, y, width, height)
    _blend(image[y : y + height, x : x + width], background, _PANEL_OPACITY + 0.2)
    _paint(image, mask, x + size // 4, y + (height - mask.shape[0]) // 2)
    return height


def blur(image: Image, box: Box) -> None:
    """Make the region of a box and around it unrecognisable: a few blocks are left of it."""
    x, y, width, height = box
    wide = (x - _MARGIN * width, y - _MARGIN * height, (1 + 2 * _MARGIN) * width, (1 + 2 * _MARGIN) * height)
    left, top, right, bottom = _corners(wide)
    region = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not region.size:
        return
    rows, columns = region.shape[:2]
    blocks = (min(_BLOCKS, columns), max(1, min(rows, round(_BLOCKS * rows / columns))))
    small = cv2.resize(region, blocks, interpolation=cv2.INTER_AREA)
    region[:] = cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR)


def text_size(image: Image) -> int:
    """The size of text in an image, in pixels."""
    return int(np.clip(round(image.shape[0] * _TEXT_FRACTION), *_TEXT_PIXELS))


def _line_height(size: int) -> int:
    return round(size * 1.4)


def _corners(box: Box) -> tuple[int, int, int, int]:
    x, y, width, height = box
    return round(x), round(y), round(x + width), round(y + height)


def _draw_bars(image: Image, face: FaceOverlay, right: int, top: int, left: int) -> None:
    """A bar for each class, to the right of the box or, without room there, to its left."""
    size = max(_TEXT_PIXELS[0], round(text_size(image) * 0.7))
    line, gap = round(size * 1.3), size // 2
    names = max(_mask(name, size).shape[1] for name, _, _ in face.bars)
    length = 4 * size
    width, height = names + length + 3 * gap, line * len(face.bars) + gap
    x = right + gap if right + gap + width <= image.shape[1] else left - gap - width
    x, y = _inside(image, x, top, width, height)
    _blend(image[y : y + height, x : x + width], _DARK, _PANEL_OPACITY)
    for n, (name, fraction, colour) in enumerate(face.bars):
        middle = y + gap // 2 + n * line + line // 2
        mask = _mask(name, size)
        _paint(image, mask, x + gap, middle - mask.shape[0] // 2)
        start, half = x + names + 2 * gap, max(1, size // 3)
        cv2.rectangle(image, (start, middle - half), (start + length, middle + half), _PALE, -1)
        cv2.rectangle(image, (start, middle - half), (start + round(length * fraction), middle + half), colour, -1)


def _inside(image: Image, x: int, y: int, width: int, height: int) -> tuple[int, int]:
    """The top left corner of a rectangle that is moved into the image as far as it fits."""
    return max(0, min(x, image.shape[1] - width)), max(0, min(y, image.shape[0] - height))


def _blend(region: Image, colour: Rgb, opacity: float) -> None:
    if region.size:
        cv2.addWeighted(np.full_like(region, colour), opacity, region, 1 - opacity, 0, dst=region)


def _paint(image: Image, mask: NDArray[np.float32], x: int, y: int) -> None:
    """Paint white through a mask whose top left corner is at (x, y); what is beyond the image is cut off."""
    x, y = max(x, 0), max(y, 0)
    region = image[y : y + mask.shape[0], x : x + mask.shape[1]]
    opacity = mask[: region.shape[0], : region.shape[1], None]
    region[:] = (region * (1 - opacity) + np.float32(255) * opacity).astype(np.uint8)


@lru_cache(2048)
def _mask(text: str, size: int) -> NDArray[np.float32]:
    """The opacity of a line of text, float32 [height, width]; characters that no font has are escaped."""
    from matplotlib.font_manager import FontProperties, fontManager, get_font

    shown = plain(text, most=_LONGEST_TEXT)
    font = get_font([fontManager.findfont(FontProperties(family=name)) for name in shown["family"]])
    font.set_size(size, 72)
    font.set_text(shown["s"], 0.0)
    font.draw_glyphs_to_bitmap(antialiased=True)
    glyphs = np.asarray(font.get_image(), np.float32) / 255
    # Lines of one size have one height and baseline, whatever their letters are.
    baseline, height = round(size * _ASCENT), round(size * (_ASCENT + _DESCENT))
    top = max(0, baseline - (len(glyphs) - round(font.get_descent() / 64)))
    line = np.zeros((max(height, top + len(glyphs)), glyphs.shape[1]), np.float32)
    line[top : top + len(glyphs)] = glyphs
    return line
