"""Eyes, brows, nostrils and mouth: the features that an expression moves, painted for each frame.

Each function paints into a canvas; lengths are in face coordinates (see the package).
"""

from __future__ import annotations

import numpy as np

from emofuse.synthetic.render.draw import (
    Floats,
    Image,
    both,
    disc,
    jaw_drop,
    paint,
    paint_lines,
    points,
    ribbon,
    smooth,
    spread,
)
from emofuse.synthetic.render.face import Expression, Identity


def landmarks(who: Identity, e: Expression) -> Floats:
    """Eyes, tip of the nose and corners of the mouth, float64 [5, 2], from left to right in the frame."""
    left, right = _mouth_curves(who, e)[1][[0, -1]]
    return np.array([[-who.eye_spacing, 0.0], [who.eye_spacing, 0.0], [0.0, 0.53], left, right])


def draw_eyes(canvas: Image, who: Identity, e: Expression) -> None:
    half, lift = 0.205 * who.eye_size, max(e.lid_upper, -1.0)
    t = spread(-1, 1, 31)  # -1 is the inner corner
    x = who.eye_spacing + half * t
    tilt = -0.018 * t
    # Sadness lowers the outer lid, a frown the inner one.
    droop = 0.035 * max(-lift, 0) * (1 + t) * min(max(e.brow_inner, 0), 1) + 0.04 * e.brow_furrow * np.clip(-t, 0, 1)
    height = who.eye_size * 0.088 * (1 + (0.75 if lift > 0 else 1.0) * lift)
    bow = np.clip(1 - t**2, 0, 1) ** 0.625
    lower = tilt + who.eye_size * (0.062 - 0.042 * e.lid_lower + 0.012 * max(lift, 0)) * bow
    upper = np.minimum(tilt + (droop - height) * bow, lower)
    eyes = both(np.concatenate([points(x, upper), points(x, lower)[::-1]]))
    skin, iris = np.array(who.skin), np.array(who.iris)
    paint(canvas, eyes, (228, 220, 212), blur=1.0)
    centres = np.array([[s * who.eye_spacing + 0.05 * e.gaze_x, -0.012 + 0.05 * e.gaze_y] for s in (1, -1)])
    size = who.eye_size
    paint(canvas, [disc(c, 0.094 * size) for c in centres], iris * 0.45, within=eyes)
    paint(canvas, [disc(c + np.array([0, 0.008]), 0.078 * size) for c in centres], iris, blur=1.5, within=eyes)
    paint(canvas, [disc(c, 0.04 * size) for c in centres], (16, 12, 12), within=eyes)
    paint(canvas, [disc(c + np.array([-0.03, -0.032]), 0.016) for c in centres], (250, 250, 250), within=eyes)
    shadow = ribbon(points(x, upper + 0.012), 0.05 * bow)
    paint(canvas, both(shadow), skin * 0.25, blur=2.5, opacity=0.6, within=eyes)
    rim = ribbon(points(x, lower), 0.014 * bow + 0.004)
    paint(canvas, both(rim), skin * (0.62, 0.5, 0.46), blur=1.0, opacity=0.75)
    lash = ribbon(points(x + 0.014 * np.clip(t, 0, 1), upper - 0.006), 0.012 + (0.021 + 0.011 * t) * bow)
    paint(canvas, both(lash), (34, 24, 22), blur=0.8, opacity=0.95)
    fold = upper - (0.05 + 0.02 * min(lift, 0) + 0.015 * max(lift, 0)) * bow - 0.012
    paint(canvas, both(ribbon(points(x, fold), 0.016 * bow + 0.003)), skin * (0.6, 0.48, 0.42), blur=1.6, opacity=0.6)


def draw_brows(canvas: Image, who: Identity, e: Expression) -> None:
    inner_y = -0.27 - 0.15 * e.brow_inner + 0.10 * e.brow_furrow
    outer_y = -0.265 - 0.13 * e.brow_outer + 0.02 * e.brow_furrow
    arch_y = -0.315 - 0.05 * e.brow_inner - 0.14 * e.brow_outer + 0.045 * e.brow_furrow
    inner_x = 0.185 - 0.055 * e.brow_furrow - 0.015 * e.brow_inner
    knots = np.array([[inner_x, inner_y], [0.36, (inner_y + 1.25 * arch_y) / 2.25], [0.56, arch_y], [0.75, outer_y]])
    knots[:, 0] *= who.eye_spacing / 0.43
    spine = smooth(knots, 24)
    t = spread(0, 1, len(spine))
    width = who.brow_thickness * 0.088 * np.minimum(1, 0.55 + 2.2 * t) * (1 - t) ** 0.42 + 0.006
    hair = np.array(who.hair) * 0.6
    paint(canvas, both(ribbon(spine, width)), hair, blur=2.6, opacity=0.8)
    # Single hairs, fanned outward, keep it from looking like a bar.
    root = spine + points(0 * t, 0.45 * width)
    tip = root + points(0.03 + 0.045 * t, -width * (0.9 - 0.45 * t))
    hairs = np.stack([root, tip], axis=1)[1:-4]
    paint_lines(canvas, [*hairs, *(hairs * (-1, 1))], hair * 0.55, opacity=0.3)


