"""Tracks faces from frame to frame, so that each person keeps a number.

Frames are pushed in the order of their time, at any rate; how far a face may move and how long it may be absent are
measured in seconds, so 5 and 30 frames per second lead to the same persons. Faces are distinguished by position and
size alone; `emofuse.inference.persons` joins tracks by identity. After a cut, positions mean nothing: a person is found
again only when the shot comes back.
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
from emofuse.faces.cuts import Thumbnail, is_cut
from emofuse.faces.detector import box_iou

Point = NDArray[np.float64]

# Distances are in face sizes (square root of the box area), ratios of sizes are natural logarithms.
RECALL_SECONDS = 3.0  # a person who is absent for longer gets a new number
# How far a face may be from its expected position, growing with the time since its detection; and its size.
REACH, REACH_PER_SECOND, REACH_LIMIT = 0.5, 2.0, 1.5
GROWTH, GROWTH_PER_SECOND, GROWTH_LIMIT = 0.4, 0.3, 0.7
VELOCITY_SECONDS = 0.2  # time constant of the average of velocities
COAST_SECONDS = 0.5  # time constant with which an undetected face is assumed to come to rest
SHOT_IOU = 0.4  # overlap with its last box by which a person is found again when the shot comes back
UNMATCHED = 4.0  # cost of leaving a face and a track unmatched; no allowed pair costs more


class Located(Protocol):
    """Anything with the box of a face: float32 [4], left, top, width and height in pixels."""

    @property
    def box(self) -> NDArray[np.float32]: ...


Item = TypeVar("Item", bound=Located)


@dataclass(frozen=True)
class TrackedFace(Generic[Item]):
    """One face of one person: `frame_index` counts the pushed frames from 0, `person` the persons from 1."""

    frame_index: int
    person: int
    face: Item


@dataclass(eq=False)
class _Track(Generic[Item]):
    """One face through time; `held` keeps its faces until it is confirmed as a person."""

    face: Item
    detected_at: int
    thumbnail: Thumbnail | None
    held: list[tuple[int, Item]]
    person: int | None = None
    velocity: Point = field(default_factory=lambda: np.zeros(2))  # pixels per second
    after_cut: bool = False

    def first(self) -> tuple[int, float]:
        """First frame and left edge in it: the order in which persons are numbered."""
        frame, face = self.held[0]
        return frame, float(face.box[0])


class Tracker(Generic[Item]):
    """Assigns the faces of successive frames to persons, numbered 1, 2, ... in the order they are confirmed.

    A face is held back until it was detected in `confirm_frames` frames; then all of them are returned at once. What
    `push` returns is at most `lookahead_frames` frames old. Memory does not grow with the video.

    Args:
        confirm_frames: frames with the face, among at most twice that number, until it counts as a person.
    Raises:
        SettingsError: confirm_frames is below 1.
    """

    def __init__(self, confirm_frames: int = 3) -> None:
        if confirm_frames < 1:
            raise SettingsError(f"Tracker: confirm_frames is {confirm_frames}; give 1 or more.")
        self._confirm_frames = confirm_frames
        self._tracks: list[_Track[Item]] = []
        self._frames = 0
        self._persons = 0
        self._now: int | None = None
        self._thumbnail: Thumbnail | None = None

    @property
    def lookahead_frames(self) -> int:
        """Once frame k was pushed, the frames before k - lookahead_frames are complete."""
        return 2 * self._confirm_frames - 1

    def push(self, start: int, faces: list[Item], *, thumbnail: Thumbnail | None = None) -> list[TrackedFace[Item]]:
        """Take the faces of the next frame; returns the faces assigned by now, in the order of frames, then persons.

        Args:
            start: the frame's time in ticks, after that of the frame before.
            faces: detected faces in pixels of frames of one size, or values that carry such a box; returned unchanged.
            thumbnail: of the frame, of one shape for all, to detect cuts. Without it no cut is detected.
        Raises:
            ShapeError: the frame is not later than the last one, or thumbnails change their shape.
        """
        if self._now is not None and start <= self._now:
            raise ShapeError(
                f"Tracker: a frame at tick {start} after one at {self._now}; push frames in the order of their time."
            )
        if thumbnail is not None and self._thumbnail is not None and is_cut(self._thumbnail, thumbnail):
            self._start_shot()
        self._drop_absent(start)
        self._now, self._thumbnail = start, thumbnail
        tracked = []
        for track, face in self._assigned(start, faces):
            if track is None:
                self._tracks.append(_Track(face, start, thumbnail, held=[(self._frames, face)]))
                continue
            self._move(track, face, start)
            if track.person is None:
                track.held.append((self._frames, face))
            else:
                tracked.append(TrackedFace(self._frames, track.person, face))
        ready = [t for t in self._tracks if t.person is None and len(t.held) >= self._confirm_frames]
        tracked += self._confirmed(ready)
        self._frames += 1
        return sorted(tracked, key=lambda s: (s.frame_index, s.person))

    def close(self) -> list[TrackedFace[Item]]:
        """End the video: returns the faces of a video that was too short to confirm any."""
        short = self._frames < self._confirm_frames
        tracked = self._confirmed([t for t in self._tracks if t.person is None]) if short else []
        self._tracks = []
        return sorted(tracked, key=lambda s: (s.frame_index, s.person))

    def _confirmed(self, tracks: list[_Track[Item]]) -> list[TrackedFace[Item]]:
        tracked = []
        for track in sorted(tracks, key=_Track.first):
            self._persons += 1
            track.person = self._persons
            tracked += [TrackedFace(frame, track.person, face) for frame, face in track.held]
            track.held = []
        return tracked

    def _start_shot(self) -> None:
        self._tracks = [track for track in self._tracks if track.person is not None]
        for track in self._tracks:
            track.after_cut = True
            track.velocity = np.zeros(2)

    def _drop_absent(self, start: int) -> None:
        """Drop persons who were absent for too long, and faces that were not confirmed in time."""
        patience = 2 * self._confirm_frames
        self._tracks = [
            track
            for track in self._tracks
            if seconds(start - track.detected_at) <= RECALL_SECONDS
            and (track.person is not None or self._frames - track.held[0][0] < patience)
        ]

    def _assigned(self, start: int, faces: list[Item]) -> list[tuple[_Track[Item] | None, Item]]:
        """Each face with its track, or None if it is new, so that the total cost of all pairs is minimal."""
        costs = np.full((len(self._tracks), len(faces)), UNMATCHED)
        for row, track in enumerate(self._tracks):
            for column, face in enumerate(faces):
                costs[row, column] = self._cost(track, face, start)
        rows, columns = linear_sum_assignment(costs)
        track_of = {int(c): self._tracks[r] for r, c in zip(rows, columns, strict=True) if costs[r, c] < UNMATCHED}
        return [(track_of.get(column), face) for column, face in enumerate(faces)]

    def _cost(self, track: _Track[Item], face: Item, start: int) -> float:
        """Cost of continuing a track with a face, UNMATCHED if that is not allowed."""
        gap = seconds(start - track.detected_at)
        if track.after_cut and not self._same_shot(track, face):
            return UNMATCHED
        coasted = COAST_SECONDS * (1 - math.exp(-gap / COAST_SECONDS))
        shift = track.velocity * coasted
        size = math.sqrt(_size(track.face) * _size(face))
        away = _centre(face) - _centre(track.face)
        far = float(np.linalg.norm(away - shift)) / size
        stayed = float(np.linalg.norm(away)) / size  # the person may also have stopped at once
        grown = abs(math.log(_size(face) / _size(track.face)))
        if min(far, stayed) > min(REACH + REACH_PER_SECOND * gap, REACH_LIMIT):
            return UNMATCHED
        if grown > min(GROWTH + GROWTH_PER_SECOND * gap, GROWTH_LIMIT):
            return UNMATCHED
        expected = track.face.box + np.array([*shift, 0, 0], np.float32)
        apart = 1 - float(box_iou(expected, face.box[None])[0])
        # Persons in view come before absent ones, and confirmed persons before possible false positives.
        rank = 0.25 * min(gap, 2.0) + (0.25 if track.person is None else 0.0)
        return min(far + grown + apart + rank, 0.99 * UNMATCHED)

    def _same_shot(self, track: _Track[Item], face: Item) -> bool:
        if track.thumbnail is None or self._thumbnail is None:
            return False
        back = not is_cut(track.thumbnail, self._thumbnail)
        return back and float(box_iou(track.face.box, face.box[None])[0]) >= SHOT_IOU

    def _move(self, track: _Track[Item], face: Item, start: int) -> None:
        gap = seconds(start - track.detected_at)
        measured = (_centre(face) - _centre(track.face)) / gap
        if track.after_cut:
            measured = np.zeros(2)
        weight = 1 - math.exp(-gap / VELOCITY_SECONDS)
        track.velocity = track.velocity + weight * (measured - track.velocity)
        track.face, track.detected_at, track.thumbnail, track.after_cut = face, start, self._thumbnail, False


def _centre(face: Located) -> Point:
    return np.asarray(face.box[:2] + face.box[2:] / 2, np.float64)


def _size(face: Located) -> float:
    """Side of a square with the area of the box, at least one pixel."""
    return max(math.sqrt(max(float(face.box[2] * face.box[3]), 0.0)), 1.0)
