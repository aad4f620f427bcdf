"""Whether events, baseline and windows of synchrony lie within the results that they are asked of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from emofuse.analysis.events import Event
from emofuse.analysis.person_rows import PersonRows, person_rows
from emofuse.analysis.statistics import Baseline
from emofuse.analysis.synchrony import SynchronySettings
from emofuse.errors import DataError, SettingsError
from emofuse.export import ResultTable

_NAMED = 3  # of what lies outside; the others are counted


def check_coverage(
    results: Sequence[ResultTable],
    events: Sequence[Event] = (),
    *,
    baseline: Baseline | None = None,
    pairs: SynchronySettings | None = None,
) -> list[str]:
    """What lies outside some of the results, a line each: events, the baseline, and windows of synchrony.

    Raises:
        DataError: every event lies outside.
        SettingsError: the baseline lies outside all results, or none has two persons to compare.
    """
    files = {name: list(rows) for name, rows in groupby(person_rows(results), key=lambda person: person.shown) if name}
    spans = {name: span for name, persons in files.items() if (span := _span(persons)) is not None}
    notes = list[str]()
    if baseline is not None and baseline.start is not None and baseline.end is not None and spans:
        wanted = baseline.start, baseline.end
        outside = [_of(name, span) for name, span in spans.items() if not _meets(span, *wanted)]
        stated = f"the baseline ({_times(*wanted)}) lies outside {_listed(outside)}"
        if len(outside) == len(spans):
            raise SettingsError(f"--baseline: {stated}; give a part of the files.")
        notes += [f"{stated}, so there are no changes."] if outside else []
    inside, outside = _placed(events, files, spans)
    if outside:
        if not inside:
            raise DataError(f"--events: none lies within its file: {_listed(outside)}; check their times.")
        notes.append(f"events without rows: {_listed(outside)}.")
    if pairs is not None:
        notes += _pair_notes(files, spans, pairs)
    return notes


def _placed(
    events: Sequence[Event], files: dict[str, list[PersonRows]], spans: dict[str, tuple[float, float]]
) -> tuple[int, list[str]]:
    """How many events lie within a file, and those that lie outside."""
    inside, outside = 0, list[str]()
    for event in events:
        for name, span in spans.items():
            if not event.is_in(files[name][0].file):
                continue
            start, end = event.start or 0.0, span[1] if event.end is None else event.end
            if event.start is None or _meets(span, start, end):
                inside += 1
            else:
                outside.append(f"{event.name} ({_times(start, end)}) is outside {_of(name, span)}")
    return inside, outside


def _pair_notes(
    files: dict[str, list[PersonRows]], spans: dict[str, tuple[float, float]], pairs: SynchronySettings
) -> Iterator[str]:
    """The files that windows do not fit into."""
    several = [name for name, persons in files.items() if len(persons) > 1]
    if not several:
        raise SettingsError("--synchrony: no result has two persons; leave it out.")
    short = [name for name in several if name not in spans or spans[name][1] < pairs.window_seconds]
    if short:
        found = [_of(name, spans[name]) if name in spans else f"{name} (no rows)" for name in short]
        yield f"windows of {pairs.window_seconds:g} s are longer than {_listed(found)}; give a shorter --window."


def _span(persons: Sequence[PersonRows]) -> tuple[float, float] | None:
    """Where the rows of a file begin and end, in seconds; None without rows."""
    rows = [person for person in persons if len(person.start)]
    return (min(p.start.min() for p in rows), max(p.end.max() for p in rows)) if rows else None


def _meets(span: tuple[float, float], start: float, end: float) -> bool:
    momentary = start == end or span[0] == span[1]
    return (span[0] < end and start < span[1]) or (momentary and span[0] <= start <= span[1])


def _times(start: float, end: float) -> str:
    return f"{start:g} to {end:g} s"


def _of(name: str, span: tuple[float, float]) -> str:
    return f"{name} ({span[0]:g} to {span[1]:g} s)"


def _listed(places: Sequence[str]) -> str:
    more = len(places) - _NAMED
    return ", ".join(places[:_NAMED]) + (f" and {more} more" if more > 0 else "")
