"""What is drawn for a person into one frame of an annotated video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emofuse.core.colour import COLOURS, rgb_of
from emofuse.core.statuses import OK, TURNED, VOICE_ONLY
from emofuse.export.segments import one_line, person_of
from emofuse.media.images import Image
from emofuse.media.overlay import Box, FaceOverlay, blur, draw_face, draw_text, text_size

if TYPE_CHECKING:
    import pandas as pd

BOX = ("x", "y", "width", "height")  # columns
_GREY = (140, 140, 140)
_ROUNDED = 1e-6  # seconds, to which the times in tables are rounded
_BLURRED_GAP, _BLURRED_AROUND = 2.0, 0.5  # seconds without a face in which, and around which, it stays blurred

Floats = NDArray[np.float64]


def draw_persons(image: Image, persons: Sequence[PersonRows], time: float, *, blurred: bool) -> None:
    """Draw all persons into the image of a time in seconds, uint8 RGB [height, width, 3]; blur their faces before."""
    time += _ROUNDED
    for box in (person.blurred_box(time) for person in persons if blurred):
        if box is not None:
            blur(image, _pixels(box, image))
    _draw_lines(image, [line for person in persons if (line := person.draw(image, time)) is not None])


def _draw_lines(image: Image, lines: Sequence[str]) -> None:
    """Draw lines of text, the last one at the bottom of the image."""
    y = image.shape[0] - text_size(image) // 2
    for line in reversed(lines):
        y -= round(text_size(image) * 1.5)
        draw_text(image, line, text_size(image) // 2, y)


def _pixels(box: Box, image: Image) -> Box:
    """A box in fractions of the frame as one in pixels."""
    x, y, width, height = box
    return x * image.shape[1], y * image.shape[0], width * image.shape[1], height * image.shape[0]


@dataclass(frozen=True, eq=False)
class PersonRows:
    """The rows of one person.

    label: number and name. start, end: seconds [n]. boxes: fractions of the frame [n, 4], NaN without a face.
    probabilities: [n, classes].
    """

    label: str
    labels: Sequence[str]
    start: Floats
    end: Floats
    boxes: Floats
    statuses: Sequence[str]
    emotions: Sequence[str | None]
    probabilities: Floats

    @classmethod
    def of(cls, rows: pd.DataFrame, labels: Sequence[str]) -> PersonRows:
        number, name = person_of(rows)
        return cls(
            "" if number is None else one_line(f"{number} {name or ''}"),
            labels,
            rows["start"].to_numpy(np.float64),
            rows["end"].to_numpy(np.float64),
            rows[list(BOX)].to_numpy(np.float64, na_value=np.nan),
            rows["status"].tolist(),
            [e if isinstance(e, str) else None for e in rows["emotion"].tolist()],
            rows[list(labels)].to_numpy(np.float64, na_value=np.nan),
        )

    def draw(self, image: Image, time: float) -> str | None:
        """Draw the face at a time in seconds; returns the line of text for a voice without a face."""
        row = self._row(time)
        if row is None:
            return None
        status, box = self.statuses[row], self._box(row, time)
        text = f"{self.label} {self._text(row)}".strip()
        if box is None:
            return text if status == VOICE_ONLY else None
        bars = [
            (name, float(p), rgb_of(COLOURS[k % len(COLOURS)]))
            for k, (name, p) in enumerate(zip(self.labels, self.probabilities[row], strict=True))
            if status == OK
        ]
        draw_face(image, FaceOverlay(_pixels(box, image), text, self._colour(row), bars))
        return None

    def _text(self, row: int) -> str:
        emotion, status = self.emotions[row], self.statuses[row]
        if emotion is None:
            return status.replace("_", " ")
        known = emotion in self.labels
        values = self.probabilities[row]
        confidence = values[list(self.labels).index(emotion)] if known else values.max()
        return f"{'' if status == OK else 'voice only: '}{emotion} {confidence:.2f}"

    def _colour(self, row: int) -> tuple[int, int, int]:
        emotion = self.emotions[row]
        if self.statuses[row] == TURNED or emotion not in self.labels:
            return _GREY
        return rgb_of(COLOURS[list(self.labels).index(str(emotion)) % len(COLOURS)])

    def _row(self, time: float) -> int | None:
        row = int(np.searchsorted(self.start, time, side="right")) - 1
        return row if row >= 0 and time < self.end[row] + 2 * _ROUNDED else None

    def _box(self, row: int, time: float) -> Box | None:
        """The box at a time within a row, on its way to that of the next one; None without a face."""
        box = self.boxes[row]
        if np.isnan(box[0]):
            return None
        if row + 1 < len(self.start) and not np.isnan(self.boxes[row + 1, 0]):
            after = self.boxes[row + 1]
            near = np.abs(after[:2] - box[:2]).max() < box[2:].max()  # else the shot or the place has changed
            part = (time - self.start[row]) / (self.start[row + 1] - self.start[row])
            box = box + near * np.clip(part, 0, 1) * (after - box)
        return _as_box(box)

    def blurred_box(self, time: float) -> Box | None:
        """The box to blur at a time: also shortly before and after a face was found, and in short gaps."""
        found = np.flatnonzero(~np.isnan(self.boxes[:, 0]))
        if not len(found):
            return None
        after = int(np.searchsorted(self.start[found], time, side="right"))
        row, following = found[max(after - 1, 0)], found[min(after, len(found) - 1)]
        if self.start[row] <= time < self.end[row]:
            return self._box(int(row), time)
        if self.start[following] - self.end[row] <= _BLURRED_GAP and row != following:
            part = np.clip((time - self.start[row]) / (self.start[following] - self.start[row]), 0, 1)
            return _as_box(self.boxes[row] + part * (self.boxes[following] - self.boxes[row]))
        if 0 <= time - self.end[row] <= _BLURRED_AROUND:
            return _as_box(self.boxes[row])
        if 0 <= self.start[following] - time <= _BLURRED_AROUND:
            return _as_box(self.boxes[following])
        return None


def _as_box(values: Floats) -> Box:
    x, y, width, height = values.tolist()
    return x, y, width, height
