"""The renderer: layers drawn once, features drawn for each frame, and both laid into the picture."""

from __future__ import annotations

import cv2
import numpy as np

from emofuse.media.render.draw import (
    HEIGHT,
    SCALE,
    TOP,
    UNIT,
    WIDTH,
    Image,
    blend,
    head_maps,
    jaw_drop,
    lay,
    outline,
    shoulder_maps,
    soft_mask,
)
from emofuse.media.render.face import Expression, Identity, Light, Pose
from emofuse.media.render.features import draw_brows, draw_eyes, draw_mouth, draw_nostrils
from emofuse.media.render.layers import FOLDS, back, body, front_hair, lit_skin, wall

_JAW_LINE = 0.62  # what lies below moves with the jaw


class FaceRenderer:
    """Draws one person in front of one wall; what does not move is drawn once.

    >>> from emofuse.media.render import EXPRESSIONS
    >>> FaceRenderer(size=(320, 180)).frame(EXPRESSIONS["happiness"], Pose()).shape
    (180, 320, 3)
    """

    def __init__(
        self,
        identity: Identity | None = None,
        light: Light | None = None,
        *,
        size: tuple[int, int] = (1280, 720),
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.identity, self.light, self.size = identity or Identity(), light or Light(), size
        self._wall = wall(size, rng)
        self._body = body(self.identity, size[1] * SCALE, rng)
        self._skin, self._folds = lit_skin(self.identity, self.light)
        self._grain = rng.normal(0, 1.8, (HEIGHT, WIDTH, 1)).round().astype(np.int16).repeat(3, axis=2)
        self._back, self._back_alpha = back(self.identity, rng)
        self._hair, self._hair_alpha = front_hair(self.identity, rng)
        self._seat: tuple[float, float, float] | None = None
        self._scene = self._wall

    def frame(self, expression: Expression, pose: Pose) -> Image:
        """The picture, uint8 RGB [height, width, 3]; a new array."""
        unit = self.size[1] * SCALE * pose.scale
        x, y = pose.x * self.size[0], pose.y * self.size[1]
        if self._seat != (x, y, pose.scale):  # shoulders move rarely: wall and body are kept as one picture
            self._seat, self._scene = (x, y, pose.scale), self._wall.copy()
            lay(self._scene, self._body, *shoulder_maps(self._body.shape, x, y, pose.scale, self.size))
        picture = self._scene.copy()
        maps = head_maps(x + pose.nod_x * unit, y + pose.nod_y * unit, unit, pose, self.size)
        lay(picture, self._head(expression), *maps)
        return picture

    def _head(self, e: Expression) -> Image:
        who = self.identity
        canvas = self._surface(e)
        draw_nostrils(canvas, who, e)
        draw_eyes(canvas, who, e)
        draw_brows(canvas, who, e)
        draw_mouth(canvas, who, e)
        mask = soft_mask([outline(who, e.jaw)], blur=1.2)
        # Where nothing lies behind the face its skin goes on, so that no dark rim shows at the edge.
        canvas = blend(canvas, self._back, cv2.max(mask, 255 - self._back_alpha))
        rows = slice(0, int(np.flatnonzero(self._hair_alpha.any(axis=1))[-1]) + 1)
        canvas[rows] = blend(self._hair[rows], canvas[rows], self._hair_alpha[rows])
        return cv2.merge([*cv2.split(canvas), cv2.max(cv2.max(mask, self._back_alpha), self._hair_alpha)])

    def _surface(self, e: Expression) -> Image:
        """Skin with the folds of the expression, the lower part drawn down by the jaw."""
        shade = self._skin.copy()
        for name, fold in self._folds.items():
            weight = FOLDS[name](e)
            if weight > 0.01:
                shade *= 1 + weight * fold
        row = round((_JAW_LINE - TOP) * UNIT / 2)
        drop = round(jaw_drop(e.jaw) * UNIT / 2)
        if drop > 0:
            lower = shade[row:]
            chin = round((1.5 * self.identity.face_height - _JAW_LINE) * UNIT / 2)
            stretched = cv2.resize(lower, (lower.shape[1], round(len(lower) * (chin + drop) / chin)))
            shade = np.concatenate([shade[:row], stretched[: len(lower)]])
        full = cv2.resize(cv2.convertScaleAbs(shade), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        return cv2.add(full, self._grain, dtype=cv2.CV_8U)
