"""Who is who: tracks of faces are joined to persons by the identities of their faces.

A track is what the tracker follows by position: a cut ends it, and so does a face that is absent for long. Its first
faces are compared with the persons known so far: it continues the most similar person who is not in view, or begins a
new one. A face that fits its person badly, or another one better, makes the faces that follow wait until there are
enough of them to decide again. So persons keep their numbers over cuts and gaps, and do not swap when they cross.

Identities are compared by the mean cosine between the faces of one and of the other: the dot product of their means.
A person is remembered by means of a few groups of similar faces, such as turned ones. Poor faces count little or not at
all. Faces wait at most `HOLD_SECONDS`, or for as long as a track needs to be decided, and a number that was returned
never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from emofuse.core.time import ticks
from emofuse.faces.detector import Face
from emofuse.faces.pose import HeadPose
from emofuse.faces.tracker import RECALL_SECONDS
from emofuse.inference.face_stages import ScoredFace
from emofuse.inference.sampling import Sampling

Floats = NDArray[np.float32]

HOLD_SECONDS = 1.0
VIEWS = 4  # means that are kept of a person
_RECALL = ticks(RECALL_SECONDS)
_NEW_VIEW = 0.2  # a face less similar than the threshold plus this begins another mean
_VIEW_WEIGHT = 200.0  # beyond this weight of faces, the earliest count less and less
_SAME_PLACE = 0.05  # a face where a person is expected may be this much less similar than the threshold
_CONTINUOUS = ticks(0.5)  # a face this long after the one before it may have changed by any amount
_RECENT = 0.5  # weight of the latest face in the mean of a track's recent ones
# A face must be so much more similar to photographs than to faces of the video: a wrong name is worse than none.
PHOTOGRAPH_MARGIN = 0.1
_LEAD = 0.1  # by which another person must be more similar than the expected one
_LEAST_WEIGHT = 0.25  # of a face that is compared

# From no weight to full weight: score of the detector, height of the face in pixels, yaw in degrees.
_SCORES, _HEIGHTS, _YAWS = (0.4, 0.8), (16.0, 56.0), (60.0, 35.0)


@dataclass(frozen=True, eq=False)
class PersonIdentity:
    """What is known of a person: the mean of the unit identities float32 [d], and the sum of their weights.

    number: None for a person of the photographs who was not recognised. name: None for a person of the video alone.
    """

    number: int | None
    mean: Floats
    weight: float
    name: str | None = None


@dataclass(eq=False)
class _Mean:
    """A weighted mean of unit vectors; its dot product with another mean is the mean cosine between the members."""

    total: NDArray[np.float64]
    weight: float = 0.0

    def add(self, unit: Floats, weight: float) -> None:
        self.total += weight * unit.astype(np.float64)
        self.weight += weight

    @property
    def value(self) -> Floats:
        return (self.total / max(self.weight, 1e-9)).astype(np.float32)


@dataclass(eq=False)
class _Person:
    """A person in the row of the gallery with the same index.

    recognised_at: start of the last comparable face. continued: index of the person whom a track turned out to show
    after faces of this one that could not be compared.
    """

    overall: _Mean
    number: int | None = None
    name: str | None = None
    recognised_at: int = -1
    continued: int | None = None


@dataclass(eq=False)
class _Track:
    """A track of the tracker, and the index of its person: decided, or expected by its position while faces wait.

    recent: mean of the latest comparable faces. evidence: of those that wait.
    """

    evidence: _Mean
    recent: Floats
    last: int
    person: int | None = None
    decided: bool = False
    held: list[ScoredFace] = field(default_factory=list)
    compared: int = 0  # faces in `evidence`


class _Gallery:
    """The views of all persons: weighted means of unit identities, float32 [persons, VIEWS, d]."""

    def __init__(self, threshold: float) -> None:
        self._new_view = threshold + _NEW_VIEW
        self._weights = np.zeros((0, VIEWS), np.float32)
        self._means = np.zeros((0, VIEWS, 0), np.float32)
        self._count = 0

    def append(self, size: int) -> None:
        """Add a person without views; identities have `size` numbers."""
        if self._count == len(self._weights):
            more = max(8, self._count)
            self._weights = np.concatenate([self._weights, np.zeros((more, VIEWS), np.float32)])
            means = self._means.reshape(self._count, VIEWS, size)
            self._means = np.concatenate([means, np.zeros((more, VIEWS, size), np.float32)])
        self._count += 1

    def similarities(self, vector: Floats) -> Floats:
        """Of a mean of identities with every person: with the view that is most similar, [persons]."""
        if not self._count:
            return np.zeros(0, np.float32)
        return np.asarray((self._means[: self._count] @ vector).max(axis=1))

    def add(self, person: int, unit: Floats, weight: float) -> None:
        means, weights = self._means[person], self._weights[person]
        similar = np.where(weights > 0, means @ unit, -1)
        view, empty = int(similar.argmax()), np.flatnonzero(weights == 0)
        if len(empty) and similar[view] < self._new_view:
            view = int(empty[0])
        weights[view] = min(weights[view] + weight, _VIEW_WEIGHT)
        means[view] += weight / weights[view] * (unit - means[view])


class PersonStage:
    """Turns tracks into persons, for one video; between scoring and smoothing.

    Args:
        threshold: cosine from which two faces belong to one person.
        sampling: tracks are decided by as many comparable faces as confirm a track.
        known: names with identities of their photographs, float32 [n, d].

    lookahead: ticks by which a face may wait.
    """

    def __init__(self, threshold: float, sampling: Sampling, *, known: Mapping[str, Floats] | None = None) -> None:
        self._threshold, self._enough = threshold, sampling.confirm_frames
        needed = 0 if sampling.rate_hz is None else sampling.bound(self._enough)
        self.lookahead = max(ticks(HOLD_SECONDS), needed)
        self._gallery = _Gallery(threshold)
        self._persons: list[_Person] = []
        self._tracks: dict[int, _Track] = {}
        self._numbers = 0
        for name, identities in (known or {}).items():
            person = self._new_person(identities.shape[1], name=name)
            for identity in identities:
                self._learn(person, _unit(identity), 1.0)

    @property
    def identities(self) -> list[PersonIdentity]:
        """What is known by now of each person, those of the photographs first."""
        known = []
        for person in self._persons:
            source = person if person.continued is None else self._persons[person.continued]
            known.append(PersonIdentity(person.number, source.overall.value, source.overall.weight, person.name))
        return known

    def person_of(self, track: int) -> tuple[int, str | None] | None:
        """The number and the name of the person of a track; None while it is not decided."""
        found = self._tracks.get(track)
        if found is None or not found.decided or found.person is None:
            return None
        person = self._persons[found.person]
        return None if person.number is None else (person.number, person.name)

    def push(self, faces: Iterable[ScoredFace], complete: int) -> tuple[list[ScoredFace], int]:
        """Take faces whose `person` is the number of a track; returns those with the number of a person that are ready,
        and the time (ticks) before which all have been returned, if all before `complete` were pushed."""
        ready: list[ScoredFace] = []
        for face in faces:
            ready += self._decide_until(face.start)
            ready += self._take(face)
        ready += self._decide_until(complete)
        self._tracks = {n: t for n, t in self._tracks.items() if t.held or t.last > complete - _RECALL - self.lookahead}
        waiting = (track.held[0].start for track in self._tracks.values() if track.held)
        return sorted(ready, key=lambda face: (face.start, face.person)), min(waiting, default=complete)

    def close(self) -> list[ScoredFace]:
        """Return the faces that are left."""
        ready = self._decide_until(None)
        return sorted(ready, key=lambda face: (face.start, face.person))

    def _decide_until(self, time: int | None) -> list[ScoredFace]:
        """Decide the tracks whose faces cannot wait any longer."""
        waiting = sorted((t for t in self._tracks.values() if t.held), key=lambda t: t.held[0].start)
        late = [t for t in waiting if time is None or t.held[0].start + self.lookahead <= time]
        return [face for track in late for face in self._decide(track)]

    def _take(self, face: ScoredFace) -> list[ScoredFace]:
        assert face.identity is not None
        track = self._tracks.get(face.person)
        if track is None:
            size = len(face.identity)
            track = _Track(_Mean(np.zeros(size)), np.zeros(size, np.float32), face.start)
            self._tracks[face.person] = track
        unit, weight = _unit(face.identity), face_weight(face.face, face.pose)
        gradual = face.start - track.last <= _CONTINUOUS and float(unit @ track.recent) >= self._threshold
        track.last = face.start
        if weight >= _LEAST_WEIGHT:
            track.recent = track.recent + _RECENT * (unit - track.recent)
        if track.decided and (weight < _LEAST_WEIGHT or self._fits(track.person, unit, gradual=gradual)):
            assert track.person is not None
            return [self._assigned(track.person, face, unit, weight)]
        if track.decided:
            track.decided, track.compared, track.evidence = False, 0, _Mean(np.zeros(len(unit)))
        track.held.append(face)
        if weight >= _LEAST_WEIGHT:
            track.evidence.add(unit, weight)
            track.compared += 1
        return self._decide(track) if track.compared >= self._enough else []

    def _fits(self, person: int | None, unit: Floats, *, gradual: bool) -> bool:
        """Whether a face is similar to its person, or to the track's last faces, and to no other one clearly more."""
        similar = self._gallery.similarities(unit)
        own = similar[person]
        return bool((gradual or own >= self._threshold) and similar.max() <= own + _LEAD)

    def _decide(self, track: _Track) -> list[ScoredFace]:
        """Choose the person of a track; returns its faces that waited."""
        start, held, expected = track.held[0].start, track.held, track.person
        free = np.array([person.recognised_at < start for person in self._persons], bool)
        margin = PHOTOGRAPH_MARGIN * np.array(
            [person.number is None and person.name is not None for person in self._persons]
        )
        similar = np.where(free, self._gallery.similarities(track.evidence.value) - margin, -1)
        chosen = int(similar.argmax()) if len(similar) and similar.max() >= self._threshold else None
        if expected is not None and free[expected]:
            own, unknown = similar[expected], not self._persons[expected].overall.weight
            stays = unknown or not track.compared or own >= self._threshold - _SAME_PLACE
            if stays and (chosen is None or similar[chosen] <= own + _LEAD):
                chosen = expected
            elif unknown:
                self._persons[expected].continued = chosen
        if chosen is None:
            chosen = self._new_person(len(track.evidence.total))
        track.person, track.decided, track.held = chosen, True, []
        return [self._assigned(chosen, f, _unit(f.identity), face_weight(f.face, f.pose)) for f in held]

    def _assigned(self, index: int, face: ScoredFace, unit: Floats, weight: float) -> ScoredFace:
        person = self._persons[index]
        if person.number is None:
            self._numbers += 1
            person.number = self._numbers
        if weight >= _LEAST_WEIGHT:
            person.recognised_at = max(person.recognised_at, face.start)
            self._learn(index, unit, weight)
        return replace(face, person=person.number)

    def _learn(self, index: int, unit: Floats, weight: float) -> None:
        self._persons[index].overall.add(unit, weight)
        self._gallery.add(index, unit, weight)

    def _new_person(self, size: int, *, name: str | None = None) -> int:
        self._persons.append(_Person(_Mean(np.zeros(size)), name=name))
        self._gallery.append(size)
        return len(self._persons) - 1


def face_weight(face: Face, pose: HeadPose | None = None) -> float:
    """How much the identity of a face counts, 0 to 1: little for faces that are small, turned, or hardly detected.

    >>> face_weight(Face(np.float32([0, 0, 60, 60]), 0.9)), face_weight(Face(np.float32([0, 0, 12, 12]), 0.9))
    (1.0, 0.0)
    """
    weight = _ramp(face.score, _SCORES) * _ramp(float(face.box[3]), _HEIGHTS)
    return weight if pose is None else weight * _ramp(abs(pose.yaw), _YAWS)


def _ramp(value: float, limits: tuple[float, float]) -> float:
    none, full = limits
    return float(np.clip((value - none) / (full - none), 0, 1))


def _unit(identity: Floats | None) -> Floats:
    assert identity is not None
    return np.asarray(identity / max(float(np.linalg.norm(identity)), 1e-9), np.float32)
