"""Printing: results on standard output, as JSON or as text; progress and notes on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLUMNS = 200  # width of tables that are not printed to a terminal


def show(
    text: Callable[[], RenderableType], value: Callable[[], Any], *, as_json: bool, written: Iterable[Path] = ()
) -> None:
    """Print a result: its value as JSON, or its text and the files that were written."""
    if as_json:
        print(json.dumps(value(), indent=2, ensure_ascii=False))
        return
    print_text(text())
    for path in written:
        print(f"wrote {path}")


def print_text(text: RenderableType) -> None:
    """Print strings as they are, and tables as wide as the terminal."""
    if isinstance(text, str):
        print(text)
    else:
        Console(highlight=False, width=None if sys.stdout.isatty() else _COLUMNS).print(text)


def print_error(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr)


class ProgressBar:
    """A running progress bar."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self._progress = progress
        self._task = task

    def update(self, description: str, completed: float, total: float) -> None:
        """Move the bar to `completed` of `total`."""
        self._progress.update(self._task, description=description, completed=completed, total=total)

    def note(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(line, markup=False)


@contextmanager
def progress_bar(description: str, *, count: bool = False) -> Iterator[ProgressBar]:
    """A progress bar with the time left, on standard error if that is a terminal; it disappears in the end.

    Of several processes that train together, only the first draws it.

    Args:
        count: show how many of the total are done instead of the percentage.
    """
    hidden = not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0"
    own = sys.stdout.isatty()  # else lines for a file or pipe would be printed with the bar
    done = MofNCompleteColumn() if count else TaskProgressColumn()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), done, TimeRemainingColumn())
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(*columns, console=console, transient=True, disable=hidden, redirect_stdout=own) as progress:
        yield ProgressBar(progress, progress.add_task(description, total=None))
