"""Events in time: read from CSV and Excel tables, ELAN, exports of BORIS, and WebVTT or SRT subtitles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from emofuse.core.files import printable
from emofuse.core.registry import nearest
from emofuse.datasets.records import TABLE_SUFFIXES, column_name, read_records, seconds_of
from emofuse.datasets.tables import END_COLUMNS, START_COLUMNS
from emofuse.errors import DataError, SettingsError
from emofuse.words.subtitles import SUBTITLE_SUFFIXES, subtitle_cues

WHOLE = "whole"  # name of the event that is the whole file
_NAMES, _FILES = ("name", "event", "label", "condition", "behavior"), ("file", "video", "media_file_name", "media_file")
_STARTS, _ENDS = (*START_COLUMNS, "start_(s)", "start_seconds"), (*END_COLUMNS, "stop_(s)", "end_seconds")
_REMEDY = "give a table with the columns name, start and end, an .eaf file, an export of BORIS, or a .vtt file"


@dataclass(frozen=True)
class Event:
    """Something that happens in a video from `start` to `end`, in seconds; None is the start or the end of the video.

    file: name of the only video that it is in; None for every video. columns: further cells of its table, as text.
    """

    name: str
    start: float | None = None
    end: float | None = None
    file: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def is_in(self, file: str) -> bool:
        """Whether it is in a video, by its name with or without folders and extension."""
        if self.file is None:
            return True
        name = re.split(r"[/\\]", self.file)[-1]
        return name in (file, Path(file).stem)


class _Span(NamedTuple):
    """Where an event was found (line or identifier), and its start and end as text."""

    place: str
    start: str
    end: str


def read_events(path: str | Path, *, tier: str | None = None) -> list[Event]:
    """The events in a file.

    A table has the columns `name`, `start` and `end` (seconds, mm:ss or hh:mm:ss; an empty cell is the start or the
    end of the video), and may have `file`. Its other columns are kept. Tabular and aggregated events of BORIS are
    recognised by their columns. Annotations of ELAN have a column `tier`.

    Args:
        tier: of an ELAN file, the only one to read.
    Raises:
        DataError: the file cannot be read, has no events, or an event ends before it starts.
        SettingsError: there is no such tier.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".eaf":
        events = _elan(path, tier)
    elif tier is not None:
        raise SettingsError(f"--tier {tier}: {printable(path)} has no tiers; leave the option out.")
    elif suffix in SUBTITLE_SUFFIXES:
        events = list(_subtitles(path))
    elif suffix in TABLE_SUFFIXES:
        events = _table(path)
    else:
        raise DataError(f"{printable(path)}: is no file of events; {_REMEDY}.")
    if not events:
        raise DataError(f"{printable(path)}: holds no events; {_REMEDY}.")
    return events


def _table(path: Path) -> list[Event]:
    records = [(line, cells) for line, cells in read_records(path, remedy=_REMEDY) if any(cells)]
    header = [column_name(cell) for cell in records[0][1]] if records else []
    rows = [(line, dict(zip(header, cells, strict=False))) for line, cells in records[1:]]
    if {"behavior", "behavior_type", "time"} <= set(header):
        return list(_boris(path, rows))
    name, start, end, file = (next((c for c in known if c in header), "") for known in (_NAMES, _STARTS, _ENDS, _FILES))
    for found, column in ((name, "name"), (start, "start"), (end, "end")):
        if not found:
            has = ", ".join(c for c in header if c) or "nothing"
            raise DataError(f"{printable(path)}: no column {column!r}, found {has}; {_REMEDY}.")
    events = []
    for line, cells in rows:
        more = {c: cells.get(c, "") for c in header if c and c not in (name, start, end, file)}
        span = _Span(f"line {line}", cells.get(start, ""), cells.get(end, ""))
        events.append(_event(path, cells.get(name, ""), span, cells.get(file) or None, more))
    return events


