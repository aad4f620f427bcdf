"""Segments as tabular events of BORIS 8: a START and a STOP row for each state event, separated by tabs.

Source: the columns of "Export events as tabular events" of BORIS 8 for one media file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from emofuse.core.files import write_bytes
from emofuse.export.formulas import escaped
from emofuse.export.segments import Segment, one_line
from emofuse.export.writer import WRITERS, ResultTable, Writer

_MISSING = "NA"
_COLUMNS = (
    *("Observation id", "Observation date", "Description", "Observation duration", "Observation type", "Source"),
    *("Time offset (s)", "Media duration (s)", "FPS", "Subject", "Behavior", "Behavioral category", "Behavior type"),
    *("Time", "Media file name", "Image index", "Image file path", "Comment"),
)


def write_boris(table: ResultTable, path: Path) -> None:
    """Write the segments as tabular events in UTF-8; the description states where they are from."""
    segments, end = list[Segment](), 0.0
    for rows in table.blocks:
        segments += table.segments(rows)
        end = max(end, float(rows["end"].max())) if len(rows) else end
    text = io.StringIO()
    lines = csv.writer(text, delimiter="\t", lineterminator="\n")
    lines.writerow(_COLUMNS)
    media = escaped(one_line(table.file))
    observation = [escaped(one_line(Path(table.file).stem)), _MISSING, table.origin, f"{end:.3f}", "Media file(s)"]
    observation += [f"player #1:{one_line(table.file)}", "0", f"{end:.3f}", _MISSING]
    for time, kind, s in sorted(_events(segments), key=lambda event: (event[0], event[1] == "START")):
        comment = f"mean probability {s.confidence:.2f}"
        event = [s.who, s.emotion, "emotion", kind, f"{time:.3f}", media, _MISSING, _MISSING, comment]
        lines.writerow([*observation, *event])
    write_bytes(path, text.getvalue().encode())


def _events(segments: list[Segment]) -> Iterator[tuple[float, str, Segment]]:
    for s in segments:
        yield s.start, "START", s
        yield s.end, "STOP", s


WRITERS.add("boris", Writer(write_boris, ".boris.tsv"))
