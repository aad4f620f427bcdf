"""Persons of a whole file: those who turn out to be one are joined, and `--persons` chooses among them.

While a video is processed, a track is decided by its first faces. At the end of a file all faces of each person are
known, so persons are compared once more, by the mean cosine between all their faces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emofuse.errors import SettingsError
from emofuse.inference.persons import PHOTOGRAPH_MARGIN, PersonIdentity

AUTO, LARGEST = "auto", "largest"
_FORCED = 1 / 3  # of the threshold: persons who are less similar are not joined to reach a number
_UNKNOWN = 1 / 2  # of the threshold: similarity of a person without a face that can be compared
_SCALE = 0.08  # of cosines, in the confidence


@dataclass(frozen=True)
class PersonChoice:
    """Which persons of a file are in its table.

    count: at most so many; None for all. by_size: keep the one with the largest face, not the one who is seen longest.

    >>> PersonChoice.parse("2")
    PersonChoice(count=2, by_size=False)
    """

    count: int | None = None
    by_size: bool = False

    @classmethod
    def parse(cls, text: str | int) -> PersonChoice:
        """The choice that `--persons` asks for.

        Raises:
            SettingsError: it is neither `auto`, `largest`, nor a number from 1.
        """
        word = str(text).strip()
        if word in _CHOICES:
            return _CHOICES[word]
        if not word.isdecimal() or not int(word):
            raise SettingsError(f"--persons {word}: give {AUTO}, {LARGEST}, or the number of persons, from 1.")
        return cls(int(word))

    def __str__(self) -> str:
        return next((name for name, choice in _CHOICES.items() if choice == self), str(self.count))


_CHOICES = {AUTO: PersonChoice(), LARGEST: PersonChoice(1, by_size=True)}


@dataclass(frozen=True, eq=False)
class PersonFaces:
    """Where a person's face was found: indices of the frames int64 [n], and the sum of its heights in them."""

    frames: NDArray[np.int64]
    heights: float


@dataclass(frozen=True)
class FilePerson:
    """A person of a file.

    numbers: those that were given while the file was processed. name: in the photographs, if there is one.
    confidence: that it is one person, 0 to 1; None if its faces cannot be compared.
    """

    numbers: tuple[int, ...]
    name: str | None = None
    confidence: float | None = None


def file_persons(
    faces: Mapping[int, PersonFaces],
    identities: Sequence[PersonIdentity],
    *,
    threshold: float | None,
    choice: PersonChoice,
) -> list[FilePerson]:
    """The persons of a file in the order of their first numbers.

    Persons who are in one frame together are never joined, nor are those of two names. Where a count is asked for, the
    most similar persons are joined until so many are left; if those who remain are clearly different, the ones who are
    seen for longest are kept.

    Args:
        faces: by number.
        identities: of these persons, and of those in photographs; empty if the bundle cannot distinguish persons.
        threshold: cosine from which two faces belong to one person; None if the bundle cannot distinguish persons.
    """
    groups = _groups(faces, identities)
    if threshold is not None:
        _join(groups, threshold)
    groups = [group for group in groups if group.numbers]
    if choice.count is not None:
        if threshold is not None and not choice.by_size:
            _join(groups, _FORCED * threshold, down_to=choice.count, unknown=_UNKNOWN * threshold)
        groups.sort(key=lambda g: g.heights if choice.by_size else len(g.frames), reverse=True)
        del groups[choice.count :]
    found = [FilePerson(tuple(sorted(g.numbers)), g.name, g.confidence(threshold)) for g in groups]
    return sorted(found, key=lambda person: person.numbers)


@dataclass(eq=False)
class _Group:
    """Persons who are one. total: of all unit identities, by their weight."""

    numbers: list[int]
    frames: NDArray[np.int64]
    heights: float
    total: NDArray[np.float64]
    weight: float
    name: str | None

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.total / max(self.weight, 1e-9)

    def may_join(self, other: _Group) -> bool:
        named_apart = None not in (self.name, other.name)
        return not named_apart and not len(np.intersect1d(self.frames, other.frames, assume_unique=True))

    def join(self, other: _Group) -> None:
        self.numbers += other.numbers
        self.frames = np.union1d(self.frames, other.frames)
        self.heights, self.weight = self.heights + other.heights, self.weight + other.weight
        self.total, self.name = self.total + other.total, self.name or other.name

    def confidence(self, threshold: float | None) -> float | None:
        """A logistic function of the mean cosine between the faces: 0.5 at the threshold."""
        if threshold is None or not self.weight:
            return None
        return float(1 / (1 + np.exp((threshold - self.mean @ self.mean) / _SCALE)))


def _groups(faces: Mapping[int, PersonFaces], identities: Sequence[PersonIdentity]) -> list[_Group]:
    """One group for each person, and for each one in the photographs."""
    of_video = {each.number: each for each in identities if each.number is not None}
    size = len(identities[0].mean) if identities else 1
    groups = []
    for number, found in faces.items():
        each = of_video.get(number) or PersonIdentity(number, np.zeros(size, np.float32), 0.0)
        groups.append(_group(each, [number], found))
    nowhere = PersonFaces(np.empty(0, np.int64), 0.0)
    return groups + [_group(each, [], nowhere) for each in identities if each.number is None]


def _group(identity: PersonIdentity, numbers: list[int], found: PersonFaces) -> _Group:
    total = identity.mean.astype(np.float64) * identity.weight
    return _Group(numbers, np.unique(found.frames), found.heights, total, identity.weight, identity.name)


def _join(groups: list[_Group], threshold: float, *, down_to: int = 1, unknown: float = -1.0) -> None:
    """Join the most similar groups, while they are similar enough and there are more than `down_to`.

    unknown: similarity of two groups of which one has no face that can be compared.
    """
    while len(groups) > down_to and (pair := _most_similar(groups, threshold, unknown)) is not None:
        one, other = pair
        groups[one].join(groups.pop(other))


def _most_similar(groups: list[_Group], threshold: float, unknown: float) -> tuple[int, int] | None:
    """Indices of the most similar groups that may be joined, in increasing order."""
    means = np.stack([group.mean for group in groups])
    known = np.array([group.weight > 0 for group in groups])
    seen = np.array([bool(group.numbers) for group in groups])
    cosines = means @ means.T - PHOTOGRAPH_MARGIN * ~(seen[:, None] & seen)
    similar = np.where(known[:, None] & known, cosines, unknown)
    pairs = np.argwhere(np.triu(similar >= threshold, 1))
    order = np.argsort(-similar[pairs[:, 0], pairs[:, 1]], kind="stable")
    joinable = ((int(a), int(b)) for a, b in pairs[order] if groups[a].may_join(groups[b]))
    return next(joinable, None)
