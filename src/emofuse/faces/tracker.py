"""Which face of one frame is which face of the next: persons that keep their number.

Frames come one by one in the order of their time, at any rate; what a face may move, and how long it may be away,
is counted in seconds, so 5 and 30 frames a second give the same persons. Faces are told apart by place
and size alone. Where the scene changes, places mean nothing: persons are found again only when the shot comes back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from emofuse.core.time import seconds
from emofuse.errors import SettingsError, ShapeError
from emofuse.faces.detector import box_iou

Thumbnail = NDArray[np.uint8]
Point = NDArray[np.float64]

UNMATCHED = 4.0  # cost of leaving a face and a track apart; no pair that may match costs more


class Located(Protocol):
    """Anything with the box of a face: float32 [4], left, top, width and height in pixels."""

    @property
    def box(self) -> NDArray[np.float32]: ...


Item = TypeVar("Item", bound=Located)


@dataclass(frozen=True)
class TrackerSettings:
    """What counts as the same person. Distances are in face sizes (square root of the box area).

    confirm_frames: frames with the face, of at most twice as many, until it is a person and no false alarm.
    recall_seconds: who is away for longer comes back as somebody else.
    reach, reach_per_second, reach_limit: how far a face may be from where it is expected, growing with the
        time since it was seen.
    growth, growth_per_second, growth_limit: the same for the ratio of the sizes, as a natural logarithm.
    velocity_seconds: over how long velocities are averaged.
    coast_seconds: how fast an unseen face is thought to come to rest.
    cut_level: mean absolute difference of two thumbnails (0 to 255) above which they show different shots.
    shot_iou: overlap with its last box by which a person is found again when the shot comes back.

    Raises:
        SettingsError: confirm_frames is below 1, or a time is not positive.
    """

    confirm_frames: int = 3
    recall_seconds: float = 2.0
    reach: float = 0.5
    reach_per_second: float = 2.0
    reach_limit: float = 1.5
    growth: float = 0.4
    growth_per_second: float = 0.3
    growth_limit: float = 0.7
    velocity_seconds: float = 0.2
    coast_seconds: float = 0.5
    cut_level: float = 15.0
    shot_iou: float = 0.4

    def __post_init__(self) -> None:
        if self.confirm_frames < 1:
            raise SettingsError(f"TrackerSettings: confirm_frames is {self.confirm_frames}; give 1 or more.")
        for name in ("recall_seconds", "velocity_seconds", "coast_seconds"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"TrackerSettings: {name} is {getattr(self, name)}; give a time above 0.")


@dataclass(frozen=True)
class TrackedFace(Generic[Item]):
    """One face of one person: `frame_index` counts the pushed frames from 0, `person` the persons from 1."""

    frame_index: int
    person: int
    face: Item


@dataclass(eq=False)
class _Trace(Generic[Item]):
    """One face through time; `held` keeps what was seen before it is known to be a person."""

    face: Item
    seen_at: int
    thumbnail: Thumbnail | None
    held: list[tuple[int, Item]]
    person: int | None = None
    velocity: Point = field(default_factory=lambda: np.zeros(2))  # pixels a second
    after_cut: bool = False

    def first(self) -> tuple[int, float]:
        """First frame and left edge in it: the order in which persons are numbered."""
        frame, face = self.held[0]
        return frame, float(face.box[0])


class Tracker(Generic[Item]):
    """Gives the faces of successive frames to persons, numbered 1, 2, ... in the order they are confirmed.

    A face is held back until it was seen in `confirm_frames` frames; then all its frames come at once. What
    `push` returns is never older than `lookahead_frames` frames. Memory does not grow with the video.
    """

    def __init__(self, settings: TrackerSettings = TrackerSettings()) -> None:
        self.settings = settings
        self._traces: list[_Trace[Item]] = []
        self._frames = 0
        self._persons = 0
        self._now: int | None = None
        self._thumbnail: Thumbnail | None = None

    @property
    def lookahead_frames(self) -> int:
        """After frame k was pushed, nothing comes any more for frames before k - lookahead_frames."""
        return 2 * self.settings.confirm_frames - 1

    def push(self, start: int, faces: list[Item], *, thumbnail: Thumbnail | None = None) -> list[TrackedFace[Item]]:
        """The faces of the next frame; gives what is known by now, in the order of frames, then persons.

        Args:
            start: the frame's time in ticks, after that of the frame before.
            faces: detected faces in pixels of frames of one size, or values that carry such a box; returned unchanged.
            thumbnail: the picture as grey uint8 [h, w], about 18 x 32, to notice cuts; without it there are none.
        Raises:
            ShapeError: time does not go on, or thumbnails change their shape.
        """
        if self._now is not None and start <= self._now:
            raise ShapeError(f"Tracker: a frame at tick {start} after one at {self._now}; push frames in their order.")
        if self._is_cut(thumbnail):
            self._cut()
        self._forget(start)
        self._now, self._thumbnail = start, thumbnail
        seen = []
        for trace, face in self._assigned(start, faces):
            if trace is None:
                self._traces.append(_Trace(face, start, thumbnail, held=[(self._frames, face)]))
                continue
            self._move(trace, face, start)
            if trace.person is None:
                trace.held.append((self._frames, face))
            else:
                seen.append(TrackedFace(self._frames, trace.person, face))
        ready = [t for t in self._traces if t.person is None and len(t.held) >= self.settings.confirm_frames]
        seen += self._confirmed(ready)
        self._frames += 1
        return sorted(seen, key=lambda s: (s.frame_index, s.person))

    def close(self) -> list[TrackedFace[Item]]:
        """The end: faces of a video that was too short to confirm any; of others nothing more comes."""
        short = self._frames < self.settings.confirm_frames
        seen = self._confirmed([t for t in self._traces if t.person is None]) if short else []
        self._traces = []
        return sorted(seen, key=lambda s: (s.frame_index, s.person))

    def _confirmed(self, traces: list[_Trace[Item]]) -> list[TrackedFace[Item]]:
        seen = []
        for trace in sorted(traces, key=_Trace.first):
            self._persons += 1
            trace.person = self._persons
            seen += [TrackedFace(frame, trace.person, face) for frame, face in trace.held]
            trace.held = []
        return seen

    def _is_cut(self, thumbnail: Thumbnail | None) -> bool:
        if thumbnail is None or self._thumbnail is None:
            return False
        return _difference(thumbnail, self._thumbnail) > self.settings.cut_level

    def _cut(self) -> None:
        self._traces = [trace for trace in self._traces if trace.person is not None]
        for trace in self._traces:
            trace.after_cut = True
            trace.velocity = np.zeros(2)

    def _forget(self, start: int) -> None:
        """Drops who was away too long, and false alarms: faces that were not confirmed in time."""
        patience = 2 * self.settings.confirm_frames
        self._traces = [
            trace
            for trace in self._traces
            if seconds(start - trace.seen_at) <= self.settings.recall_seconds
            and (trace.person is not None or self._frames - trace.held[0][0] < patience)
        ]

    def _assigned(self, start: int, faces: list[Item]) -> list[tuple[_Trace[Item] | None, Item]]:
        """Each face with its trace, or None where it is new, so that the costs of all pairs add up to the least."""
        costs = np.full((len(self._traces), len(faces)), UNMATCHED)
        for row, trace in enumerate(self._traces):
            for column, face in enumerate(faces):
                costs[row, column] = self._cost(trace, face, start)
        rows, columns = linear_sum_assignment(costs)
        trace_of = {int(c): self._traces[r] for r, c in zip(rows, columns, strict=True) if costs[r, c] < UNMATCHED}
        return [(trace_of.get(column), face) for column, face in enumerate(faces)]

    def _cost(self, trace: _Trace[Item], face: Item, start: int) -> float:
        """What it costs to take a face for the next of a trace, UNMATCHED where it cannot be."""
        settings, gap = self.settings, seconds(start - trace.seen_at)
        if trace.after_cut and not self._same_shot(trace, face):
            return UNMATCHED
        coasted = settings.coast_seconds * (1 - math.exp(-gap / settings.coast_seconds))
        shift = trace.velocity * coasted
        size = math.sqrt(_size(trace.face) * _size(face))
        away = _centre(face) - _centre(trace.face)
        far = float(np.linalg.norm(away - shift)) / size
        stayed = float(np.linalg.norm(away)) / size  # who went away may also have stopped at once
        grown = abs(math.log(_size(face) / _size(trace.face)))
        if min(far, stayed) > min(settings.reach + settings.reach_per_second * gap, settings.reach_limit):
            return UNMATCHED
        if grown > min(settings.growth + settings.growth_per_second * gap, settings.growth_limit):
            return UNMATCHED
        expected = trace.face.box + np.array([*shift, 0, 0], np.float32)
        apart = 1 - float(box_iou(expected, face.box[None])[0])
        # Who is in view comes before who is away, and a known person before what may be a false alarm.
        rank = 0.25 * min(gap, 2.0) + (0.25 if trace.person is None else 0.0)
        return min(far + grown + apart + rank, 0.99 * UNMATCHED)

    def _same_shot(self, trace: _Trace[Item], face: Item) -> bool:
        if trace.thumbnail is None or self._thumbnail is None:
            return False
        back = _difference(trace.thumbnail, self._thumbnail) <= self.settings.cut_level
        return back and float(box_iou(trace.face.box, face.box[None])[0]) >= self.settings.shot_iou

    def _move(self, trace: _Trace[Item], face: Item, start: int) -> None:
        gap = seconds(start - trace.seen_at)
        measured = (_centre(face) - _centre(trace.face)) / gap
        if trace.after_cut:
            measured = np.zeros(2)
        share = 1 - math.exp(-gap / self.settings.velocity_seconds)
        trace.velocity = trace.velocity + share * (measured - trace.velocity)
        trace.face, trace.seen_at, trace.thumbnail, trace.after_cut = face, start, self._thumbnail, False


def _difference(one: Thumbnail, other: Thumbnail) -> float:
    if one.shape != other.shape:
        raise ShapeError(
            f"Tracker: a thumbnail of shape {one.shape} after one of {other.shape}; bring all to one size."
        )
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


def _centre(face: Located) -> Point:
    return np.asarray(face.box[:2] + face.box[2:] / 2, np.float64)


def _size(face: Located) -> float:
    """Side of a square as large as the box, at least one pixel."""
    return max(math.sqrt(max(float(face.box[2] * face.box[3]), 0.0)), 1.0)
