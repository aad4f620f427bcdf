"""Movements of a synthetic subject: head sway, blinks, and the mouth during speech.

Times are seconds from the start of the video. The caller provides the emotional expression and the position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.synthetic.render import Expression, Pose

Floats = NDArray[Any]


@dataclass(frozen=True, eq=False)
class IdleMotion:
    """Involuntary movements: phases [6] of the head sway, and the times of blinks in seconds."""

    phases: Floats
    blinks: Floats

    @classmethod
    def random(cls, seconds: float, rng: np.random.Generator) -> IdleMotion:
        """Random movements for a video of a length, with a blink every 2.2 to 4.5 s."""
        phases = rng.uniform(0, 2 * np.pi, 6)
        return cls(phases, np.asarray(np.cumsum(rng.uniform(2.2, 4.5, int(seconds) + 1))))

    def pose(self, time: float, body: Pose, *, droop: float = 0.0, turn: float = 0.0) -> Pose:
        """The pose of the head at a time, for a position of the body.

        droop, 0 to 1, lowers the head, as in sadness; turn, 0 to 1, blends the sway into the yaw of `body`.
        """
        a, b, c, d, e, f = self.phases
        return Pose(
            x=body.x,
            y=body.y,
            scale=body.scale,
            nod_x=0.03 * np.sin(1.3 * time + a) + 0.02 * np.sin(2.1 * time + b),
            nod_y=0.02 * np.sin(1.7 * time + c) + 0.05 * droop,
            roll=1.8 * np.sin(0.9 * time + d) + 1.0 * np.sin(2.3 * time + e) + 3.0 * droop,
            yaw=4.0 * np.sin(0.7 * time + f) * (1 - turn) + body.yaw * turn,
        )

    def blink(self, time: float) -> float:
        """How far a blink closes the eyes, 0 to 1."""
        return float(np.exp(-(((time - self.blinks) / 0.06) ** 2)).max(initial=0.0))


def animate(face: Expression, *, mouth: float, blink: float) -> Expression:
    """An emotional expression with speech (mouth, 0 to 1) and a blink (0 to 1) added.

    >>> animate(Expression(), mouth=1.0, blink=1.0).lid_upper
    -1.0
    """
    # Speech opens the mouth less if the emotion has already opened it.
    speech = mouth * (1 - min(face.mouth_open, 1.0)) * (1 - 0.5 * face.lip_press)
    return face.plus(
        mouth_open=0.2 * speech,
        jaw=0.22 * speech,
        mouth_width=-0.15 * speech,
        lid_upper=-blink * (1 + face.lid_upper),
    )


def ease(progress: float) -> float:
    """0 below 0, 1 above 1, smooth in between.

    >>> ease(-1), ease(0.5), ease(3)
    (0.0, 0.5, 1.0)
    """
    progress = min(max(progress, 0.0), 1.0)
    return progress * progress * (3 - 2 * progress)


def mouth_openings(audio: NDArray[np.float32], count: int) -> Floats:
    """How far speech opens the mouth in each of `count` frames, 0 to 1: the smoothed loudness of the audio."""
    edges = np.linspace(0, len(audio), count + 1).astype(int)
    power = np.add.reduceat(audio.astype(np.float64) ** 2, edges[:-1]) / np.diff(edges)
    loud = np.convolve(np.sqrt(power), [0.25, 0.5, 0.25], mode="same")
    return np.asarray(loud / max(float(loud.max()), 1e-9))
