"""The renderer: layers are drawn once, features for each frame, and both are composed into the frame."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from emofuse.synthetic.render.draw import (
    AVERTED,
    SCALE,
    TOP,
    UNIT,
    Floats,
    Image,
    blend,
    canvas_size,
    head_maps,
    jaw_drop,
    lay,
    outline,
    project,
    shoulder_maps,
    soft_mask,
)
from emofuse.synthetic.render.face import WALL, Colour, Expression, Identity, Light, Pose
from emofuse.synthetic.render.features import draw_brows, draw_eyes, draw_mouth, draw_nostrils, landmarks
from emofuse.synthetic.render.layers import FOLDS, back, body, front_hair, lit_skin, nape, wall

_JAW_LINE = 0.62  # everything below moves with the jaw


class FaceRenderer:
    """Renders one subject in front of a wall.

    unit: canvas pixels per half face width, even. If the face is small in the frame, a canvas smaller than the default
        is several times as fast; it need not be much larger than the face in the frame.

    >>> from emofuse.synthetic.render import EXPRESSIONS
    >>> FaceRenderer(size=(320, 180)).frame(EXPRESSIONS["happiness"], Pose()).shape
    (180, 320, 3)
    """

    def __init__(
        self,
        identity: Identity | None = None,
        light: Light | None = None,
        *,
        size: tuple[int, int] = (1280, 720),
        wall_colour: Colour = WALL,
        seed: int = 0,
        unit: int = UNIT,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.identity, self.light, self.size, self.unit = identity or Identity(), light or Light(), size, unit
        self._wall = wall(size, rng, wall_colour)
        self._body = body(self.identity, size[1] * SCALE, rng)
        self._skin, self._folds = lit_skin(self.identity, self.light, unit)
        width, height = canvas_size(unit)
        self._grain = rng.normal(0, 1.8, (height, width, 1)).round().astype(np.int16).repeat(3, axis=2)
        self._back, self._back_alpha = back(self.identity, rng, unit)
        self._hair, self._hair_alpha = front_hair(self.identity, rng, unit)
        self._nape = nape(self._hair, unit)
        self._body_position: tuple[float, float, float] | None = None
        self._background = self._wall

    def frame(self, expression: Expression, pose: Pose) -> Image:
        """A new frame, uint8 RGB [height, width, 3]."""
        x, y, _ = self._place(pose)
        if self._body_position != (x, y, pose.scale):  # shoulders rarely move, so wall and body are cached
            self._body_position, self._background = (x, y, pose.scale), self._wall.copy()
            self._lay_body(self._background, pose)
        image = self._background.copy()
        self._lay_head(image, expression, pose)
        return image

    def onto(self, image: Image, expression: Expression, pose: Pose) -> None:
        """Draw the subject into a frame of the same size, in front of its content."""
        self._lay_body(image, pose)
        self._lay_head(image, expression, pose)

    def landmarks(self, expression: Expression, pose: Pose) -> Floats:
        """The landmarks of the face, float64 [5, 2] in pixels: (x, y), (0, 0) at the corner of the first pixel.

        In the order of `faces.detector.Face`: right eye (on the left of the frame), left eye, nose tip, right and left
        corner of the mouth. They may lie outside the frame.

        >>> FaceRenderer(size=(320, 180)).landmarks(Expression(), Pose())[:2].round(1).tolist()
        [[146.2, 77.9], [174.8, 77.9]]
        """
        x, y, unit = self._place(pose)
        marks = landmarks(self.identity, expression)
        return project(marks, x + pose.nod_x * unit, y + pose.nod_y * unit, unit, pose)

    def _place(self, pose: Pose) -> tuple[float, float, float]:
        """The point between the eyes without head movement, and half the width of the face, in pixels."""
        return pose.x * self.size[0], pose.y * self.size[1], self.size[1] * SCALE * pose.scale

    def _lay_body(self, image: Image, pose: Pose) -> None:
        x, y, _ = self._place(pose)
        lay(image, self._body, *shoulder_maps(self._body.shape, x, y, pose.scale, self.size))

    def _lay_head(self, image: Image, expression: Expression, pose: Pose) -> None:
        x, y, unit = self._place(pose)
        x, y = x + pose.nod_x * unit, y + pose.nod_y * unit
        if abs(pose.yaw) > AVERTED:
            fraction = min((abs(pose.yaw) - AVERTED) / 40, 1.0)
            aside, still = 0.45 * fraction * np.sin(np.radians(pose.yaw)) * unit, replace(pose, yaw=0.0)
            place = (x - aside, y, (0.7 + 0.3 * fraction) * unit)
            lay(image, self._nape, *head_maps(*place, still, self.size, canvas_unit=self.unit))
        lay(image, self._head(expression), *head_maps(x, y, unit, pose, self.size, canvas_unit=self.unit))

    def _head(self, e: Expression) -> Image:
        who = self.identity
        canvas = self._surface(e)
        draw_nostrils(canvas, who, e)
        draw_eyes(canvas, who, e)
        draw_brows(canvas, who, e)
        draw_mouth(canvas, who, e)
        mask = soft_mask([outline(who, e.jaw)], blur=1.2, unit=self.unit)
        # Where nothing is behind the face, its skin continues, which avoids a dark rim at the edge.
        canvas = blend(canvas, self._back, cv2.max(mask, 255 - self._back_alpha))
        rows = slice(0, int(np.flatnonzero(self._hair_alpha.any(axis=1))[-1]) + 1)
        canvas[rows] = blend(self._hair[rows], canvas[rows], self._hair_alpha[rows])
        return cv2.merge([*cv2.split(canvas), cv2.max(cv2.max(mask, self._back_alpha), self._hair_alpha)])

    def _surface(self, e: Expression) -> Image:
        """Skin with the folds of the expression, the lower fraction stretched by the jaw."""
        shade = self._skin.copy()
        for name, fold in self._folds.items():
            weight = FOLDS[name](e)
            if weight > 0.01:
                shade *= 1 + weight * fold
        row = round((_JAW_LINE - TOP) * self.unit / 2)
        drop = round(jaw_drop(e.jaw) * self.unit / 2)
        if drop > 0:
            lower = shade[row:]
            chin = round((1.5 * self.identity.face_height - _JAW_LINE) * self.unit / 2)
            stretched = cv2.resize(lower, (lower.shape[1], round(len(lower) * (chin + drop) / chin)))
            shade = np.concatenate([shade[:row], stretched[: len(lower)]])
        full = cv2.resize(cv2.convertScaleAbs(shade), canvas_size(self.unit), interpolation=cv2.INTER_LINEAR)
        return cv2.add(full, self._grain, dtype=cv2.CV_8U)
