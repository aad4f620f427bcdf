"""Parameters of the renderer: identity, expression, pose and light.

Sizes are in face coordinates (see the package) or factors around 1.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

Colour = tuple[float, float, float]

WALL: Colour = (176, 184, 186)


@dataclass(frozen=True)
class Identity:
    """The constant appearance of a subject. Sizes are factors around 1, or face coordinates."""

    skin: Colour = (226, 178, 150)
    hair: Colour = (74, 48, 33)
    iris: Colour = (86, 96, 70)
    lips: Colour = (182, 92, 88)
    shirt: Colour = (58, 84, 112)
    face_width: float = 1.0
    face_height: float = 1.0
    jaw_width: float = 1.0
    eye_spacing: float = 0.43
    eye_size: float = 1.0
    brow_thickness: float = 1.0
    nose_width: float = 1.0
    mouth_width: float = 1.0
    lip_fullness: float = 1.0
    hair_length: float = 0.25
    hairline: float = 0.0


@dataclass(frozen=True)
class Expression:
    """Movements of the face; 0 is rest, 1 a strong movement. They are named after their effect."""

    brow_inner: float = 0.0
    brow_outer: float = 0.0
    brow_furrow: float = 0.0
    lid_upper: float = 0.0  # positive: wide open, -1: closed
    lid_lower: float = 0.0
    cheek: float = 0.0
    nose_wrinkle: float = 0.0
    lip_upper: float = 0.0
    mouth_corner: float = 0.0  # positive: up, negative: down
    mouth_width: float = 0.0
    mouth_open: float = 0.0
    lip_press: float = 0.0
    chin: float = 0.0
    jaw: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0

    def towards(self, other: Expression, fraction: float) -> Expression:
        """The interpolation between this expression (0) and another (1).

        >>> Expression().towards(Expression(jaw=1.0), 0.25).jaw
        0.25
        """
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Expression(*((1 - fraction) * a + fraction * b for a, b in pairs))

    def plus(self, **moves: float) -> Expression:
        """This expression with movements added, such as speech and blinks."""
        return replace(self, **{name: getattr(self, name) + value for name, value in moves.items()})


EXPRESSIONS: dict[str, Expression] = {
    "neutral": Expression(),
    "anger": Expression(
        brow_furrow=1.3, brow_inner=-0.5, lid_upper=0.25, lid_lower=0.5, nose_wrinkle=0.8, lip_upper=0.5,
        mouth_corner=-0.3, mouth_width=0.2, mouth_open=0.22, lip_press=0.35, chin=0.4, jaw=0.2,
    ),
    "disgust": Expression(
        brow_furrow=1.0, brow_inner=-0.2, lid_upper=-0.22, lid_lower=0.7, cheek=0.5, nose_wrinkle=1.2,
        lip_upper=1.2, mouth_corner=-0.5, mouth_open=0.18, chin=0.3,
    ),
    "fear": Expression(
        brow_inner=1.0, brow_outer=0.35, brow_furrow=0.55, lid_upper=0.75, mouth_corner=-0.3, mouth_width=0.5,
        mouth_open=0.3, jaw=0.3,
    ),
    "happiness": Expression(
        brow_outer=0.12, lid_upper=-0.08, lid_lower=0.6, cheek=1.0, lip_upper=0.45, mouth_corner=1.0,
        mouth_width=0.75, mouth_open=0.24, jaw=0.12,
    ),
    "sadness": Expression(
        brow_inner=0.85, brow_outer=-0.6, brow_furrow=0.35, lid_upper=-0.4, lid_lower=0.15, mouth_corner=-0.65,
        mouth_width=-0.05, lip_press=0.35, chin=0.7, gaze_y=0.5,
    ),
    "surprise": Expression(
        brow_inner=1.0, brow_outer=1.0, lid_upper=0.7, mouth_width=-0.35, mouth_open=0.8, jaw=0.75,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Pose:
    """The position of the body, and the pose of the head on the shoulders.

    x, y: the point between the eyes, relative to the size of the frame; scale 1 is a medium close-up.
    nod_x, nod_y: shift of the head in half face widths. roll, yaw: degrees; beyond 40 degrees of yaw the back of the
        head becomes visible, at 180 nothing else.
    """

    x: float = 0.5
    y: float = 0.43
    scale: float = 1.0
    nod_x: float = 0.0
    nod_y: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0


@dataclass(frozen=True)
class Light:
    """A lamp (x right, y down, z towards the viewer), and the intensities of its light and of the room's."""

    x: float = -0.35
    y: float = -0.55
    z: float = 0.9
    lamp: float = 0.72
    room: float = 0.42
