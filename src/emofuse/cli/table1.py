"""What `emofuse table1` and `emofuse sweep` show while they run, and when they are done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from emofuse.core.parallel import Executor
from emofuse.experiments.plan import Request
from emofuse.experiments.runner import Watch
from emofuse.experiments.table1 import table1
from emofuse.report.table1 import text, write

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLUMNS = 120  # in a file, or behind a pipe


def run_and_show(request: Request, *, executor: Executor, quiet: bool) -> dict[str, Any]:
    """Run with one progress bar for everything on standard error; the table goes to standard output."""
    with watched("table 1", quiet=quiet) as watch:
        result = table1(request, watch, executor=executor)
    show(result, text, [request.trial.out / "table1.json", *write(result, request.trial.out)], quiet=quiet)
    return result


@contextmanager
def watched(name: str, *, quiet: bool) -> Iterator[Watch]:
    """One progress bar for a whole run on standard error, and lines above it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(*columns, console=errors, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(name, total=1.0)
        yield Watch(
            say=lambda line: None if quiet else errors.print(line, markup=False),
            progress=lambda what, done: bar.update(task, completed=done, description=what),
        )


def show(
    result: Mapping[str, Any],
    draw: Callable[[Mapping[str, Any]], RenderableType],
    written: Sequence[Path],
    *,
    quiet: bool,
) -> None:
    """The result on standard output, and where it was written."""
    if quiet:
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _COLUMNS)
    console.print(draw(result))
    for path in written:
        console.print(str(path), markup=False, soft_wrap=True)