def draw_nostrils(canvas: Image, who: Identity, e: Expression) -> None:
    y = 0.635 - 0.035 * e.nose_wrinkle
    skin = np.array(who.skin)
    t = spread(0, 1, 12)
    bow = np.sin(np.pi * t)
    flare = who.nose_width * (1 + 0.12 * e.nose_wrinkle + 0.06 * e.cheek)
    hole = disc(np.array([0.098 * flare, y]), 1.0, (0.058, 0.026), tilt=-0.25)
    paint(canvas, both(hole), skin * (0.27, 0.17, 0.15), blur=2.2, opacity=0.85)
    wing = ribbon(points(flare * (0.165 + 0.05 * bow), y - 0.13 + 0.15 * t), 0.03 * bow + 0.003)
    paint(canvas, both(wing), skin * (0.55, 0.42, 0.37), blur=3.0, opacity=0.6)
    base = ribbon(points(who.nose_width * 0.09 * (2 * t - 1), y + 0.022 + 0.02 * bow), 0.03 * bow + 0.004)
    paint(canvas, [base], skin * (0.5, 0.38, 0.34), blur=3.0, opacity=0.5)


def draw_mouth(canvas: Image, who: Identity, e: Expression) -> None:
    top, inner_top, inner_low, bottom = _mouth_curves(who, e)
    lips, skin = np.array(who.lips), np.array(who.skin)
    count = len(top)
    bow = np.sin(spread(0, np.pi, count))
    under = ribbon((bottom + np.array([0, 0.045]))[6:-6], 0.045 * np.sin(spread(0, np.pi, count - 12)))
    paint(canvas, [under], skin * (0.62, 0.5, 0.44), blur=5, opacity=0.5)
    paint(canvas, [np.concatenate([top, inner_low[::-1]])], lips * 0.82, blur=1.5, opacity=0.9)
    paint(canvas, [np.concatenate([inner_top, bottom[::-1]])], lips, blur=1.8, opacity=0.88)
    gap = float(np.max(inner_low[:, 1] - inner_top[:, 1]))
    if gap > 0.012:
        opening = [np.concatenate([inner_top, inner_low[::-1]])]
        paint(canvas, opening, (62, 22, 22), blur=1.0)
        if gap > 0.16:
            tongue = disc(inner_low[count // 2], 1.0, (0.19, 0.33 * gap))
            paint(canvas, [tongue], (158, 78, 76), blur=4.0, opacity=0.9, within=opening)
        bared = max(e.mouth_corner, 0) + 0.5 * e.lip_upper
        _teeth(canvas, inner_top, opening, depth=min(0.105, gap * (0.42 + 0.53 * min(1.0, 2 * bared))))
    middle = inner_top if gap > 0.03 else (inner_top + inner_low) / 2
    paint(canvas, [ribbon(middle, 0.012 + 0.016 * bow)], (84, 34, 34), blur=1.0, opacity=0.85)
    shine = (0.55 * inner_low + 0.45 * bottom)[8:-8]
    glow = ribbon(shine, 0.02 * np.sin(spread(0, np.pi, len(shine))))
    paint(canvas, [glow], lips * 0.5 + 120, blur=3, opacity=0.5)
    dent = disc(middle[-1] + (0.012, 0.004), 1.0, (0.03, 0.022))
    paint(canvas, both(dent), skin * (0.45, 0.32, 0.28), blur=3.0, opacity=0.6)


def _teeth(canvas: Image, lip: Floats, opening: list[Floats], *, depth: float) -> None:
    edge = lip[3:-3]
    bow = np.sqrt(np.sin(spread(0, np.pi, len(edge))))
    row = [np.concatenate([edge - (0, 0.01), (edge + points(0 * bow, depth * bow))[::-1]])]
    paint(canvas, row, (226, 220, 208), blur=1.4, opacity=0.96, within=opening)
    y = edge[len(edge) // 2, 1]
    gaps = [np.array([[x, y - 0.06], [x, y + 0.9 * depth]]) for x in (-0.225, -0.165, -0.085, 0, 0.085, 0.165, 0.225)]
    paint_lines(canvas, gaps, (150, 132, 122), opacity=0.3, within=row)


def _mouth_curves(who: Identity, e: Expression) -> tuple[Floats, Floats, Floats, Floats]:
    """From left to right: edge of the upper lip, upper and lower edge of the opening, edge of the lower lip."""
    t = spread(-1, 1, 31)
    half = who.mouth_width * 0.37 * (1 + 0.28 * e.mouth_width - 0.04 * e.jaw)
    bow = np.clip(1 - t**2, 0, 1)
    centre = 0.985 * who.face_height + 0.02 * max(e.mouth_corner, 0) - 0.03 * e.chin - 0.02 * e.lip_upper
    corner = centre - 0.012 - 0.135 * e.mouth_corner + 0.10 * e.mouth_open + 0.05 * jaw_drop(e.jaw)
    line = corner + (centre - corner) * bow
    line = line + 0.008 * np.cos(3 * np.pi * t) * bow * (1 - e.mouth_open)
    opened = max(e.mouth_open, 0.0)
    up = 0.05 * opened + 0.03 * e.lip_upper * min(1.0, 6 * opened)
    down = 0.36 * opened + 0.06 * jaw_drop(e.jaw)
    soft = bow**0.62
    inner_top, inner_low = line - up * soft, line + down * soft
    thick = who.lip_fullness * (1 - 0.62 * e.lip_press) * (1 - 0.22 * max(e.mouth_corner, 0))
    cupid = 1 - 0.24 * np.exp(-((t / 0.14) ** 2))
    top = inner_top - 0.092 * thick * (1 - 0.15 * opened) * bow**0.75 * cupid
    pout = 0.02 * max(-e.mouth_corner, 0) * (1 - e.lip_press)
    bottom = inner_low + (0.112 * thick + pout) * bow**0.8
    return tuple(points(half * t, y) for y in (top, inner_top, inner_low, bottom))  # type: ignore[return-value]
