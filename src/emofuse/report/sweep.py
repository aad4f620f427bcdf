"""Rendering of the result of `emofuse sweep`: a table for the terminal, and sweep.md.

Both are rendered from the content of sweep.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.core.files import write_bytes
from emofuse.report.table1 import terms
from emofuse.report.table1.content import duration, environment, facts
from emofuse.report.tables import (
    CPM,
    TextTable,
    decimal,
    difference,
    escape_markdown,
    markdown_list,
    significance,
    to_markdown,
    to_terminal,
    with_interval,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

Result = Mapping[str, Any]
_MEASURES = {"cpm": "CPM", "macro_f1": "macro F1", "accuracy": "accuracy", "uar": "UAR"}


def write(result: Result, folder: Path) -> list[Path]:
    """Write sweep.md, whole or not at all.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_bytes(folder / "sweep.md", markdown(result).encode())
    return [folder / "sweep.md"]


def text(result: Result) -> RenderableType:
    """The variants as a table, and the notes: for a rich console."""
    about = f"{_title(result)}: {dict(facts(result))['size']}"
    return to_terminal(_variants(result), [about], [*_legend(result), *_notes(result)])


def markdown(result: Result) -> str:
    """The result as Markdown; only the last line and the training times differ between equal runs."""
    bundles = [(row["name"], row["bundle"], row["digest"]) for row in result["rows"]]
    blocks = [
        f"# {escape_markdown(_title(result))}",
        terms(facts(result)),
        to_markdown(_variants(result)),
        markdown_list([*_legend(result), *_notes(result)]),
        "## Provenance",
        to_markdown(TextTable(("variant", "bundle", "digest"), bundles, 3)),
        terms(environment(result)),
        duration(result),
    ]
    return "\n\n".join(blocks) + "\n"


def _title(result: Result) -> str:
    return f"{result['system']} over {', '.join(result['over'])} on {result['data']}"


def _variants(result: Result) -> TextTable:
    cells = [
        [
            row["name"],
            *(with_interval(row["metrics"].get(measure)) for measure in _MEASURES),
            difference(row["gain"]),
            significance(row["gain"]),
            decimal(row["examples"], "d"),
            decimal(row["seconds"], ".0f"),
        ]
        for row in result["rows"]
    ]
    head = ("variant", *_MEASURES.values(), "gain over the first", "significant?", "examples", "training s")
    return TextTable(head, cells, 7)


def _legend(result: Result) -> list[str]:
    return [
        f"All metrics are in percent, on the {result['split']} split. {CPM}",
        f"In brackets: {result['interval']}. A gain is significant if its interval excludes 0.",
        f"The best of {len(result['rows'])} variants is selected on the split that it is scored on, so its score is "
        "optimistic; evaluate it on other data.",
    ]


def _notes(result: Result) -> list[str]:
    return [f"note: {note}" for note in result["notes"]]
