"""Rendering of Table 1: text for the terminal, a Markdown file, and an HTML page without external resources.

All are rendered from the content of table1.json, so that an earlier result can be rendered again. Measured values and
values quoted from the paper never share a column.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.core.files import write_bytes
from emofuse.report.table1.content import Result, report
from emofuse.report.tables import TextTable, escape_markdown, markdown_list, to_markdown, to_terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["html", "markdown", "text", "write"]

_TERMINAL = {  # heads that fit 120 columns: column
    "row": "name", "CPM %": "CPM", "in-sample": "CPM in-sample", "gain over best": "gain",
    "significant?": "significant?", "F1": "macro F1", "acc.": "accuracy", "quoted\nval.": "quoted: validation",
    "quoted\ntest": "quoted: test",
}  # fmt: skip
_VALUES_ALONE = ("in-sample", "F1", "acc.")  # without their intervals


def write(result: Result, folder: Path) -> list[Path]:
    """Write table1.md and table1.html, each whole or not at all; equal results give equal bytes.

    Raises:
        OutputError: the folder cannot be written.
    """
    written = []
    for name, render in (("table1.md", markdown), ("table1.html", html)):
        write_bytes(folder / name, render(result).encode())
        written.append(folder / name)
    return written


def text(result: Result) -> RenderableType:
    """The main table, within 120 columns, its summary, and the notes: for a rich console."""
    content = report(result)
    cells = [
        [row[c].partition(" ")[0] if head in _VALUES_ALONE else row[c] for head, c in _TERMINAL.items()]
        for row in content.main
    ]
    about = f"{content.title}, {result['split']}: {dict(content.facts)['size']}, {dict(content.facts)['scale']}"
    below = [*filter(None, [content.summary]), *content.legend, f"In brackets: {result['interval']}."]
    return to_terminal(
        TextTable(tuple(_TERMINAL), cells, 5), [about], [*below, *(f"note: {note}" for note in content.notes)]
    )


def markdown(result: Result) -> str:
    """The result as Markdown; only the last line, the duration, differs between equal runs."""
    content = report(result)
    blocks = [
        f"# {escape_markdown(content.title)}",
        terms(content.facts),
        escape_markdown(content.summary),
        to_markdown(TextTable(tuple(content.main[0]), [tuple(row.values()) for row in content.main], 3)),
        markdown_list(content.legend),
        *(["## Notes", markdown_list(content.notes)] if content.notes else []),
    ]
    weights = [(f"Weights of {table.name}", table) for table in content.weights]
    for title, table in ((content.measures.name, content.measures), (content.f1.name, content.f1), *weights):
        blocks += [f"## {escape_markdown(title)}", to_markdown(table)] if table.rows else []
    submissions = ["Submissions:", markdown_list(content.submissions)] if content.submissions else []
    blocks += [
        "## Provenance",
        to_markdown(content.systems),
        *submissions,
        terms(content.environment),
        content.duration,
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def terms(pairs: Any) -> str:
    """Named facts as a Markdown list."""
    return "\n".join(f"- {term}: {escape_markdown(value)}" for term, value in pairs)


def html(result: Result) -> str:
    """The result as one HTML file with its confusion matrices, weights and training curves."""
    from markupsafe import Markup

    from emofuse.report.page import render
    from emofuse.report.table1 import charts

    return render(
        "table1/page.html.jinja",
        report=report(result),
        interval=result["interval"],
        cpm_chart=Markup(charts.cpm_chart(result)),
        curves={n: Markup(charts.learning_curves(n, s["history"])) for n, s in result["systems"].items()},
    )
