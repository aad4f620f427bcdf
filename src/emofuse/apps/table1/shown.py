"""What `emofuse table1` shows while it runs and when it is done."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from emofuse.apps.table1 import text, write
from emofuse.run.table1 import Watch, table1
from emofuse.run.table1_plan import Request


def run_and_show(request: Request, *, quiet: bool) -> dict[str, Any]:
    """Run with one progress bar for everything on standard error; the table goes to standard output."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(*columns, console=errors, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("table 1", total=1.0)
        watch = Watch(
            say=lambda line: None if quiet else errors.print(line, markup=False),
            progress=lambda what, done: bar.update(task, completed=done, description=what),
        )
        result = table1(request, watch)
    written = write(result, request.out)
    if not quiet:
        console = Console(highlight=False)
        console.print(text(result))
        for path in (request.out / "table1.json", *written):
            console.print(str(path), markup=False, soft_wrap=True)
    return result
