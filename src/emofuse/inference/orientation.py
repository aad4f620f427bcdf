"""Detects that a video is not upright: in a file before it is processed, in a live session while it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from types import MappingProxyType

import numpy as np

from emofuse.core.registry import find
from emofuse.core.time import Ints, Timeline, ticks
from emofuse.faces.detector import Detector, Face
from emofuse.faces.orientation import TURNS, Floats, scores_by_turn, video_turn
from emofuse.media.images import Image
from emofuse.media.photograph import FrameReader
from emofuse.media.video import Frame

AUTO = "auto"
_FIRST_FRAMES, _LATER_SECONDS = 4, (1, 2, 4, 8)  # that are checked of a file
_LIVE_SECONDS = 0.25  # from the first frame that is checked to the next; then the intervals double
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


def upright_frames(
    video: FrameReader, wanted: Ints | None, detector: Detector, *, read: Ints | None = None
) -> tuple[Iterator[Frame], str | None]:
    """The frames of a video or photograph, turned so that its faces are upright; and by how much and why, if so.

    It is upright as soon as the faces of the first wanted frames say so. Where they do not, some frames of the first
    eight seconds are decoded beforehand.

    Args:
        wanted: numbers of the frames that may be checked; None for all.
        read: numbers of the frames to return, `wanted` among them; those between the first ones that are checked are
            left out. Default: `wanted`.
    """
    read = wanted if read is None else read
    frames, least = video.frames(read), min(2, len(video.timeline))
    chosen = None if wanted is None else frozenset(wanted[:_FIRST_FRAMES].tolist())
    numbers, first, scores = checked_numbers(video.timeline, wanted), list[Frame](), list[Floats]()
    for frame in islice((f for f in frames if chosen is None or f.index in chosen), _FIRST_FRAMES):
        first.append(frame)
        scores.append(_scores(frame, detector))
        if video_turn(scores, certain=detector.certain_score, least=least) == 0:
            return chain(first, frames), None
    warnings = list(video.warnings)
    for frame in video.frames(numbers[len(first) :]):
        scores.append(_scores(frame, detector))
        if video_turn(scores, certain=detector.certain_score, least=least) == 0:
            break
    video.warnings[:] = warnings  # these frames are read and counted again
    turn = video_turn(scores, certain=detector.certain_score, least=least)
    if not turn:
        return chain(first, frames), None
    del frames, first
    video.turn(turn)
    return video.frames(read), f"turned {_HOW[turn]}, as its faces {_WHY[turn]}"


def checked_numbers(timeline: Timeline, wanted: Ints | None) -> Ints:
    """The numbers of the frames that may be checked: the first wanted ones, and some of the next eight seconds."""
    first = (np.arange(len(timeline)) if wanted is None else wanted)[:_FIRST_FRAMES]
    begin = int(timeline.start[first[0]]) if len(first) else 0
    later = np.searchsorted(timeline.start, [begin + ticks(time) for time in _LATER_SECONDS])
    later = later[(later > first.max(initial=-1)) & (later < len(timeline))]
    return np.unique(np.concatenate([first, later]))


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
            self._next = frame.start + max(frame.start, ticks(_LIVE_SECONDS))

    @property
    def warning(self) -> str | None:
        """A line about faces that are not upright, with the turn that helps."""
        turn = self._turn
        return f"faces {_WHY[turn]}: turn the video {_HOW[turn]}" if turn else None

    @property
    def _turn(self) -> int | None:
        return video_turn(self._scores, certain=self._detector.certain_score)


def _scores(frame: Frame, detector: Detector) -> Floats:
    return scores_by_turn(faces_by_turn(frame.rgb() if detector.colour else frame.luma(), detector))
