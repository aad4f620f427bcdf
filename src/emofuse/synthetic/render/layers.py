"""Skin with its folds, hair, wall and body: the layers that are drawn once per subject.

Skin and folds are maps at half the size of the canvas; wall and body are in frame pixels.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from emofuse.synthetic.render.draw import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    UNIT,
    Floats,
    Image,
    both,
    canvas_size,
    crease,
    disc,
    fixed,
    grid,
    hill,
    mirror,
    paint,
    smooth,
    soft_mask,
)
from emofuse.synthetic.render.face import Colour, Identity, Light

_EARS_COVERED = 0.4  # longer hair covers them


def lit_skin(who: Identity, light: Light, unit: int) -> tuple[Floats, dict[str, Floats]]:
    """Lit skin float32 [h, w, 3] at half size, and the relative change by each fold."""
    x, y = grid(unit)
    lamp = np.array([light.x, light.y, light.z]) / np.linalg.norm([light.x, light.y, light.z])

    def lit(height: Floats) -> Floats:
        dy, dx = np.gradient(height, 2 / unit)
        length = np.sqrt(dx**2 + dy**2 + 1)
        facing = np.clip((-dx * lamp[0] - dy * lamp[1] + lamp[2]) / length, 0, None)
        return np.asarray(light.room + light.lamp * facing + 0.10 * light.lamp * facing**24)

    relief = _relief(who, x, y)
    base = lit(relief)
    red = 0.5 * hill(x, y, 0.55, 0.5, 0.22, 0.2) + 0.5 * hill(x, y, 0, 0.55, 0.12, 0.12)
    dim = 0.20 * hill(x, y, who.eye_spacing, 0.02, 0.23, 0.13) + 0.08 * hill(
        x, y, who.eye_spacing * 0.9, 0.17, 0.16, 0.05
    )
    tone = np.array(who.skin) * np.stack(
        [1 - 0.7 * dim, 1 - 0.09 * red - 0.95 * dim, 1 - 0.09 * red - 0.95 * dim], axis=-1
    )
    tone = tone * (1 - 0.10 * np.exp(-(((y - 1.45) / 0.25) ** 2)))[..., None]
    folds = {}
    for name, (bulge, shadow) in _fold_reliefs(who, x, y, unit).items():
        change = lit(relief + bulge) / base * (1 - shadow)
        change = cv2.GaussianBlur(change, (0, 0), 1.2 * unit / UNIT) - 1
        # A crease absorbs less red: it darkens blue and green more.
        folds[name] = (change[..., None] * np.array([0.85, 1.05, 1.1])).astype(np.float32)
    return (tone * base[..., None]).astype(np.float32), folds


def _relief(who: Identity, x: Floats, y: Floats) -> Floats:
    nose, eye = who.nose_width, who.eye_spacing
    head = 0.8 * np.sqrt(np.clip(1.02 - (x / (1.16 * who.face_width)) ** 2 - ((y - 0.12) / 1.9) ** 2, 0.02, None))
    along = np.clip((y + 0.15) / 0.7, 0, 1)
    bridge = (0.05 + 0.13 * along) * np.exp(-((x / (nose * (0.09 + 0.045 * along))) ** 2))
    bridge = bridge / (1 + np.exp((y - 0.62) / 0.028)) / (1 + np.exp(-(y + 0.2) / 0.06))
    parts = (
        0.06 * hill(x, y, 0, 0.55, 0.11 * nose, 0.1),
        0.055 * hill(x, y, 0.15 * nose, 0.585, 0.06 * nose, 0.06),
        0.045 * hill(x, y, 0.42, -0.22, 0.26, 0.08),
        -0.075 * hill(x, y, eye, 0.0, 0.22, 0.11),
        0.03 * hill(x, y, eye, 0.01, 0.17, 0.08),
        -0.04 * hill(x, y, 0.2, -0.04, 0.06, 0.12),
        0.06 * hill(x, y, 0.6, 0.4, 0.2, 0.17),
        0.05 * hill(x, y, 0, 0.98, 0.32, 0.2),
        -0.012 * hill(x, y, 0, 0.78, 0.035, 0.08),
        -0.03 * hill(x, y, 0, 1.18, 0.2, 0.05),
        0.06 * hill(x, y, 0, 1.34, 0.18, 0.11),
    )
    return np.asarray(head + bridge + sum(parts))


FOLDS = {
    "cheek": lambda e: 0.95 * e.cheek + 0.1 * e.lid_lower,
    "smile_line": lambda e: 0.95 * e.cheek + 0.75 * e.lip_upper * (1 - e.cheek) + 0.25 * max(-e.mouth_corner, 0),
    "lower_lid": lambda e: e.lid_lower,
    "frown": lambda e: e.brow_furrow,
    "forehead": lambda e: min(1.0, 0.5 * (max(e.brow_inner, 0) + max(e.brow_outer, 0))),
    "worry": lambda e: max(e.brow_inner - max(e.brow_outer, 0), 0),
    "nose": lambda e: e.nose_wrinkle,
    "chin": lambda e: e.chin,
    "corner": lambda e: max(-e.mouth_corner, 0),
}


def _fold_reliefs(who: Identity, x: Floats, y: Floats, unit: int) -> dict[str, tuple[Floats, Floats]]:
    """The height that each fold adds, and the light that its crease absorbs."""
    eye, nothing, line = who.eye_spacing, np.zeros_like(x), partial(crease, unit=unit)
    smile = line([(0.2, 0.56), (0.36, 0.68), (0.5, 0.9), (0.53, 1.06)], 2.2)
    frown = line([(0.075, -0.36), (0.06, -0.24), (0.085, -0.13)], 1.6)
    brow_lines = [line([(-0.6, v + 0.03), (-0.3, v), (0, v + 0.025), (0.3, v), (0.6, v + 0.03)], 1.5, mirror=False)
                  for v in (-0.62, -0.74, -0.86)]  # fmt: skip
    worry = [line([(-0.28, v + 0.05), (0, v), (0.28, v + 0.05)], 1.6, mirror=False) for v in (-0.6, -0.72)]
    bags = line([(eye - 0.17, 0.1), (eye, 0.145), (eye + 0.19, 0.1)], 1.6)
    feet = line([(eye + 0.25, 0.0), (eye + 0.36, -0.04)], 1.2) + line([(eye + 0.25, 0.05), (eye + 0.36, 0.07)], 1.2)
    nose = line([(0.03, 0.02), (0.11, 0.08)], 1.4) + line([(0.02, 0.1), (0.13, 0.2)], 1.4)
    corner = line([(0.4, 1.06), (0.47, 1.16), (0.47, 1.28)], 2.4)
    return {
        "cheek": (0.075 * hill(x, y, 0.53, 0.5, 0.16, 0.13), 0.14 * feet),
        "smile_line": (-0.012 * smile, 0.32 * smile),
        "lower_lid": (0.018 * hill(x, y, eye, 0.09, 0.16, 0.03), 0.24 * bags),
        "frown": (0.03 * hill(x, y, 0.15, -0.2, 0.06, 0.09), 0.36 * frown + 0.12 * hill(x, y, 0.2, -0.08, 0.1, 0.08)),
        "forehead": (nothing, 0.26 * np.clip(sum(brow_lines), 0, 1)),
        "worry": (0.01 * hill(x, y, 0, -0.5, 0.2, 0.06), 0.28 * np.clip(sum(worry), 0, 1)),
        "nose": (nothing, 0.2 * np.clip(nose, 0, 1)),
        "chin": (
            0.035 * hill(x, y, 0, 1.3, 0.13, 0.08),
            0.22 * line([(-0.2, 1.22), (0, 1.185), (0.2, 1.22)], 2.4, mirror=False),
        ),
        "corner": (nothing, 0.3 * corner),
    }


def back(who: Identity, rng: np.random.Generator, unit: int) -> tuple[Image, Image]:
    """The ears and the hair behind the face."""
    skin, hair = np.array(who.skin), np.array(who.hair)
    width, height = canvas_size(unit)
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = hair * 0.7
    long = -0.2 + 1.6 * who.hair_length
    if who.hair_length > _EARS_COVERED:
        knots = [[0, -1.72], [0.75, -1.5], [1.14, -0.8], [1.14, -0.2], [1.1, max(long, 0.0)], [0.95, long + 0.1]]
    else:
        knots = [[0, -1.68], [0.7, -1.46], [1.06, -0.85], [1.07, -0.3], [0.98, -0.05]]
    shapes = [mirror(smooth(np.array(knots), 40))]
    _strands(canvas, hair * 0.7, rng, count=260, unit=unit)
    if who.hair_length <= _EARS_COVERED:
        edge = 1.01 * who.face_width
        ears = both(disc(np.array([edge, 0.12]), 1.0, (0.105, 0.235), tilt=0.14))
        paint(canvas, both(disc(np.array([edge, 0.12]), 1.0, (0.16, 0.3))), skin * 0.8)
        paint(canvas, ears, skin * (0.88, 0.8, 0.78), blur=1.5)
        inner = disc(np.array([edge + 0.035, 0.1]), 1.0, (0.045, 0.15), tilt=0.14)
        paint(canvas, both(inner), skin * (0.6, 0.46, 0.42), blur=4, opacity=0.7)
        shapes += ears
    return canvas, soft_mask(shapes, blur=1.2, unit=unit)


def front_hair(who: Identity, rng: np.random.Generator, unit: int) -> tuple[Image, Image]:
    hair = np.array(who.hair)
    width, height = canvas_size(unit)
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = hair
    _strands(canvas, hair, rng, count=700, unit=unit)
    outer = smooth(np.array([[-1.0, -0.1], [-1.07, -0.55], [-0.95, -1.15], [-0.5, -1.6], [0, -1.71], [0.5, -1.62],
                             [0.96, -1.15], [1.07, -0.55], [1.0, -0.1]]), 80)  # fmt: skip
    h = who.hairline
    line = smooth(np.array([[0.985, -0.08], [0.93, -0.36], [0.83, -0.62 - h], [0.62, -0.92 - h], [0.1, -1.03 - h],
                            [-0.3, -1.06 - h], [-0.56, -0.93 - h], [-0.8, -0.66 - h], [-0.92, -0.36],
                            [-0.985, -0.08]]), 60)  # fmt: skip
    mask = soft_mask([np.concatenate([outer, line])], blur=2.2, unit=unit)
    if who.hair_length > _EARS_COVERED:
        long = -0.2 + 1.6 * who.hair_length
        lock = np.array([[0.9, -0.6], [0.97, -0.1], [0.93, 0.5], [0.9, long], [1.1, long], [1.14, 0.2], [1.08, -0.6]])
        mask = cv2.max(mask, soft_mask([smooth(lock, 50), smooth(lock, 50) * (-1, 1)], blur=2.0, unit=unit))
    # Break the edge into single hairs.
    fine = unit / UNIT
    noise = cv2.GaussianBlur(rng.normal(0, 1, mask.shape).astype(np.float32), (0, 0), sigmaX=fine, sigmaY=4 * fine)
    edge = mask.astype(np.float32) + 420 * fine * noise * ((mask > 8) & (mask < 247))
    return canvas, cv2.GaussianBlur(np.clip(edge, 0, 255).astype(np.uint8), (3, 3), 0)


def nape(hair: Image, unit: int) -> Image:
    """The head from behind, RGBA: only hair."""
    return np.dstack([hair, soft_mask([disc(np.array([0, -0.15]), 1.0, (1.02, 1.5))], blur=2.0, unit=unit)])


def _strands(canvas: Image, hair: Floats, rng: np.random.Generator, *, count: int, unit: int) -> None:
    """Hairs in arches from a parting to both sides, with a highlight across the crown."""
    parting, t = -0.35, np.linspace(0, 1, 20)[:, None]
    for _ in range(count):
        side, far, low = rng.choice((-1.0, 1.0), p=(0.35, 0.65)), rng.uniform(0, 1.5), rng.uniform(-1.75, -1.0)
        root = np.array([parting + 0.02 * side, low])
        bend = np.array([parting + side * far, low + 0.1 * far - 0.1])
        end = np.array([parting + side * (far * 1.05 + 0.1), low + 0.9 + 0.5 * far])
        tone = np.clip(hair * rng.uniform(0.82, 1.25), 0, 255)
        curve = (1 - t) ** 2 * root + 2 * t * (1 - t) * bend + t**2 * end
        thickness = max(1, round(int(rng.integers(1, 4)) * unit / UNIT))
        cv2.polylines(canvas, [fixed(curve, unit)], False, tone.tolist(), thickness, cv2.LINE_AA, 4)
    height, width = canvas.shape[:2]
    x, y = np.meshgrid(np.linspace(LEFT, RIGHT, width), np.linspace(TOP, BOTTOM, height))
    gleam = 1 + 0.3 * np.exp(-(((y + 1.32 - 0.35 * x**2) / 0.16) ** 2)) - 0.5 * np.clip(np.abs(x) - 0.7, 0, 0.6)
    canvas[:] = np.clip(cv2.GaussianBlur(canvas, (3, 3), 0) * gleam[..., None], 0, 255)


def wall(size: tuple[int, int], rng: np.random.Generator, colour: Colour) -> Image:
    width, height = size
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    light = 1.05 - 0.25 * (x + 0.3) ** 2 - 0.18 * (y + 0.2) ** 2
    shaded = light[..., None] * np.array(colour) + rng.normal(0, 1.5, (height, width, 1))
    return np.asarray(np.clip(shaded, 0, 255).astype(np.uint8))


def body(who: Identity, unit: float, rng: np.random.Generator) -> Image:
    """Neck and shoulders, in frame pixels at scale 1; x from -3 to 3, y from 0.6 to 4.2."""
    width, height = round(6 * unit), round(3.6 * unit)
    x, y = np.meshgrid(np.linspace(-3, 3, width), np.linspace(0.6, 4.2, height))
    folds = cv2.GaussianBlur(
        rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 0.12 * unit, sigmaY=0.4 * unit
    )
    shade = 0.98 - 0.055 * x**2 - 0.1 * x + 0.05 * folds / folds.std()
    shirt = np.array(who.shirt) * shade[..., None]
    neck = (
        np.array(who.skin)
        * (0.80 - 0.36 * np.exp(-np.clip(y - 1.35, 0, None) / 0.28) - 0.3 * x**2 - 0.08 * x)[..., None]
    )
    shoulders = [[0, 1.75], [0.5, 1.8], [0.95, 2.08], [1.75, 2.38], [2.25, 2.75], [2.5, 3.5], [2.6, 4.4]]
    throat = [[0, 0.7], [0.58, 0.7], [0.58, 1.5], [0.62, 1.8], [0.8, 2.04], [0.5, 2.35], [0, 2.5]]
    collar = [[0, 2.5], [0.5, 2.35], [0.84, 2.0], [0.92, 2.05], [0.56, 2.45], [0, 2.62]]
    mask = [np.zeros((height, width), np.uint8) for _ in range(3)]
    for m, knots in zip(mask, (shoulders, throat, collar), strict=True):
        pixels = (mirror(smooth(np.array(knots), 40)) - (-3, 0.6)) * unit
        cv2.fillPoly(m, [np.rint(pixels * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    image = shirt + (neck - shirt) * (mask[1] / 255.0)[..., None]
    image = image + (0.72 * shirt - image) * (cv2.GaussianBlur(mask[2], (0, 0), 1.2) / 255.0)[..., None]
    alpha = cv2.GaussianBlur(cv2.max(mask[0], mask[1]), (0, 0), 0.8)
    return np.dstack([np.clip(image, 0, 255).astype(np.uint8), alpha])
