"""A prediction for the terminal: its timeline as segments of one emotion each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emofuse.core.statuses import OK
from emofuse.report.timeline import person_label, used_for

if TYPE_CHECKING:
    from rich.table import Table

    from emofuse.export import SegmentSettings
    from emofuse.inference.prediction import Prediction

_MAX_SEGMENTS = 24


def headline(prediction: Prediction) -> str:
    """The file, its length, the number of persons, and what detected them, on one line."""
    length = "photograph" if prediction.is_photograph else f"{prediction.duration_seconds:.1f} s"
    persons, used = len(prediction.persons), used_for(prediction)
    by = [f"{persons} person{'s' * (persons != 1)}, faces by the {used['face']} detector"] if "face" in used else []
    by += [f"voice by {used['voice']}"] if "voice" in used else []
    by += [f"words by {used['words']}"] if "words" in used else []
    return f"{prediction.file}: {length}, {', '.join(by)}"


def segment_table(prediction: Prediction, settings: SegmentSettings | None = None) -> tuple[Table, int]:
    """The first segments as a table for a rich console, and the number of those left out."""
    from rich.markup import escape
    from rich.table import Table

    times = [] if prediction.is_photograph else ["from", "to"]
    table = Table("person", *times, "emotion", "confidence", box=None, pad_edge=False)
    segments = prediction.segments(settings)
    for s in segments[:_MAX_SEGMENTS]:
        note = "" if s.status == OK else f"[dim]{s.status.replace('_', ' ')}[/dim]"
        emotion = " ".join(filter(None, (s.emotion, note)))
        confidence = "" if s.confidence is None else f"{s.confidence:.2f}"
        times = [] if prediction.is_photograph else [f"{s.start:.1f} s", f"{s.end:.1f} s"]
        person = "-" if s.person is None else escape(person_label(prediction, s.person))
        table.add_row(person, *times, emotion, confidence)
    return table, max(0, len(segments) - _MAX_SEGMENTS)
