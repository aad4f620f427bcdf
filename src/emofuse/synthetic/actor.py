"""How a drawn person moves: sway of the head, blinks, the speaking mouth.

Times are seconds from the start of the film. What the person feels, and where they are, is told by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.synthetic.render import Expression, Pose

Floats = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Liveliness:
    """The small movements of someone alive: phases [6] of the sway, and when the eyes blink, in seconds."""

    phases: Floats
    blinks: Floats

    @classmethod
    def of(cls, seconds: float, rng: np.random.Generator) -> Liveliness:
        """Movements for a film of some length, with a blink every 2.2 to 4.5 s."""
        phases = rng.uniform(0, 2 * np.pi, 6)
        return cls(phases, np.asarray(np.cumsum(rng.uniform(2.2, 4.5, int(seconds) + 1))))

    def pose(self, time: float, place: Pose, *, sorrow: float = 0.0, turn: float = 0.0) -> Pose:
        """The head at a moment, around the place of the body.

        sorrow 0 to 1 lets it hang; turn 0 to 1 takes it from its sway to the yaw of `place`.
        """
        a, b, c, d, e, f = self.phases
        return Pose(
            x=place.x,
            y=place.y,
            scale=place.scale,
            nod_x=0.03 * np.sin(1.3 * time + a) + 0.02 * np.sin(2.1 * time + b),
            nod_y=0.02 * np.sin(1.7 * time + c) + 0.05 * sorrow,
            roll=1.8 * np.sin(0.9 * time + d) + 1.0 * np.sin(2.3 * time + e) + 3.0 * sorrow,
            yaw=4.0 * np.sin(0.7 * time + f) * (1 - turn) + place.yaw * turn,
        )

    def shut(self, time: float) -> float:
        """How far a blink shuts the eyes, 0 to 1."""
        return float(np.exp(-(((time - self.blinks) / 0.06) ** 2)).max(initial=0.0))


def alive(face: Expression, *, opening: float, shut: float) -> Expression:
    """A felt expression with speech (opening 0 to 1) and a blink (shut 0 to 1) on top of it.

    >>> alive(Expression(), opening=1.0, shut=1.0).lid_upper
    -1.0
    """
    # An open mouth has less way to go: speech adds the more the less the emotion opens it.
    speech = opening * (1 - min(face.mouth_open, 1.0)) * (1 - 0.5 * face.lip_press)
    return face.plus(
        mouth_open=0.2 * speech,
        jaw=0.22 * speech,
        mouth_width=-0.15 * speech,
        lid_upper=-shut * (1 + face.lid_upper),
    )


def ease(part: float) -> float:
    """0 below 0, 1 above 1, smooth between.

    >>> ease(-1), ease(0.5), ease(3)
    (0.0, 0.5, 1.0)
    """
    part = min(max(part, 0.0), 1.0)
    return part * part * (3 - 2 * part)


def mouth_openings(sound: NDArray[np.float32], count: int) -> Floats:
    """How far speech opens the mouth in each of `count` frames, 0 to 1: the loudness of the sound, smoothed."""
    edges = np.linspace(0, len(sound), count + 1).astype(int)
    power = np.add.reduceat(sound.astype(np.float64) ** 2, edges[:-1]) / np.diff(edges)
    loud = np.convolve(np.sqrt(power), [0.25, 0.5, 0.25], mode="same")
    return np.asarray(loud / max(float(loud.max()), 1e-9))
