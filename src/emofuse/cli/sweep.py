"""The result of `emofuse sweep` for readers: a table for the terminal, and sweep.md to keep.

Both are drawn from what sweep.json holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from emofuse.cli.table1 import show, watched
from emofuse.core.files import write_bytes
from emofuse.core.parallel import Executor
from emofuse.experiments.sweep import Request, sweep
from emofuse.report.table1 import words
from emofuse.report.table1.file import items, safe, table
from emofuse.report.table1.words import NONE, plain, with_interval

if TYPE_CHECKING:
    from rich.console import RenderableType

Result = Mapping[str, Any]
_HEAD = (
    "variant",
    "CPM",
    "macro F1",
    "accuracy",
    "UAR",
    "against the first",
    "beyond chance?",
    "examples",
    "training s",
)
_MEASURES = ("cpm", "macro_f1", "accuracy", "uar")


def run_and_show(request: Request, *, executor: Executor, quiet: bool) -> dict[str, Any]:
    """Run with one progress bar for everything on standard error; the table goes to standard output."""
    with watched("sweep", quiet=quiet) as watch:
        result = sweep(request, watch, executor=executor)
    path = request.trial.out / "sweep.md"
    write_bytes(path, markdown(result).encode())
    show(result, text, [request.trial.out / "sweep.json", path], quiet=quiet)
    return result


def text(result: Result) -> RenderableType:
    """The variants as a table for a console of rich, and the notes."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for n, name in enumerate(_HEAD):
        drawn.add_column(name, overflow="fold", justify="left" if n < 7 else "right")
    for row in _rows(result):
        drawn.add_row(*map(Text, row))
    about = f"{_title(result)}: {dict(words.facts(result))['size']}"
    return Group(Text(about), Text(""), drawn, *(Text(line) for line in ("", *_legend(result), *_notes(result))))


def markdown(result: Result) -> str:
    """The result as Markdown; the last line and the seconds of the trainings alone differ between equal runs."""
    blocks = [
        f"# {safe(_title(result))}",
        items(f"{term}: {safe(said)}" for term, said in words.facts(result)),
        table(_HEAD, _rows(result)),
        items(map(safe, (*_legend(result), *_notes(result)))),
        "## What was run",
        table(("variant", "digest", "bundle"), ([r["name"], r["digest"], r["bundle"]] for r in result["rows"]), left=3),
        items(f"{term}: {safe(said)}" for term, said in words.machine(result)),
        words.duration(result),
    ]
    return "\n\n".join(blocks) + "\n"


def _title(result: Result) -> str:
    return plain(f"{result['system']} over {', '.join(result['over'])} on {result['data']}")


def _rows(result: Result) -> Iterator[list[str]]:
    for row in result["rows"]:
        gain, seconds = row["gain"], row["seconds"]
        yield [
            plain(row["name"]),
            *(with_interval(row["figures"].get(measure)) for measure in _MEASURES),
            words.gained(gain),
            words.verdict(gain),
            words.count(row["examples"]),
            NONE if seconds is None else f"{seconds:.0f}",
        ]


def _legend(result: Result) -> list[str]:
    return [
        f"All figures are percent, on the part {plain(result['split'])}. {words.CPM}",
        f"In brackets: {plain(result['interval'])}.",
        f"The best of {len(result['rows'])} variants is chosen on the part that it is scored on, so its figure is "
        "flattering; judge it on other data.",
    ]


def _notes(result: Result) -> list[str]:
    return [f"note: {plain(note)}" for note in result["notes"]]
