"""Functions that other processes can be sent, for tests of what carries them out.

`python tests/tasks.py FILE` never ends, and nor does the process that it starts.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from emofuse.core.files import atomic
from emofuse.core.parallel.jobs import Processes, Task, run
from emofuse.errors import DataError


@dataclass(frozen=True)
class Fatal:
    """A task that ends its own process, the first so many times; each time leaves a mark in `folder`."""

    folder: Path
    times: int


def double(number: int) -> int:
    return 2 * number


def die(task: Fatal) -> int:
    """How often it took."""
    marks = len(list(task.folder.iterdir()))
    (task.folder / str(marks)).touch()
    if marks < task.times:
        os.kill(os.getpid(), signal.SIGKILL)
    return marks + 1


def fail(kind: str) -> int:
    if kind == "user":
        raise DataError("list.csv, line 3: no such clip.")
    if kind == "odd":
        raise OddError(1, 2)
    if kind == "defect":
        raise KeyError("lost key")
    return 0


class OddError(Exception):
    """Comes apart when it is put together again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def give_lambda(_: object) -> object:
    return lambda: None


def environment(name: str) -> str | None:
    return os.environ.get(name)


def stall(path: Path | None) -> None:
    """Begin to write a file, say so, and never end; without one, do nothing."""
    if path is None:
        return
    with atomic(path) as partial:
        partial.touch()
        path.with_name("stalled").write_text(str(os.getpid()))
        threading.Event().wait()


if __name__ == "__main__":
    try:
        list(run([Task("stall", Path(sys.argv[1]))], stall, on=Processes(1)))
    except KeyboardInterrupt:
        sys.exit(130)
