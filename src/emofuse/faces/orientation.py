"""By how much a video must be turned so that its faces are upright, which not every file states.

Detectors find many faces that lie on their side or upside down, some with landmarks as if they were upright, but with a
lower score. So a frame is searched in all four orientations: its faces are upright where the best score is highest,
corrected by the angle of the landmarks. All turns are clockwise, in degrees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from emofuse.faces.detector import Face

TURNS = (0, 90, 180, 270)
_MARGIN = 0.01  # by which the best score of one orientation must exceed that of all others
_TURNED_SCORE = 0.85  # lowest score of a face that is upright once the frame is turned


def frame_turn(found: Mapping[int, Sequence[Face]]) -> int | None:
    """The turn that makes the faces of a frame upright; None if they do not show it.

    Args:
        found: the faces by the turn of the frame in which they were detected.
    """
    best = dict.fromkeys(TURNS, 0.0)
    for turn, faces in found.items():
        for face in faces:
            upright = (turn - roll(face)) % 360
            best[upright] = max(best[upright], face.score)
    first, second = sorted(best, key=best.__getitem__, reverse=True)[:2]
    certain = best[first] >= (_TURNED_SCORE if first else 0.0) and best[first] - best[second] >= _MARGIN
    return first if certain else None


def video_turn(turns: Sequence[int | None]) -> int | None:
    """The turn of most frames that show one; None if there is none. Two frames must agree on a turn other than 0."""
    votes = Counter(turn for turn in turns if turn is not None)
    turn, n = votes.most_common(1)[0] if votes else (0, 0)
    return turn if 2 * n > votes.total() and n >= (2 if turn else 1) else None


def roll(face: Face) -> int:
    """By how much a face is turned according to its landmarks, rounded to a right angle; 0 without landmarks."""
    if face.landmarks is None:
        return 0
    eyes, mouth = face.landmarks[:2], face.landmarks[3:]
    x, y = mouth.mean(axis=0) - eyes.mean(axis=0)
    across_x, across_y = eyes[1] - eyes[0]  # turned by a right angle it points down, as does the line to the mouth
    return round(float(np.degrees(np.arctan2(across_y - x, y + across_x))) / 90) % 4 * 90
