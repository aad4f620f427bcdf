"""Segments: consecutive rows of one person with the same status and emotion, as all formats and reports show them.

Rows become segments in three steps, each with a setting: hysteresis delays a change of the emotion, near segments of
one emotion are merged, and short ones are left out.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.errors import SettingsError

if TYPE_CHECKING:
    import pandas as pd


_SAME_SENTENCE = 1e-5  # seconds between two rows of one sentence, at most


@dataclass(frozen=True)
class SegmentSettings:
    """How rows become segments; by default every change of the table begins a segment.

    min_seconds: shorter segments of an emotion are left out, after merging.
    hysteresis: 0 to 1; an emotion ends when another one is more probable by at least this much.
    merge_seconds: segments of one emotion and status with at most this much between them become one, whatever is
        between them.

    Raises:
        SettingsError: a value is out of range.
    """

    min_seconds: float = 0.0
    hysteresis: float = 0.0
    merge_seconds: float = 0.0

    def __post_init__(self) -> None:
        for option, value in (("--min-segment", self.min_seconds), ("--merge-segments", self.merge_seconds)):
            if not 0 <= value < math.inf:
                raise SettingsError(f"{option} {value:g}: give a number of seconds, 0 or more.")
        if not 0 <= self.hysteresis <= 1:
            raise SettingsError(f"--hysteresis {self.hysteresis:g}: give a number from 0 to 1.")

    def __str__(self) -> str:
        """The settings in words, for the files that hold segments."""
        return (
            f"segments of at least {self.min_seconds:g} s, hysteresis {self.hysteresis:g}, "
            f"merged over at most {self.merge_seconds:g} s"
        )


class Segment(NamedTuple):
    """Consecutive rows of one person with the same status and emotion.

    person, name: None where there is none. start, end: seconds. emotion: None where there are no scores.
    confidence: mean probability of the emotion over its rows.
    """

    person: int | None
    start: float
    end: float
    status: str
    emotion: str | None
    confidence: float | None
    name: str | None = None

    @property
    def who(self) -> str:
        """The person, with the name if it is known, in one line; `voice` if it is not known who speaks."""
        return "voice" if self.person is None else one_line(f"person {self.person} {self.name or ''}")


class Sentence(NamedTuple):
    """Something that is said from `start` to `end`, in seconds, after the name of who says it, if that is known.

    status: "ok", or why it is not scored.
    """

    start: float
    end: float
    text: str
    status: str


class _Run(NamedTuple):
    """A segment with the numbers of its rows."""

    rows: tuple[int, ...]
    segment: Segment


def find_segments(rows: pd.DataFrame, labels: Sequence[str], settings: SegmentSettings | None = None) -> list[Segment]:
    """The segments of one person, in the order of time.

    Args:
        rows: the rows of one person, sorted by time, with the columns of a table of results.
        labels: names of the class columns.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"person": 1, "start": [0.0, 0.5, 1.0], "end": [0.5, 1.0, 1.5], "status": "ok",
    ...     "calm": [0.75, 0.25, 0.75], "cross": [0.25, 0.75, 0.25], "emotion": ["calm", "cross", "calm"]})
    >>> [(s.emotion, s.start, s.end) for s in find_segments(rows, ["calm", "cross"])]
    [('calm', 0.0, 0.5), ('cross', 0.5, 1.0), ('calm', 1.0, 1.5)]
    >>> find_segments(rows, ["calm", "cross"], SegmentSettings(merge_seconds=0.5))
    [Segment(person=1, start=0.0, end=1.5, status='ok', emotion='calm', confidence=0.75, name=None)]
    """
    settings = settings or SegmentSettings()
    if not len(rows):
        return []
    probabilities = rows[list(labels)].to_numpy(np.float64)
    emotions = [None if not isinstance(e, str) else e for e in rows["emotion"].tolist()]
    states = list(zip(rows["status"].tolist(), emotions, strict=True))
    if settings.hysteresis:
        states = _delayed(states, probabilities, list(labels), settings.hysteresis)
    runs = list(_runs(rows, states))
    if settings.merge_seconds:
        runs = _merged(runs, settings.merge_seconds)
    segments = [_with_confidence(run, probabilities, labels) for run in runs]
    # Rounded, so that a segment of exactly the minimum is kept.
    return [s for s in segments if s.emotion is None or round(s.end - s.start, 6) >= settings.min_seconds]


def find_sentences(rows: pd.DataFrame) -> list[Sentence]:
    """What is said in the rows of one person, in the order of time; nothing if the table has no words.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"start": [0.0, 0.5, 1.0], "end": [0.5, 1.0, 1.5], "words": ["Oh!", "Oh!", None],
    ...     "words_status": ["ok", "ok", None]})
    >>> find_sentences(rows)
    [Sentence(start=0.0, end=1.0, text='Oh!', status='ok')]
    """
    if "words" not in rows:
        return []
    found = list[Sentence]()
    speakers = rows["words_speaker"].tolist() if "words_speaker" in rows else [None] * len(rows)
    columns = (rows[name].tolist() for name in ("start", "end", "words", "words_status"))
    for speaker, *row in zip(speakers, *columns, strict=True):
        sentence = Sentence(*row)
        if not isinstance(sentence.text, str):
            continue
        named = f"{speaker}: {sentence.text}" if isinstance(speaker, str) else sentence.text
        sentence = sentence._replace(text=one_line(named))
        if found and found[-1].text == sentence.text and abs(found[-1].end - sentence.start) < _SAME_SENTENCE:
            found[-1] = found[-1]._replace(end=sentence.end)
        else:
            found.append(sentence)
    return found


_State = tuple[str, str | None]


def _delayed(
    states: list[_State], probabilities: NDArray[np.float64], labels: Sequence[str], hysteresis: float
) -> list[_State]:
    """The states of rows, in which an emotion lasts until another one is more probable by the hysteresis."""
    delayed: list[_State] = []
    for (status, emotion), row in zip(states, probabilities, strict=True):
        before, current = delayed[-1] if delayed else (None, None)
        if status == before and emotion in labels and current in labels:
            margin = row[labels.index(emotion)] - row[labels.index(current)]
            emotion = current if margin < hysteresis else emotion
        delayed.append((status, emotion))
    return delayed


def _runs(rows: pd.DataFrame, states: Sequence[_State]) -> Iterator[_Run]:
    start, end = rows["start"].to_numpy(np.float64), rows["end"].to_numpy(np.float64)
    person, name = person_of(rows)
    gaps = np.cumsum(np.concatenate([[0], np.abs(start[1:] - end[:-1]) > 1e-5]))
    for (_, (status, emotion)), run in groupby(range(len(states)), key=lambda n: (gaps[n], states[n])):
        numbers = tuple(run)
        first, last = float(start[numbers[0]]), float(end[numbers[-1]])
        yield _Run(numbers, Segment(person, first, last, status, emotion, None, name))


def person_of(rows: pd.DataFrame) -> tuple[int | None, str | None]:
    """The number and the name of the person of some rows."""
    import pandas as pd

    number, name = rows["person"].iloc[0], rows["name"].iloc[0] if "name" in rows else None
    return None if pd.isna(number) else int(number), name if isinstance(name, str) else None


def _merged(runs: Sequence[_Run], most: float) -> list[_Run]:
    """The runs, in which those of one emotion and status with at most `most` seconds between them are one."""
    merged: list[_Run] = []
    for run in runs:
        near = range(len(merged), _first_near(merged, run.segment.start - most), -1)
        same = (n - 1 for n in near if merged[n - 1].segment[3:5] == run.segment[3:5])
        n = next(same, None)
        if n is None or run.segment.emotion is None:
            merged.append(run)
        else:
            whole = merged[n].segment._replace(end=run.segment.end)
            merged[n:] = [_Run(merged[n].rows + run.rows, whole)]
    return merged


def _first_near(runs: Sequence[_Run], time: float) -> int:
    """The number of the first run that ends at or after a time in seconds."""
    return bisect_left(runs, round(time, 6), key=lambda run: round(run.segment.end, 6))


def _with_confidence(run: _Run, probabilities: NDArray[np.float64], labels: Sequence[str]) -> Segment:
    if run.segment.emotion is None:
        return run.segment
    rows = probabilities[list(run.rows)]
    # A label that is not a class, such as `uncertain`, has the probability of the most probable class.
    known = run.segment.emotion in labels
    values = rows[:, list(labels).index(run.segment.emotion)] if known else rows.max(axis=1)
    return run.segment._replace(confidence=float(values.mean()))


def who_of(rows: pd.DataFrame) -> str | None:
    """The person of some rows, as `Segment.who`; None without a person."""
    person, name = person_of(rows) if len(rows) else (None, None)
    return None if person is None else Segment(person, 0, 0, "", None, None, name).who


def milliseconds(time_seconds: float) -> int:
    """The nearest millisecond, in which subtitles and annotations count.

    >>> milliseconds(1.2345678)
    1235
    """
    return round(time_seconds * 1000)


def one_line(text: str) -> str:
    r"""A text in one line: characters that cannot be printed become spaces, and several spaces one.

    >>> one_line(" Anna\nB.\x00 ")
    'Anna B.'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
