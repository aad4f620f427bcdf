"""Functions that run in other processes, for the tests of `emofuse.core.parallel`.

`python tests/support/parallel_tasks.py FILE` starts a process that never ends, and waits for it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from emofuse.core.files import atomic
from emofuse.core.parallel import Processes, Task, run
from emofuse.errors import DataError


def double(number: int) -> int:
    return 2 * number


def kill_own_process(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_own_process_once(mark: Path) -> str:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def fail(kind: str) -> int:
    if kind == "user":
        raise DataError("list.csv, line 3: no such clip.")
    if kind == "not picklable":
        raise NotPicklableError(1, 2)
    if kind == "unexpected":
        raise KeyError("lost key")
    return 0


class NotPicklableError(Exception):
    """Can be pickled, but not unpickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def return_lambda(_: object) -> object:
    return lambda: None


def environment(name: str) -> str | None:
    return os.environ.get(name)


def stall(path: Path | None) -> None:
    """Start to write a file, leave the process id next to it, and never end; without a path, return at once."""
    if path is None:
        return
    with atomic(path) as partial:
        partial.touch()
        path.with_name("stalled").write_text(str(os.getpid()))
        threading.Event().wait()


if __name__ == "__main__":
    try:
        list(run([Task("stall", Path(sys.argv[1]))], stall, executor=Processes(1)))
    except KeyboardInterrupt:
        sys.exit(130)