def _boris(path: Path, rows: Sequence[tuple[int, Mapping[str, str]]]) -> Iterator[Event]:
    """Tabular events: a start and a stop of each behaviour and subject, or a point."""
    started: dict[tuple[str, str, str], tuple[int, str]] = {}
    for line, cells in rows:
        name, file, subject = (cells.get(column, "") for column in ("behavior", "media_file_name", "subject"))
        key, kind, more = (name, file, subject), cells["behavior_type"].upper(), {"subject": subject}
        if kind == "START":
            started[key] = (line, cells["time"])
            continue
        if kind == "STOP" and key not in started:
            raise DataError(f"{printable(path)}: line {line}: {name!r} stops without a start; mend it in BORIS.")
        first, start = started.pop(key) if kind == "STOP" else (line, cells["time"])
        yield _event(path, name, _Span(f"line {first}", start, cells["time"]), file or None, more)
    for (name, _, _), (line, _) in started.items():
        raise DataError(f"{printable(path)}: line {line}: {name!r} starts without a stop; mend it in BORIS.")


def _elan(path: Path, wanted: str | None) -> list[Event]:
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise DataError(f"{printable(path)}: cannot be read as an ELAN file ({error}); save it again.") from None
    slots = {s.get("TIME_SLOT_ID"): s.get("TIME_VALUE") for s in root.iter("TIME_SLOT")}
    aligned = {a.get("ANNOTATION_ID"): a for a in root.iter("ALIGNABLE_ANNOTATION")}
    referring = {a.get("ANNOTATION_ID"): a.get("ANNOTATION_REF") for a in root.iter("REF_ANNOTATION")}
    tiers = {t.get("TIER_ID", ""): t for t in root.iter("TIER")}
    if wanted is not None and wanted not in tiers:
        known = ", ".join(tiers) or "none"
        raise SettingsError(
            f"--tier {wanted}: {printable(path)} has no such tier{nearest(wanted, tiers)}; it has {known}."
        )
    events = []
    for name, tier in tiers.items() if wanted is None else [(wanted, tiers[wanted])]:
        for annotation in (a for holder in tier.iter("ANNOTATION") for a in holder):
            identifier, timed = annotation.get("ANNOTATION_ID"), annotation.get("ANNOTATION_ID")
            for _ in range(len(referring)):  # an annotation may refer to one that refers to another
                timed = referring.get(timed, timed)
            if (source := aligned.get(timed)) is None:
                continue
            times = [slots.get(source.get(f"TIME_SLOT_REF{n}")) for n in (1, 2)]
            if None in times:  # a slot between others that has no time of its own
                continue
            start, end = (f"{int(t or 0) / 1000:.3f}" for t in times)
            value = (annotation.findtext("ANNOTATION_VALUE") or "").strip() or name
            events.append(_event(path, value, _Span(f"annotation {identifier}", start, end), None, {"tier": name}))
    return events


def _subtitles(path: Path) -> Iterator[Event]:
    for cue in subtitle_cues(path, remedy=_REMEDY):
        yield _event(path, cue.text, _Span(f"line {cue.line}", cue.start, cue.end), None, {})


def _event(path: Path, name: str, span: _Span, file: str | None, columns: Mapping[str, str]) -> Event:
    times = []
    for text in (span.start, span.end):
        time = seconds_of(text) if text else None
        if text and time is None:
            raise DataError(
                f"{printable(path)}: {span.place}: {text!r} is not a time; give seconds, mm:ss or hh:mm:ss."
            )
        times.append(None if time is None else float(time))
    start, end = times
    if end is not None and end < (start or 0.0):
        found = f"the event {name!r} ends at {end:g} s, before its start at {start or 0:g} s"
        raise DataError(f"{printable(path)}: {span.place}: {found}; correct its times.")
    if not name:
        raise DataError(f"{printable(path)}: {span.place}: the event has no name; give it one.")
    return Event(name, start, end, file, columns)
