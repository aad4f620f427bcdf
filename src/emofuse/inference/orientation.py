"""Detects that a video is not upright: in a file before it is processed, in a live session while it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from types import MappingProxyType

import numpy as np

from emofuse.core.registry import find
from emofuse.core.time import Ints, ticks
from emofuse.faces.detector import Detector, Face
from emofuse.faces.orientation import TURNS, Floats, scores_by_turn, video_turn
from emofuse.media.images import Image
from emofuse.media.video import Frame, VideoReader

AUTO = "auto"
CHECKED_SECONDS = (0, 0.25, 0.5, 1, 2, 4, 8)  # in a file; a session goes on at ever longer intervals
_HOW = {90: "by 90 degrees clockwise", 180: "by 180 degrees", 270: "by 270 degrees clockwise"}
_WHY = {90: "lie on their side", 180: "are upside down", 270: "lie on their side"}
_ROTATIONS: Mapping[str, int | None] = MappingProxyType({AUTO: None, **{str(turn): turn for turn in TURNS}})


def checked_rotation(rotate: int | str) -> int | None:
    """A valid rotation in degrees clockwise; None for the one that makes faces upright.

    Raises:
        SettingsError: it is neither a right angle nor `auto`.

    >>> checked_rotation("90")
    90
    """
    return find(str(rotate), _ROTATIONS, "--rotate")


def upright_frames(video: VideoReader, wanted: Ints | None, detector: Detector) -> tuple[Iterator[Frame], str | None]:
    """The wanted frames of a video, turned so that its faces are upright; and by how much and why, if it is turned.

    If the faces of the first frame are clearly upright, so is the video; otherwise up to seven frames of the first
    eight seconds are decoded beforehand.
    """
    frames = video.frames(wanted)
    first = list(islice(frames, 1))
    if not first or video_turn([_scores(first[0], detector)], certain=detector.certain_score) == 0:
        return chain(first, frames), None
    del frames, first
    turn = _checked_turn(video, detector)
    video.turn(turn)
    return video.frames(wanted), f"turned {_HOW[turn]}, as its faces {_WHY[turn]}" if turn else None


def faces_by_turn(image: Image, detector: Detector) -> dict[int, list[Face]]:
    """The faces of an image, RGB or luma as the detector takes it, in each of its orientations."""
    return {turn: detector(np.ascontiguousarray(np.rot90(image, -turn // 90))) for turn in TURNS}


class OrientationWatch:
    """Checks frames of a live session, which cannot be processed again; `warning` is the result so far."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._scores: list[Floats] = []
        self._next = 0

    def push(self, frame: Frame) -> None:
        """Take the next frame; few of them are checked, and none once they are upright."""
        if frame.start >= self._next and self._turn != 0:
            self._scores.append(_scores(frame, self._detector))
            self._next = frame.start + max(frame.start, ticks(CHECKED_SECONDS[1]))

    @property
    def warning(self) -> str | None:
        """A line about faces that are not upright, with the turn that helps."""
        turn = self._turn
        return f"faces {_WHY[turn]}: turn the video {_HOW[turn]}" if turn else None

    @property
    def _turn(self) -> int | None:
        return video_turn(self._scores, certain=self._detector.certain_score)


def _checked_turn(video: VideoReader, detector: Detector) -> int:
    numbers = np.searchsorted(video.timeline.start, [ticks(time) for time in CHECKED_SECONDS])
    warnings, scores, turn = list(video.warnings), list[Floats](), None
    for frame in video.frames(np.unique(numbers[numbers < len(video.timeline)])):
        scores.append(_scores(frame, detector))
        turn = video_turn(scores, certain=detector.certain_score)
        if turn == 0:
            break
    video.warnings[:] = warnings  # these frames are read and counted again
    return turn or 0


def _scores(frame: Frame, detector: Detector) -> Floats:
    return scores_by_turn(faces_by_turn(frame.rgb() if detector.colour else frame.luma(), detector))
