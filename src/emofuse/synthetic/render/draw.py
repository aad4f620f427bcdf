"""Drawing primitives: curves, soft brushes, and the maps from frame pixels to layer pixels.

Curves are float [points, 2] in face coordinates. A canvas, uint8 RGB, covers LEFT to RIGHT and TOP to BOTTOM; its unit
is the number of pixels per half face width, which painting functions derive from its width. Blurs are given for UNIT.
The frame is the final image, its size (width, height) in pixels.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from emofuse.synthetic.render.face import Identity, Pose

Image = NDArray[Any]  # uint8
Floats = NDArray[Any]

UNIT = 140  # default number of canvas pixels per half face width
LEFT, TOP, RIGHT, BOTTOM = -1.5, -1.8, 1.5, 2.0  # of the canvas, in face coordinates
AVERTED = 40.0  # degrees of yaw from which the back of the head is visible
_RADIUS, _PIVOT = 1.5, 1.5  # of the rotating cylinder, and the height about which the head rolls
SCALE = 0.185  # half the width of a face at scale 1, relative to the height of the frame


def draw_single_threaded() -> None:
    """Limit OpenCV to one thread in this process, if several processes share the cores."""
    cv2.setNumThreads(1)


@cache
def canvas_size(unit: int) -> tuple[int, int]:
    """Width and height of a canvas, in pixels.

    >>> canvas_size(UNIT)
    (420, 532)
    """
    return round((RIGHT - LEFT) * unit), round((BOTTOM - TOP) * unit)


def jaw_drop(jaw: float) -> float:
    return 0.24 * max(jaw, 0.0)


def outline(who: Identity, jaw: float) -> Floats:
    w, j = who.face_width, who.face_width * who.jaw_width
    right = np.array([[0, -1.3], [0.55 * w, -1.2], [0.92 * w, -0.75], [w, -0.2], [0.965 * w, 0.3], [0.86 * j, 0.82],
                      [0.6 * j, 1.25], [0.28 * j, 1.47], [0, 1.52]])  # fmt: skip
    right[:, 1] *= np.where(right[:, 1] > 0, who.face_height, 1)
    right[5:, 1] += jaw_drop(jaw) * np.array([0.35, 0.75, 1, 1])
    return mirror(smooth(right, 40))


def mirror(right: Floats) -> Floats:
    return np.concatenate([right, right[::-1] * (-1, 1)])


@cache
def spread(start: float, end: float, count: int) -> Floats:
    """`np.linspace`, cached and read-only."""
    row = np.linspace(start, end, count)
    row.flags.writeable = False
    return row


@cache
def _circle() -> tuple[Floats, Floats]:
    a = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return np.cos(a), np.sin(a)


@cache
def _spline(knots: int, count: int) -> Floats:
    return np.asarray(CubicSpline(np.arange(knots), np.eye(knots))(np.linspace(0, knots - 1, count)))


def smooth(knots: Floats, count: int) -> Floats:
    """A spline of `count` points through the knots."""
    return _spline(len(knots), count) @ knots


def disc(centre: Floats, radius: float, axes: tuple[float, float] = (1, 1), tilt: float = 0.0) -> Floats:
    across, down = _circle()
    p = radius * points(axes[0] * across, axes[1] * down)
    turn = np.array([[math.cos(tilt), math.sin(tilt)], [-math.sin(tilt), math.cos(tilt)]])
    return np.asarray(centre + p @ turn)


def points(x: Floats, y: Floats) -> Floats:
    return np.array((x, y)).T


def both(right: Floats) -> list[Floats]:
    """A shape and its mirror image."""
    return [right, right * (-1, 1)]


def ribbon(spine: Floats, width: Floats) -> Floats:
    """The outline of a line of varying width."""
    along = np.empty_like(spine)
    along[1:-1] = (spine[2:] - spine[:-2]) / 2
    along[0], along[-1] = spine[1] - spine[0], spine[-1] - spine[-2]
    normal = points(-along[:, 1], along[:, 0]) / (np.hypot(along[:, 0], along[:, 1]) + 1e-9)[:, None]
    side = normal * np.asarray(width)[:, None] / 2
    return np.concatenate([spine + side, (spine - side)[::-1]])


def grid(unit: int) -> tuple[Floats, Floats]:
    """Face coordinates of the pixels of a canvas at half size."""
    width, height = canvas_size(unit)
    x, y = np.meshgrid(np.linspace(LEFT, RIGHT, width // 2), np.linspace(TOP, BOTTOM, height // 2))
    return x, y


def hill(x: Floats, y: Floats, x0: float, y0: float, wide: float, high: float) -> Floats:
    """A Gaussian hill on both sides of the face; a single one on the midline."""
    return np.exp(-(((np.abs(x) - x0) / wide) ** 2) - ((y - y0) / high) ** 2)


def crease(knots: list[tuple[float, float]], blur: float, *, unit: int, mirror: bool = True) -> Floats:
    """A soft line at half size with a maximum of 1 and thin ends."""
    width, height = canvas_size(unit)
    mask = np.zeros((height, width), np.uint8)
    spine = smooth(np.array(knots), 24)
    shape = ribbon(spine, 0.035 * np.sin(np.linspace(0.15, np.pi - 0.15, 24)))
    for sign in (1, -1) if mirror else (1,):
        cv2.fillPoly(mask, [fixed(shape * (sign, 1), unit)], 255, cv2.LINE_AA, 4)
    soft = cv2.resize(mask, (width // 2, height // 2), interpolation=cv2.INTER_AREA).astype(np.float64)
    blurred = cv2.GaussianBlur(soft, (0, 0), blur * unit / UNIT)
    return np.asarray(blurred / blurred.max())


def fixed(curve: Floats, unit: int, origin: tuple[int, int] = (0, 0)) -> NDArray[np.int32]:
    """Face coordinates to canvas pixels in sixteenths."""
    scaled = curve * unit
    scaled -= (LEFT * unit + origin[0], TOP * unit + origin[1])
    scaled *= 16
    return np.asarray(np.rint(scaled, out=scaled).astype(np.int32))


def soft_mask(polygons: list[Floats], *, blur: float, unit: int) -> Image:
    width, height = canvas_size(unit)
    mask = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [fixed(polygon, unit)], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), blur * unit / UNIT), np.uint8)


def paint(
    canvas: Image,
    polygons: list[Floats],
    colour: Any,
    *,
    blur: float = 0.8,
    opacity: float = 1.0,
    within: list[Floats] | None = None,
) -> None:
    """Fill polygons with soft edges, optionally only within others."""
    unit = _unit(canvas)
    blur = blur * unit / UNIT
    box = _box(np.concatenate(polygons), 3 * blur + 2, unit)
    mask = _filled(polygons, box, unit)
    _tint(canvas, box, cv2.GaussianBlur(mask, (0, 0), blur), colour, opacity, within)


def paint_lines(
    canvas: Image, lines: list[Floats], colour: Any, *, opacity: float, within: list[Floats] | None = None
) -> None:
    unit = _unit(canvas)
    box = _box(np.concatenate(lines), 3, unit)
    mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
    cv2.polylines(mask, list(fixed(np.stack(lines), unit, box[:2])), False, 255, 1, cv2.LINE_AA, 4)
    _tint(canvas, box, mask, colour, opacity, within)


def _tint(
    canvas: Image, box: tuple[int, ...], mask: Image, colour: Any, opacity: float, within: list[Floats] | None
) -> None:
    if within is not None:
        mask = cv2.min(mask, _filled(within, box, _unit(canvas)))
    part = canvas[box[1] : box[3], box[0] : box[2]]
    fill = np.empty_like(part)
    fill[:] = np.minimum(colour, 255)
    part[:] = blend(fill, np.ascontiguousarray(part), mask, opacity)


def _filled(polygons: list[Floats], box: tuple[int, ...], unit: int) -> Image:
    mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
    pixels, start = fixed(np.concatenate(polygons), unit, (box[0], box[1])), 0
    for polygon in polygons:
        cv2.fillPoly(mask, [pixels[start : start + len(polygon)]], 255, cv2.LINE_AA, 4)
        start += len(polygon)
    return mask


def _unit(canvas: Image) -> int:
    return round(int(canvas.shape[1]) / (RIGHT - LEFT))


def _box(curve: Floats, margin: float, unit: int) -> tuple[int, int, int, int]:
    """Canvas pixels around a curve: left, top, right, bottom."""
    width, height = canvas_size(unit)
    (x0, y0), (x1, y1) = curve.min(axis=0).tolist(), curve.max(axis=0).tolist()
    left = min(max(int((x0 - LEFT) * unit - margin), 0), width - 2)
    top = min(max(int((y0 - TOP) * unit - margin), 0), height - 2)
    right = min(max(int((x1 - LEFT) * unit + margin) + 1, left + 1), width)
    bottom = min(max(int((y1 - TOP) * unit + margin) + 1, top + 1), height)
    return left, top, right, bottom


def blend(over: Image, under: Image, alpha: Image, opacity: float = 1.0) -> Image:
    weight = alpha * np.float32(opacity / 255)
    return np.asarray(cv2.blendLinear(over, under, weight, 1 - weight), np.uint8)


def lay(frame: Image, layer: Image, box: tuple[int, ...], map_x: Floats, map_y: Floats) -> None:
    """Draw an RGBA layer into a box of the frame; the maps give the layer pixel for each frame pixel."""
    left, top, right, bottom = box
    if right <= left or bottom <= top:
        return
    shown = cv2.remap(layer, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    part = frame[top:bottom, left:right]
    colour = cv2.cvtColor(shown, cv2.COLOR_RGBA2RGB)
    part[:] = blend(colour, np.ascontiguousarray(part), shown[..., 3])


def _cut(low: Floats, high: Floats, size: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top = (int(v) for v in np.clip(np.floor(low), 0, size))
    right, bottom = (int(v) for v in np.clip(np.ceil(high), 0, size))
    return left, top, right, bottom


def shoulder_maps(
    shape: tuple[int, ...], x: float, y: float, scale: float, size: tuple[int, int]
) -> tuple[tuple[int, ...], Floats, Floats]:
    unit = size[1] * SCALE
    origin = np.array([x - 3 * unit * scale, y + 0.6 * unit * scale])
    box = _cut(origin, origin + np.array([shape[1], shape[0]]) * scale, size)
    across = ((np.arange(box[0], box[2]) - origin[0]) / scale).astype(np.float32)
    down = ((np.arange(box[1], box[3]) - origin[1]) / scale).astype(np.float32)
    map_x, map_y = np.meshgrid(across, down)
    return box, map_x, map_y


def head_maps(
    x: float, y: float, unit: float, pose: Pose, size: tuple[int, int], *, canvas_unit: int = UNIT
) -> tuple[tuple[int, ...], Floats, Floats]:
    """Roll about the chin, and yaw as the rotation of a cylinder: x -> R sin(asin(x / R) - yaw)."""
    roll, yaw, radius, pivot = np.radians(pose.roll), np.radians(pose.yaw), _RADIUS, _PIVOT
    averted = abs(pose.yaw) > AVERTED
    grain = 1 if averted else 8
    reach = np.array([1.35, 1.85]) * unit * (1 + abs(np.sin(roll)))
    box = _cut(np.array([x, y + 0.05 * unit]) - reach, np.array([x, y + 0.1 * unit]) + reach, size)
    width, height = box[2] - box[0], box[3] - box[1]
    # The maps are smooth, so every eighth pixel is computed and the rest interpolated.
    columns, rows = width // grain + 2, height // grain + 2
    across, down = np.meshgrid(
        (box[0] + (np.arange(columns) + 0.5) * grain - 0.5 - x) / unit,
        (box[1] + (np.arange(rows) + 0.5) * grain - 0.5 - y) / unit - pivot,
    )
    u = np.cos(roll) * across + np.sin(roll) * down
    v = np.cos(roll) * down - np.sin(roll) * across + pivot
    u = u + 0.7 * radius * np.sin(yaw)
    side = u
    u = u * np.cos(yaw) - np.sqrt(np.clip(radius**2 - u * u, 0, None)) * np.sin(yaw)
    if averted:
        # Outside the cylinder and on its far half nothing is visible; in other poses the canvas is empty there.
        u[(np.abs(side) > radius) | (np.abs(np.arcsin(np.clip(side / radius, -1, 1)) - yaw) > np.pi / 2)] = 2 * RIGHT
    maps = np.dstack([(u - LEFT) * canvas_unit - 0.5, (v - TOP) * canvas_unit - 0.5]).astype(np.float32)
    full = cv2.resize(maps, (columns * grain, rows * grain), interpolation=cv2.INTER_LINEAR)[:height, :width]
    return box, np.ascontiguousarray(full[..., 0]), np.ascontiguousarray(full[..., 1])


def project(marks: Floats, x: float, y: float, unit: float, pose: Pose) -> Floats:
    """The position in the frame of points [n, 2] of the face: the inverse of `head_maps`.

    Pixel (0, 0) spans from 0 to 1. Hidden points are kept at the edge of the cylinder.
    """
    roll, yaw = np.radians(pose.roll), np.radians(pose.yaw)
    turned = np.clip(np.arcsin(np.clip(marks[:, 0] / _RADIUS, -1, 1)) + yaw, -np.pi / 2, np.pi / 2)
    u = _RADIUS * (np.sin(turned) - 0.7 * np.sin(yaw))
    v = marks[:, 1] - _PIVOT
    across, down = np.cos(roll) * u - np.sin(roll) * v, np.sin(roll) * u + np.cos(roll) * v + _PIVOT
    return points(x + 0.5 + across * unit, y + 0.5 + down * unit)
