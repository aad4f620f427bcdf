"""How a decoded frame becomes an upright RGB image with square pixels, as players show it.

What a frame needs depends on its properties alone: its format, size, rotation, colour tags and whether it is
interlaced. These are compared with those of the frame before (`Looks`); only when they change is it decided anew what
to do (`Look`). A frame that needs nothing special is converted by libav as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from emofuse.media.container import warn
from emofuse.media.hdr import HDR_TRANSFERS, Transfer, tone_mapped
from emofuse.media.images import Image, luma_of, reduced
from emofuse.media.planes import Area, Planes

Matrix = tuple[int, int, int, int]  # (a, b, c, d) of a display matrix: the point (x, y) is shown at (ax + cy, bx + dy)
UPRIGHT: Matrix = (1, 0, 0, 1)
_TURNED: dict[int, Matrix] = {0: UPRIGHT, 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
_ASPECT_LIMIT = 6  # pixels wider or higher than this are an error of the file
_COMB_LEVEL = 10  # grey levels by which a line must differ from both its neighbours to belong to another moment
_SD_LINES, _SD_WIDTH = 576, 1024  # up to this size BT.601 is usual, above it BT.709
_BT709, _BT601, _BT2020 = 1, 5, 9  # colour matrices, as numbered by libswscale
# Colour matrices that libswscale converts, as numbered by ITU-T H.273: identity, BT.709, unknown, FCC, BT.601 (two),
# SMPTE 240M and BT.2020 with non-constant luminance.
_CONVERTIBLE = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
_MATRIX_NAMES = {8: "YCgCo", 10: "BT.2020 constant luminance", 11: "SMPTE 2085", 14: "ICtCp", 15: "IPT-C2"}
_FALLBACK_NAMES = {_BT709: "BT.709", _BT601: "BT.601", _BT2020: "BT.2020"}


@dataclass(frozen=True)
class Look:
    """What turns a frame into an upright RGB image with square pixels.

    display_matrix: rotation in quarter turns, and reflection: that of the frame, and a turn on top of it.
    size: width and height of the upright image.
    stretched: width and height in square pixels before rotation; None if pixels are square.
    colour_matrix: used instead of the tagged one, which cannot be converted; None for the tagged one.
    transfer: of HDR, which is tone-mapped; None for SDR.
    planes: how parts of the frame are converted alone; None if it is converted as a whole.
    """

    size: tuple[int, int]
    display_matrix: Matrix = UPRIGHT
    stretched: tuple[int, int] | None = None
    colour_matrix: int | None = None
    transfer: Transfer | None = None
    has_alpha: bool = False
    interlaced: bool = False
    planes: Planes | None = None

    def image(self, frame: av.VideoFrame) -> Image:
        """The upright image of a frame, uint8 [height, width, 3], contiguous."""
        return np.ascontiguousarray(self._oriented(self._rgb(frame)), dtype=np.uint8)

    def luma(self, frame: av.VideoFrame) -> Image:
        """The luma of the upright image, uint8 [height, width], contiguous."""
        if self.planes is None:
            return luma_of(self.image(frame))
        return np.ascontiguousarray(self._oriented(self.planes.luma(frame)))

    def region(self, frame: av.VideoFrame, x: int, y: int, width: int, height: int) -> Image:
        """A rectangle of the upright image, uint8 [height, width, 3]."""
        if self.planes is None or self.stretched is not None:
            return self.image(frame)[y : y + height, x : x + width]
        x, y, width, height = self._stored(x, y, width, height)
        part, left, top = self.planes.cut(frame, x, y, width, height)
        return np.ascontiguousarray(self._oriented(self._rgb(part)[top : top + height, left : left + width]))

    def luma_region(self, frame: av.VideoFrame, area: Area, size: tuple[int, int]) -> Image:
        """A rectangle of the luma of the upright image, reduced to a width and height, uint8 [height, width]."""
        x, y, width, height = area
        if self.planes is None or self.stretched is not None:
            return np.asarray(reduced(self.luma(frame)[y : y + height, x : x + width], size), np.uint8)
        stored = size[::-1] if self.display_matrix[1] else size
        return self._oriented(self.planes.luma_region(frame, self._stored(x, y, width, height), stored))

    def _stored(self, x: int, y: int, width: int, height: int) -> Area:
        """Where a rectangle of the upright image is in the frame as it is stored; pixels are square."""
        a, b, c, d = self.display_matrix
        if a + c < 0:
            x = self.size[0] - x - width
        if b + d < 0:
            y = self.size[1] - y - height
        return (y, x, height, width) if b else (x, y, width, height)

    def _rgb(self, frame: av.VideoFrame) -> Image:
        """The image of a frame as it is stored, in its own pixels."""
        options: dict[str, Any] = {"threads": 1}  # a thread pool for each frame costs more than it saves
        if self.colour_matrix is not None:
            options |= {"src_colorspace": self.colour_matrix, "dst_colorspace": self.colour_matrix}
        if self.transfer is not None:
            image = tone_mapped(np.asarray(frame.to_ndarray(format="rgb48le", **options), np.uint16), self.transfer)
        elif self.has_alpha:
            image = _on_black(np.asarray(frame.to_ndarray(format="rgba", **options), np.uint8))
        else:
            image = np.asarray(frame.to_ndarray(format="rgb24", **options), np.uint8)
        if self.interlaced:
            image = deinterlaced(image)
        return image

    def _oriented(self, image: Image) -> Image:
        """An image, or luma, in square pixels and upright."""
        if self.stretched is not None:
            image = np.asarray(cv2.resize(image, self.stretched, interpolation=cv2.INTER_LINEAR), np.uint8)
        return np.asarray(oriented(image, self.display_matrix), np.uint8)

    @property
    def rotation(self) -> int:
        """Clockwise rotation in degrees that makes the frame upright."""
        return {(0, 1): 0, (-1, 0): 90, (0, -1): 180, (1, 0): 270}[self.display_matrix[2:]]


class Looks:
    """The look of each frame of one pass over a video stream; every decoded frame is given to `follow`.

    Pixels have the aspect ratio that the container states, or else the one in the video stream, which may change. The
    orientation is that of the container, or of the latest key frame, turned clockwise by `turn` degrees.
    """

    def __init__(self, stream: VideoStream, *, turn: int = 0) -> None:
        self._context = stream.codec_context
        self._turn = turn
        self._stated = stream.sample_aspect_ratio
        if self._stated == self._context.sample_aspect_ratio:
            self._stated = None
        self._rotation: int | None = None
        self._matrix = UPRIGHT
        self._key: tuple[Any, ...] | None = None
        self._look = Look((0, 0))
        self._replaced: Counter[tuple[int, int]] = Counter()  # frames by colour matrix, tagged and used
        self._odd_aspects: Counter[Fraction] = Counter()

    def follow(self, frame: av.VideoFrame) -> None:
        """Take the next frame, and its orientation if it states one."""
        rotation = frame.rotation
        if rotation == self._rotation or not (rotation or frame.key_frame or self._rotation is None):
            return
        # Side data is read when the rotation changes only: a frame whose side data was read is freed by the garbage
        # collector alone, and megabytes of frames would wait for it.
        self._rotation, self._matrix = rotation, turned(display_matrix(frame), self._turn)

    def of(self, frame: av.VideoFrame) -> Look:
        """The look of the frame that was taken last."""
        aspect = self._stated or self._context.sample_aspect_ratio or Fraction(1)
        colour = frame.colorspace, frame.color_trc, frame.color_primaries, frame.color_range
        shape = frame.width, frame.height, self._matrix, frame.interlaced_frame
        key = (aspect, *colour, *shape, frame.format.name)
        if key != self._key:
            self._key, self._look = key, self._decided(frame, aspect)
        if self._look.colour_matrix is not None:
            self._replaced[frame.colorspace, self._look.colour_matrix] += 1
        if not _plausible(aspect):
            self._odd_aspects[aspect] += 1
        return self._look

    def warn(self, warnings: list[str]) -> None:
        """Add what could not be done as the file demands."""
        for (tagged, used), n in self._replaced.items():
            name = _MATRIX_NAMES.get(tagged, f"number {tagged}")
            used_name = _FALLBACK_NAMES[used]
            warn(warnings, f"the colour matrix {name} cannot be converted (frames: {n}): {used_name} was used")
        for aspect, n in self._odd_aspects.items():
            shape = f"{aspect.numerator}:{aspect.denominator}"
            warn(warnings, f"pixels of {shape} cannot be true (frames: {n}): square pixels were assumed")

    def _decided(self, frame: av.VideoFrame, aspect: Fraction) -> Look:
        colour_matrix = None
        if frame.colorspace not in _CONVERTIBLE:
            colour_matrix = _BT709 if frame.height > _SD_LINES or frame.width > _SD_WIDTH else _BT601
            colour_matrix = _BT2020 if frame.colorspace == 10 else colour_matrix
        matrix, stretched = self._matrix, _square_size(frame.width, frame.height, aspect)
        width, height = stretched or (frame.width, frame.height)
        transfer = HDR_TRANSFERS.get(frame.color_trc)
        whole = transfer is not None or frame.interlaced_frame
        return Look(
            (height, width) if matrix[1] else (width, height),
            matrix,
            stretched,
            colour_matrix,
            transfer,
            _has_alpha(frame.format),
            frame.interlaced_frame,
            None if whole else Planes.of(frame),
        )


def first_look(stream: VideoStream, frame: av.VideoFrame) -> Look:
    """The look of the first frame of a stream."""
    looks = Looks(stream)
    looks.follow(frame)
    return looks.of(frame)


def display_matrix(frame: av.VideoFrame) -> Matrix:
    """The display matrix of a frame, rounded to quarter turns."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    a, b, _, c, d = np.frombuffer(memoryview(data), np.int32)[:5].astype(np.int64).tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1), 0, 0, (-1 if d < 0 else 1)
    return 0, (-1 if b < 0 else 1), (-1 if c < 0 else 1), 0


