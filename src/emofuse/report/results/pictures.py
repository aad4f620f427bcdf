"""Small pictures of persons, cut from their video."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.analysis.person_rows import PersonRows
from emofuse.core.time import seconds, ticks
from emofuse.errors import EmofuseError
from emofuse.export import Segment
from emofuse.media.container import AUDIO_SUFFIXES
from emofuse.media.images import IMAGE_SUFFIXES, Image, encode_jpeg, luma_of, read_image
from emofuse.media.stills import Stills

_SIZE = 112  # pixels
_GOOD_ENOUGH = 0.9  # of the largest face of a person, or the highest probability of a segment
_MARGIN = 0.35  # around the face, as a fraction of its box
_MOST_PERSONS, _MOST_SEGMENTS = 12, 6  # of a file with pictures


class Picture(NamedTuple):
    """A JPEG as a data URL, and its mean luma, 0 to 255."""

    url: str
    luma: float


# A function of a person, the boxes of its face [n, 4] and a segment (or None for the person's best row).
Still = Callable[[PersonRows, NDArray[np.float64], "Segment | None"], "Picture | None"]


class PictureSource(Protocol):
    """Where the pictures of a page are from."""

    def of(self, media: Path | None, persons: int) -> AbstractContextManager[Still]:
        """The function that returns pictures of some persons of a file."""
        ...


class SavedPicture(NamedTuple):
    """A picture of a person, at the start of a segment (seconds) or, if that is None, of the whole file."""

    person: int | None
    start: float | None
    picture: Picture


class SavedPictures:
    """Pictures that were cut before, of one file.

    merge: the number of the person that each merged one is part of, who has its pictures then.
    """

    def __init__(self, pictures: Sequence[SavedPicture], merge: Mapping[int, int]) -> None:
        self._pictures = sorted(pictures, key=lambda saved: saved.person in merge)
        self._merge = merge

    @contextmanager
    def of(self, media: Path | None, persons: int) -> Iterator[Still]:
        """The function that finds pictures; it returns None where there is none."""

        def still(person: PersonRows, boxes: NDArray[np.float64], segment: Segment | None) -> Picture | None:
            own = [s for s in self._pictures if self._merge.get(s.person or 0, s.person) == person.person]
            if segment is None:
                return next((saved.picture for saved in own if saved.start is None), None)
            within = (s for s in own if s.start is not None and segment.start <= s.start < segment.end)
            return next((saved.picture for saved in within), None)

        yield still


class RecordedPictures:
    """Pictures for a page of one file that are remembered, to be saved."""

    def __init__(self) -> None:
        self.saved: list[SavedPicture] = []
        self._pictures = Pictures(few=True)

    @contextmanager
    def of(self, media: Path | None, persons: int) -> Iterator[Still]:
        """The function that cuts pictures."""
        with self._pictures.of(media, persons) as still:

            def recorded(person: PersonRows, boxes: NDArray[np.float64], segment: Segment | None) -> Picture | None:
                picture = still(person, boxes, segment)
                if picture is not None:
                    start = None if segment is None else segment.start
                    self.saved.append(SavedPicture(person.person, start, picture))
                return picture

            yield recorded


class Pictures:
    """Pictures for a page, as data URLs. few: whether the page has few files, so that segments have pictures too."""

    def __init__(self, *, few: bool) -> None:
        self._few = few

    @contextmanager
    def of(self, media: Path | None, persons: int) -> Iterator[Still]:
        """The function that cuts pictures of some persons from a file; it returns None where there is no picture."""
        suffix = "" if media is None else media.suffix.lower()
        if media is None or suffix in AUDIO_SUFFIXES:
            yield lambda person, boxes, segment: None
            return
        each = -(-_MOST_SEGMENTS // max(persons, 1)) if self._few else 0
        taken = Counter[tuple[int | None, bool]]()
        try:
            opened = None if suffix in IMAGE_SUFFIXES else Stills(media)
            photograph = read_image(media) if opened is None else None
        except EmofuseError:
            yield lambda person, boxes, segment: None
            return

        def still(person: PersonRows, boxes: NDArray[np.float64], segment: Segment | None) -> Picture | None:
            row, good = _candidates(person, boxes, segment)
            kind, most = (person.person, segment is not None), 1 if segment is None else each
            if not good.any() or taken[kind] >= most or len(taken) > 2 * _MOST_PERSONS:
                return None
            taken[kind] += 1
            if photograph is not None:
                return _cut(photograph, boxes[row])
            return None if opened is None else _from_video(opened, person, boxes, row, good)

        try:
            yield still
        finally:
            if opened is not None:
                opened.__exit__()


def _candidates(
    person: PersonRows, boxes: NDArray[np.float64], segment: Segment | None
) -> tuple[int, NDArray[np.bool_]]:
    """The best row for a picture, and all that are good enough: the surest of a segment, or the largest of a person."""
    found = ~np.isnan(boxes).any(axis=1) & person.scored
    quality = np.nan_to_num(boxes[:, 3])
    if segment is not None:
        found &= (person.start >= segment.start - 1e-6) & (person.start < max(segment.end, segment.start + 1e-6))
        quality = np.nan_to_num(person.values[:, : len(person.labels)]).max(axis=1, initial=0)
    quality = np.where(found, quality, -1)
    return int(quality.argmax()) if len(quality) else -1, found & (quality >= _GOOD_ENOUGH * quality.max(initial=0))


def _from_video(
    video: Stills, person: PersonRows, boxes: NDArray[np.float64], row: int, good: NDArray[np.bool_]
) -> Picture | None:
    """The face in the first frame in a good row, from the key frame before the best one on: the least to decode."""

    def row_at(time: int) -> int:
        n = int(np.searchsorted(person.start, seconds(time) + 1e-6, side="right")) - 1
        return n if n >= 0 and good[n] else -1

    frame = video.near(ticks(float(person.start[row])), lambda time: row_at(time) >= 0)
    return None if frame is None else _cut(frame.rgb(), boxes[row_at(frame.start)])


def _cut(image: Image, box: NDArray[np.float64]) -> Picture | None:
    """A square around a box (left, top, width and height as fractions of the image)."""
    height, width = image.shape[:2]
    x, y = (box[0] + box[2] / 2) * width, (box[1] + box[3] / 2) * height
    half = max(box[2] * width, box[3] * height) * (1 + _MARGIN) / 2
    left, right = max(int(x - half), 0), min(int(x + half) + 1, width)
    top, bottom = max(int(y - half), 0), min(int(y + half) + 1, height)
    if right - left < 2 or bottom - top < 2:
        return None
    scale = _SIZE / max(right - left, bottom - top)
    size = (max(round((right - left) * scale), 1), max(round((bottom - top) * scale), 1))
    small = np.asarray(cv2.resize(image[top:bottom, left:right], size, interpolation=cv2.INTER_AREA), np.uint8)
    url = "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(small, quality=80)).decode()
    return Picture(url, float(luma_of(small).mean()))
