"""Functions for isolated tasks, in a module that worker processes can import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from emofuse.errors import DataError

Progress = Callable[[float], None]


def act(what: str, progress: Progress) -> str:
    """Do what the argument says, and return it with the process that did it."""
    ACTIONS.get(what, lambda _: None)(progress)
    return f"{what} {os.getpid()}"


def _hang(progress: Progress) -> None:
    time.sleep(600)


def _work_slowly(progress: Progress) -> None:
    for n in range(30):
        time.sleep(0.1)
        progress(n / 30)


def _fill_memory(progress: Progress) -> None:
    content = []
    for _ in range(100):
        content.append(b"x" * (50 << 20))
        time.sleep(0.05)


def _raise_known(progress: Progress) -> None:
    raise DataError("bad")


def _raise_unexpected(progress: Progress) -> None:
    raise KeyError("bug")


ACTIONS: dict[str, Callable[[Progress], None]] = {
    "crash": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "killed": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda _: os._exit(3),
    "hang": _hang,
    "slow": _work_slowly,
    "memory": _fill_memory,
    "known": _raise_known,
    "unexpected": _raise_unexpected,
}
