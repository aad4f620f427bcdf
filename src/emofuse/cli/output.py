"""Printing: results on standard output, as JSON or as text; progress and notes on standard error.

Everything is printed literally: names of files are never markup or emoji codes, and characters that the encoding of
the terminal lacks are escaped. A stream that is closed or full never ends a command, whose results are on disk.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from emofuse.errors import OutputError

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLUMNS = 200  # width of tables that are not printed to a terminal


def open_streams() -> None:
    """Make standard output and standard error accept every string, also where a stream is closed."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            null = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            try:
                os.fstat(number)
            except OSError:  # else the next file that is opened would receive what libraries print
                os.dup2(null.fileno(), number)
            os.set_inheritable(number, True)
            setattr(sys, name, null)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def show(
    text: Callable[[], RenderableType], value: Callable[[], Any], *, as_json: bool, written: Iterable[Path] = ()
) -> None:
    """Print a result: its value as JSON, or its text and the files that were written.

    Raises:
        OutputError: standard output is full.
    """
    complete = print_json(value()) if as_json else _print(text())
    for path in () if as_json else written:
        print_text(f"wrote {path}")
    if not complete:
        raise OutputError("the result was not printed; send standard output elsewhere.")


def print_json(value: Any) -> bool:
    """Print a value as JSON, in ASCII if standard output cannot encode it; returns False if it is full."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    return _print(text)


def print_text(text: RenderableType) -> None:
    """Print strings as they are, and tables as wide as the terminal."""
    _print(text)


def _print(text: RenderableType) -> bool:
    if not isinstance(text, str):
        console = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else _COLUMNS)
        with console.capture() as capture:
            console.print(text)
        text = capture.get().removesuffix("\n")
    reason = _write(sys.stdout, text + "\n")
    if reason:
        print_error(f"emofuse: standard output cannot be written ({reason}).")
    return not reason


def print_error(line: str) -> None:
    """Print a line on standard error."""
    _write(sys.stderr, line + "\n")


def _write(stream: TextIO, text: str) -> str | None:
    """Write to a stream, and return why it cannot be written. A closed pipe does not count as a failure."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        discard(stream)
        return None if isinstance(error, BrokenPipeError) else error.strerror or str(error)
    return None


def discard(stream: TextIO) -> None:
    """Discard what was and will be written to a stream; Python would fail on it again when it ends."""
    with suppress(OSError), open(os.devnull, "w", encoding="utf-8") as null:
        os.dup2(null.fileno(), stream.fileno())


class ProgressBar:
    """A running progress bar."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self._progress = progress
        self._task = task
        self._files = set[Path]()  # that are finished

    def update(self, description: str, completed: float, total: float) -> None:
        """Move the bar to `completed` of `total`."""
        self._progress.update(self._task, description=description, completed=completed, total=total)

    def update_file(self, path: Path, fraction: float, count: int) -> None:
        """Move the bar to the number of files, of `count`, that are finished; `fraction` is what is done of one."""
        self._files.update([path] if fraction >= 1 else [])
        self.update(path.name, len(self._files), count)

    def note(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(line, markup=False, emoji=False)


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
    console = Console(stderr=True, highlight=False, emoji=False, markup=False, soft_wrap=True)
    with Progress(*columns, console=console, transient=True, disable=hidden, redirect_stdout=own) as progress:
        yield ProgressBar(progress, progress.add_task(description, total=None))