def turned(matrix: Matrix, turn: int) -> Matrix:
    """A display matrix followed by a clockwise turn in degrees, a multiple of 90.

    >>> turned((0, 1, -1, 0), 90)
    (-1, 0, 0, -1)
    """
    (a, b, c, d), (turn_a, turn_b, turn_c, turn_d) = matrix, _TURNED[turn % 360]
    return turn_a * a + turn_c * b, turn_b * a + turn_d * b, turn_a * c + turn_c * d, turn_b * c + turn_d * d


def oriented(image: NDArray[Any], matrix: Matrix) -> NDArray[Any]:
    """The image as its display matrix shows it."""
    a, b, c, d = matrix
    if b:
        image = image.swapaxes(0, 1)
    return image[:: -1 if b + d < 0 else 1, :: -1 if a + c < 0 else 1]


def deinterlaced(image: Image) -> Image:
    """The image with the lines of its lower field replaced where they show another moment than their neighbours.

    Where nothing moved, and in frames that are interlaced by name only, all lines stay. The neighbouring frames are not
    needed, so that a frame looks the same whichever others are decoded.
    """
    upper, lower = image[0::2], image[1::2]
    below = np.concatenate([upper[1:], upper[-1:]])[: len(lower)]
    upper = upper[: len(lower)]
    if not len(lower):
        return image
    grey, grey_above, grey_below = (_grey(lines) for lines in (lower, upper, below))
    combed = (grey - grey_above) * (grey - grey_below) > _COMB_LEVEL**2
    if not combed.any():
        return image
    around = cv2.dilate(combed.astype(np.uint8), np.ones((3, 5), np.uint8))
    result = image.copy()
    between = cv2.addWeighted(np.ascontiguousarray(upper), 0.5, below, 0.5, 0)
    result[1::2] = np.where(around[:, :, None].astype(bool), between, lower)
    return result


def _grey(lines: Image) -> NDArray[np.int32]:
    return cv2.cvtColor(np.ascontiguousarray(lines), cv2.COLOR_RGB2GRAY).astype(np.int32)


def _on_black(image: NDArray[np.uint8]) -> Image:
    """An RGBA image on a black background."""
    colours, alpha = np.ascontiguousarray(image[:, :, :3]), image[:, :, 3]
    if alpha.min() == 255:
        return colours
    opacity = cv2.merge([np.ascontiguousarray(alpha)] * 3)
    return np.asarray(cv2.multiply(colours, opacity, scale=1 / 255), np.uint8)


def _has_alpha(pixels: av.VideoFormat) -> bool:
    return pixels.name == "pal8" or any(component.is_alpha for component in pixels.components)


def _plausible(aspect: Fraction) -> bool:
    return Fraction(1, _ASPECT_LIMIT) <= aspect <= _ASPECT_LIMIT


def _square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int] | None:
    """The size in square pixels, enlarged in one direction; None where nothing changes."""
    if aspect == 1 or not _plausible(aspect):
        return None
    size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    return None if size == (width, height) else size
