"""Statistics of each person, event and emotion, as one tidy table.

A row of a result counts for the part of it that lies in the event, so means and areas are integrals over time, whatever
the rate of rows; rows without duration (photographs) count equally. Rows without scores are left out, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.analysis.events import WHOLE, Event
from emofuse.analysis.person_rows import Doubles, PersonRows, person_rows
from emofuse.analysis.turns import Turn, find_turns
from emofuse.datasets.records import seconds_of
from emofuse.errors import DataError, SettingsError
from emofuse.export import ResultTable, Segment, SegmentSettings, find_segments

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("file", "person", "name", "event", "event_start", "event_end", "emotion")
_FIRST = re.compile(r"first\s+([\d.,:]+)\s*s?", re.IGNORECASE)
PERSON_MEAN = "person-mean"


@dataclass(frozen=True)
class Baseline:
    """What values are compared with: the person's mean from `start` to `end` (seconds), or over the whole file.

    >>> Baseline.parse("first 10s")
    Baseline(start=0.0, end=10.0)
    """

    start: float | None = None
    end: float | None = None

    @classmethod
    def parse(cls, text: str) -> Baseline:
        """`START-END`, `first 10s` or `person-mean`; times in seconds, mm:ss or hh:mm:ss.

        Raises:
            SettingsError: it is none of these.
        """
        if text == PERSON_MEAN:
            return cls()
        match = _FIRST.fullmatch(text.strip())
        start, _, end = ("0", "-", match[1]) if match else text.partition("-")
        times = [seconds_of(part) for part in (start, end)]
        if times[0] is None or times[1] is None or times[0] >= times[1]:
            raise SettingsError(f"--baseline {text}: give START-END (seconds), 'first 10s' or {PERSON_MEAN}.")
        return cls(float(times[0]), float(times[1]))


@dataclass(frozen=True)
class StatisticsSettings:
    """What is computed.

    threshold: 0 to 1, of the fraction of time above it. baseline: if there is one, changes from it are computed.
    segments: how rows become the segments that are counted.

    Raises:
        SettingsError: threshold is not from 0 to 1.
    """

    threshold: float = 0.5
    baseline: Baseline | None = None
    segments: SegmentSettings = field(default_factory=SegmentSettings)

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise SettingsError(f"--threshold {self.threshold:g}: give a probability from 0 to 1.")


class _Part(NamedTuple):
    """The scored rows of an event: when each begins within it, what it counts for, and its values."""

    start: Doubles
    weight: Doubles
    values: Doubles
    seconds: Doubles
    left_out: int

    def mean(self) -> Doubles:
        """Mean of each measure over time, NaN without rows."""
        total = self.weight.sum()
        return np.full(self.values.shape[1], np.nan) if total == 0 else self.weight @ self.values / total


def describe(
    results: Sequence[ResultTable], events: Sequence[Event] = (), settings: StatisticsSettings | None = None
) -> pd.DataFrame:
    """One row per person, event and emotion (and valence): means, extremes, segments, and changes from a baseline.

    Args:
        events: default: the whole of each file.
    Raises:
        DataError: an event has a column that the table has already, or no event is in any of the files.

    The columns are described in docs/commands.md.
    """
    import pandas as pd

    settings, chosen = settings or StatisticsSettings(), list(events) or [Event(WHOLE)]
    more = list(dict.fromkeys(column for event in chosen for column in event.columns))
    taken = [c for c in (*_COLUMNS, *_measures(settings)) if c in more]
    if taken:
        raise DataError(f"events: the column {taken[0]!r} is also one of the statistics; rename it.")
    if not any(event.is_in(result.file) for event in chosen for result in results):
        files = ", ".join(dict.fromkeys(str(event.file) for event in chosen[:3]))
        raise DataError(f"events: none is in one of the results; they are in {files}. Write the videos' names as file.")
    rows = [row for person in person_rows(results) for row in _person(person, chosen, settings)]
    table = pd.DataFrame(rows, columns=[*_COLUMNS[:-1], *more, _COLUMNS[-1], *_measures(settings)])
    return table.astype({"person": "Int64", "segments": "Int64", "turns": "Int64"})


def _measures(settings: StatisticsSettings) -> list[str]:
    names = ["mean", "minimum", "maximum", "time_to_maximum", "fraction_above", "area"]
    names += ["segments", "segment_seconds", "longest_segment", "seconds", "rows", "rows_left_out"]
    names += ["speaking_seconds", "turns", "mean_turn"]
    return names + (["baseline", "mean_change", "maximum_change", "area_change"] if settings.baseline else [])


def _person(person: PersonRows, events: Sequence[Event], settings: StatisticsSettings) -> Iterator[dict[str, Any]]:
    segments = find_segments(person.table, person.labels, settings.segments)
    base = None if settings.baseline is None else _part(person, settings.baseline.start, settings.baseline.end).mean()
    length, turns = float(person.end.max(initial=0.0)), find_turns(person)
    for event in (e for e in events if e.is_in(person.file)):
        start = event.start or 0.0
        end = max(length, start) if event.end is None else event.end
        part = _part(person, event.start, event.end)
        about: dict[str, Any] = {
            "file": person.shown,
            "person": person.person,
            "name": person.name,
            "event": event.name,
        }
        about |= {"event_start": start, "event_end": end, **event.columns}
        columns = _statistics(part, settings.threshold)
        if base is not None:
            columns |= {"baseline": base, "mean_change": columns["mean"] - base}
            columns |= {"maximum_change": columns["maximum"] - base}
            columns |= {"area_change": columns["area"] - base * part.seconds.sum()}
        for n, measure in enumerate(person.measures):
            counted = _counted(segments, measure, start, end) if measure in person.labels else {}
            spoken = {} if turns is None else _spoken(turns, start, end)
            yield {**about, "emotion": measure, **{k: v[n] for k, v in columns.items()}, **counted, **spoken}


def _part(person: PersonRows, start: float | None, end: float | None) -> _Part:
    """The rows of a person from `start` to `end`, the part of each that lies between them."""
    low, high = -np.inf if start is None else start, np.inf if end is None else end
    momentary = (person.start == person.end) | (low == high)
    inside = ((person.start < high) & (person.end > low)) | ((person.start == low) & momentary)
    used = inside & person.scored
    begin = np.maximum(person.start[used], low)
    seconds = np.minimum(person.end[used], high) - begin
    weight = seconds if seconds.any() else np.ones_like(seconds)
    origin = 0.0 if start is None else start
    return _Part(begin - origin, weight, person.values[used], seconds, int((inside & ~person.scored).sum()))


def _statistics(part: _Part, threshold: float) -> dict[str, NDArray[Any]]:
    """Statistics of each measure by the name of their column, each [measures]."""
    count, measures = part.values.shape
    missing = np.full(measures, np.nan)
    above = part.weight @ (part.values >= threshold)
    return {
        "mean": part.mean(),
        "minimum": part.values.min(axis=0) if count else missing,
        "maximum": part.values.max(axis=0) if count else missing,
        "time_to_maximum": part.start[part.values.argmax(axis=0)] if count else missing,
        "fraction_above": above / part.weight.sum() if count else missing,
        "area": part.seconds @ part.values,
        "seconds": np.full(measures, part.seconds.sum()),
        "rows": np.full(measures, count),
        "rows_left_out": np.full(measures, part.left_out),
    }


def _spoken(turns: Sequence[Turn], start: float, end: float) -> dict[str, Any]:
    """Seconds, number and mean duration of the parts of turns that lie in an event."""
    parts = [seconds for turn in turns if (seconds := turn.within(start, end)) > 0]
    mean = sum(parts) / len(parts) if parts else np.nan
    return {"speaking_seconds": sum(parts), "turns": len(parts), "mean_turn": mean}


def _counted(segments: Sequence[Segment], emotion: str, start: float, end: float) -> dict[str, Any]:
    """Number and duration of the parts of the segments of an emotion that lie in an event."""
    parts = [
        min(s.end, end) - max(s.start, start)
        for s in segments
        if s.emotion == emotion and s.start < max(end, start + 1e-9) and s.end > start
    ]
    return {"segments": len(parts), "segment_seconds": sum(parts), "longest_segment": max(parts, default=0.0)}
