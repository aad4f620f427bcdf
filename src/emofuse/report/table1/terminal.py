"""Table 1 for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emofuse.report.table1 import words
from emofuse.report.table1.words import NONE, plain

if TYPE_CHECKING:
    from rich.console import RenderableType


def text(result: Mapping[str, Any]) -> RenderableType:
    """What was measured as a table that fits 120 columns, what it means, and the notes: for a console of rich."""
    from rich.console import Group
    from rich.text import Text

    about = f"{words.title(result)}, {plain(result['split'])}: " + ", ".join(
        said for _, said in words.facts(result)[1:3]
    )
    lines = [*words.legend(result), f"In brackets: {plain(result['interval'])}."]
    notes = [f"note: {plain(note)}" for note in result["notes"]]
    said = [words.summary(result)] if words.summary(result) else []
    below = [Text(line) for line in ("", *said, *lines, *notes)]
    return Group(Text(about), Text(""), _table(result), *below)


def _table(result: Mapping[str, Any]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("row", overflow="fold", min_width=12)
    for name in ("CPM %", "in-sample", "gain over best part"):
        table.add_column(name)
    table.add_column("beyond\nchance?")
    for name in ("F1", "acc.", "quoted\nval.", "quoted\ntest"):
        table.add_column(name, justify="right")
    for row in result["rows"]:
        figures = words.headline(row)
        cells = [
            plain(row["name"]),
            words.with_interval(figures.get("cpm")),
            _value(words.in_sample(row).get("cpm")),
            words.gained(row["gain"]),
            _BRIEF[words.verdict(row["gain"])],
            _value(figures.get("macro_f1")),
            _value(figures.get("accuracy")),
            words.quoted(row["quoted"]["validation"]),
            words.quoted(row["quoted"]["test"]),
        ]
        table.add_row(*map(Text, cells))
    table.add_row("baseline", *[NONE] * 6, words.quoted(result["baseline_quoted"]), NONE)
    return table


_BRIEF = {
    "better, beyond chance": "yes, better",
    "worse, beyond chance": "yes, worse",
    "not beyond chance": "no",
    "no interval": "?",
    NONE: NONE,
}


def _value(estimate: Any) -> str:
    return words.percent(estimate[0]) if estimate else NONE
