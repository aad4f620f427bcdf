"""Notices videos whose faces lie on their side or upside down, which no tag of the file tells.

Detectors find many such faces, with a lower score and with landmarks as if they were upright. So a few frames whose
score is low are turned by each quarter and searched again: a face is upright where its score is highest. YuNet gives
upright faces 0.93 or more, others 0.90 or less (12 people, one clip each of RAVDESS; 2026-11-28).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from emofuse.faces.detector import Detector, Face
from emofuse.media.images import Image

_UPRIGHT_SCORE = 0.91  # faces with at least this score are upright
_TURNED_SCORE, _MARGIN = 0.85, 0.04  # lowest score of a face that is upright once turned, and how much it must gain
_FIRST_FRAME = 3  # the first frame that is checked; the next one is that of twice its number, and so on
_DIRECTIONS = {
    1: "on their side in {}: turn the video by 90 degrees counterclockwise",
    2: "upside down in {}: turn the video by 180 degrees",
    3: "on their side in {}: turn the video by 90 degrees clockwise",
}


class OrientationCheck:
    """Checks some frames of one video, given to `push` in order; `warning` is the result so far."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._frames, self._next = 0, _FIRST_FRAME
        self._checked = 0
        self._turns: Counter[int] = Counter()  # frames by the counterclockwise quarter turns that their faces need

    def push(self, image: Callable[[], Image], faces: list[Face]) -> None:
        """Take the next frame: a function that returns its image, and its faces, best first."""
        self._frames += 1
        if self._frames < self._next or (faces and faces[0].landmarks is None):
            return
        score, turn = (faces[0].score, _rolled(faces[0])) if faces else (0.0, 0)
        if not turn and score < _UPRIGHT_SCORE:
            turn = self._best_turn(image(), score)
        self._checked += 1
        self._next = 2 * self._frames
        if turn:
            self._turns[turn] += 1

    @property
    def warning(self) -> str | None:
        """A line about the faces of most of the frames that were checked, if they are not upright."""
        turn, n = self._turns.most_common(1)[0] if self._turns else (0, 0)
        if n < 2 or 2 * n <= self._checked:
            return None
        frames = f"{n} of {self._checked} checked frames"
        return f"faces lie {_DIRECTIONS[turn].format(frames)} and predict it again"

    def _best_turn(self, image: Image, upright: float) -> int:
        """The quarter turns with which the best face of an image scores highest; 0 if none is better than upright."""
        scores = {}
        for turn in _DIRECTIONS:
            faces = self._detector(np.ascontiguousarray(np.rot90(image, turn)))
            scores[turn] = faces[0].score if faces and faces[0].landmarks is not None else 0.0
        best = max(scores, key=scores.__getitem__)
        return best if scores[best] >= max(_TURNED_SCORE, upright + _MARGIN) else 0


def _rolled(face: Face) -> int:
    """The counterclockwise quarter turns that make a face upright, according to its eyes."""
    assert face.landmarks is not None
    x, y = face.landmarks[1] - face.landmarks[0]
    return round(float(np.degrees(np.arctan2(y, x))) / 90) % 4
