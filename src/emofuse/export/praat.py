"""Segments as a Praat TextGrid in the long text format: one interval tier per person.

Source: Praat manual, TextGrid file formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from emofuse.core.files import write_bytes
from emofuse.export.segments import Segment, Sentence, find_sentences, who_of
from emofuse.export.writer import WRITERS, ResultTable, Writer

_Interval = tuple[float, float, str]


def write_praat(table: ResultTable, path: Path) -> None:
    """Write the segments as a TextGrid in UTF-8; the last tier states where they are from, the one before it the words.

    Tiers are filled with empty intervals, as Praat wants them.
    """
    tiers, end, sentences = list[tuple[str, list[Segment]]](), 0.0, list[Sentence]()
    for rows in table.blocks:
        sentences = sentences or find_sentences(rows)
        segments = table.segments(rows)
        end = max(end, float(rows["end"].max())) if len(rows) else end
        if segments or who_of(rows):
            tiers.append((segments[0].who if segments else str(who_of(rows)), segments))
    end = end or 1.0  # Praat needs a duration
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}"]
    named = [(name, [(s.start, s.end, s.emotion or "") for s in segments]) for name, segments in tiers]
    named += [("words", [s[:3] for s in sentences])] if sentences else []
    lines += ["tiers? <exists>", f"size = {len(named) + 1}", "item []:"]
    for n, (name, intervals) in enumerate(named, start=1):
        lines += _tier(n, name, list(_filled(intervals, end)), end)
    lines += _tier(len(named) + 1, "emofuse", [(0.0, end, table.origin)], end)
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def _filled(intervals: Iterable[_Interval], end: float) -> Iterator[_Interval]:
    """The intervals with empty ones between them, from 0 to the end."""
    reached = 0.0
    for start, stop, text in intervals:
        if start > reached:
            yield reached, start, ""
        yield start, stop, text
        reached = stop
    if reached < end:
        yield reached, end, ""


def _tier(number: int, name: str, intervals: Sequence[_Interval], end: float) -> Iterator[str]:
    yield f"    item [{number}]:"
    yield '        class = "IntervalTier"'
    yield f"        name = {_quoted(name)}"
    yield "        xmin = 0"
    yield f"        xmax = {end:.6f}"
    yield f"        intervals: size = {len(intervals)}"
    for n, (start, stop, text) in enumerate(intervals, start=1):
        yield f"        intervals [{n}]:"
        yield f"            xmin = {start:.6f}"
        yield f"            xmax = {stop:.6f}"
        yield f"            text = {_quoted(text)}"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


WRITERS.add("praat", Writer(write_praat, ".TextGrid"))
