"""By how much a video must be turned so that its faces are upright, which not every file states.

Detectors find many faces that lie on their side or upside down, some with landmarks as if they were upright, but with a
lower score. So some frames are searched in all four orientations: faces are upright where the best scores are highest,
corrected by the angle of the landmarks. All turns are clockwise, in degrees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emofuse.faces.detector import Face

TURNS = (0, 90, 180, 270)
_ADVANTAGE = 0.6  # in log odds, summed over frames, of the turn that is taken over all others

Floats = NDArray[np.float64]


def scores_by_turn(found: Mapping[int, Sequence[Face]]) -> Floats:
    """The best score of faces that each turn makes upright, float64 [4] in the order of `TURNS`; 0 without a face.

    Args:
        found: the faces of one frame by the turn of the frame in which they were detected.
    """
    best = dict.fromkeys(TURNS, 0.0)
    for turn, faces in found.items():
        for face in faces:
            upright = (turn - roll(face)) % 360
            best[upright] = max(best[upright], face.score)
    return np.array(list(best.values()))


def video_turn(scores: Sequence[Floats], *, certain: float, least: int = 2) -> int | None:
    """The turn that makes the faces of a video upright; None if the frames so far do not show it.

    Args:
        scores: of each frame, by turn.
        certain: a turn other than 0 needs `least` frames with such a score (`Detector.certain_score`).
        least: 2, or 1 for a photograph.

    >>> video_turn([np.array([0.0, 0.9, 0.6, 0.0])] * 2, certain=0.85)
    90
    """
    if not scores:
        return None
    likely = np.clip(scores, 0.5, 0.99)
    evidence = np.log(likely / (1 - likely)).sum(axis=0)
    second, first = np.argsort(evidence, kind="stable")[-2:]
    if evidence[first] - evidence[second] < _ADVANTAGE:
        return None
    if first and np.sum(np.array(scores)[:, first] >= certain) < least:
        return None
    return TURNS[first]


def roll(face: Face) -> int:
    """By how much a face is turned according to its landmarks, rounded to a right angle; 0 without landmarks."""
    if face.landmarks is None:
        return 0
    eyes, mouth = face.landmarks[:2], face.landmarks[3:]
    x, y = mouth.mean(axis=0) - eyes.mean(axis=0)
    across_x, across_y = eyes[1] - eyes[0]  # turned by a right angle it points down, as does the line to the mouth
    return round(float(np.degrees(np.arctan2(across_y - x, y + across_x))) / 90) % 4 * 90
