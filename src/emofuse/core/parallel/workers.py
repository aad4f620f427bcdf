"""Who carries out tasks on this machine: this process, or processes of its own.

Each process has a pipe of its own and one task at a time. So where one dies it is known which task it was at, and no
other is lost with it. A process that was stopped or whose parent died leaves no results half-written.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any

from emofuse.core.parallel.attempts import Attempt, Function, Pool, carry_out, packed
from emofuse.errors import EmofuseError, SettingsError

_SHARE_OF_FREE_MEMORY = 0.8
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PATIENCE_SECONDS = 5.0
_STILLBORN = 3


@dataclass(frozen=True)
class Here:
    """One task after the other, in this process."""

    @property
    def threads(self) -> int:
        """For each task; 0 for as many as there are."""
        return 0

    def pool(self, function: Function) -> Pool:
        return _Alone(function)


@dataclass(frozen=True)
class Processes:
    """Several tasks at once, each in a process that starts afresh (spawn) and is used again.

    cores: threads in all, shared out among the processes; 0 for one for each core.

    Raises:
        SettingsError: no process, or fewer than no cores.
    """

    count: int
    cores: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or self.cores < 0:
            raise SettingsError(
                f"{self.count} processes with {self.cores} threads in all: give at least 1, and 0 or more."
            )

    @property
    def threads(self) -> int:
        """For each process."""
        return max((self.cores or os.cpu_count() or 1) // self.count, 1)

    def pool(self, function: Function) -> Pool:
        return _Lanes(function, self.count, self.threads)


def memory_share() -> int | None:
    """80 % of the memory that is free now, in bytes; None where the system does not tell."""
    free = _free_memory()
    return None if free is None else int(free * _SHARE_OF_FREE_MEMORY)


def _free_memory() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        with suppress(AttributeError, ValueError, OSError):
            return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return None


class _Alone:
    def __init__(self, function: Function) -> None:
        self.memory_bytes = memory_share()
        self._function = function
        self._next: tuple[str, Any] | None = None

    @property
    def room(self) -> bool:
        return self._next is None

    def start(self, name: str, given: Any, memory_bytes: int) -> None:
        self._next = name, given

    def ended(self) -> list[tuple[str, Attempt]]:
        assert self._next is not None
        (name, given), self._next = self._next, None
        try:
            return [(name, Attempt(self._function(given)))]
        except EmofuseError as error:
            return [(name, Attempt(error=error))]

    def close(self) -> None:
        pass


@dataclass
class _Lane:
    """A process, our end of its pipe, and the task that it is at."""

    process: Any
    pipe: Connection
    task: str | None = None
    ready: bool = False


class _Lanes:
    def __init__(self, function: Function, count: int, threads: int) -> None:
        self.memory_bytes = memory_share()
        self._function, self._count, self._threads = function, count, threads
        self._lanes: list[_Lane] = []
        self._stillborn = 0
        # The interpreter waits for its processes before it forgets its generators, and they would wait for us.
        atexit.register(self.close)

    @property
    def room(self) -> bool:
        return sum(lane.task is not None for lane in self._lanes) < self._count

    def start(self, name: str, given: Any, memory_bytes: int) -> None:
        content = packed(self._function, given)
        lane = next((lane for lane in self._lanes if lane.task is None), None) or self._open()
        lane.task = name
        with suppress(OSError):  # it died while it had nothing to do, which is noticed when it is waited for
            lane.pipe.send_bytes(content)

    def _open(self) -> _Lane:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        # No daemon: those may not have processes of their own.
        process = context.Process(target=_serve, args=(theirs, self._threads), name="emofuse task")
        with _interrupts_held():
            process.start()
        theirs.close()  # or its end would not be noticed
        self._lanes.append(_Lane(process, ours))
        return self._lanes[-1]

    def ended(self) -> list[tuple[str, Attempt]]:
        while True:
            busy = [lane for lane in self._lanes if lane.task is not None]
            wait([*(lane.pipe for lane in busy), *(lane.process.sentinel for lane in busy)])
            if found := [heard for lane in busy if (heard := self._heard(lane)) is not None]:
                return found

    def _heard(self, lane: _Lane) -> tuple[str, Attempt] | None:
        assert lane.task is not None
        try:
            if not lane.pipe.poll():
                return None if lane.process.is_alive() else self._bury(lane)
            content = lane.pipe.recv_bytes()
        except (EOFError, OSError):
            return self._bury(lane)
        if not content:
            lane.ready, self._stillborn = True, 0
            return None
        name, lane.task = lane.task, None
        return name, pickle.loads(content)

    def _bury(self, lane: _Lane) -> tuple[str, Attempt]:
        assert lane.task is not None
        lane.pipe.close()
        lane.process.join()
        how = _died(lane.process.exitcode)
        self._lanes.remove(lane)
        self._stillborn += not lane.ready
        if self._stillborn >= _STILLBORN:
            raise SettingsError(
                f"worker processes do not start: the last one {how}, and what it said stands above. "
                "In a script of your own, call this below `if __name__ == '__main__':`."
            )
        return lane.task, Attempt(lost=how)

    def close(self) -> None:
        atexit.unregister(self.close)
        for lane in self._lanes:
            lane.pipe.close()
            if lane.task is not None:
                lane.process.terminate()
        for lane in self._lanes:
            lane.process.join(_PATIENCE_SECONDS)
            if lane.process.is_alive():
                lane.process.kill()
                lane.process.join()
        self._lanes.clear()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C comes after this, and never to what is started in it: it reaches all, and this process decides."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _died(exitcode: int) -> str:
    if exitcode >= 0:
        return f"ended with exit code {exitcode}"
    name = signal.Signals(-exitcode).name if -exitcode in set(signal.Signals) else f"signal {-exitcode}"
    return f"was ended by {name}" + (", perhaps for lack of memory" if name == "SIGKILL" else "")


def _serve(pipe: Connection, threads: int) -> None:
    """The life of a worker process: say hello, then one task after the other until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit_threads(threads)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send_bytes(b"")
        while True:
            pipe.send_bytes(carry_out(pipe.recv_bytes()))


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as an exception, so that what is half-written is removed


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # or it would write beside the run that takes up where this one was killed


def _limit_threads(threads: int) -> None:
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)  # for what the main module has loaded already
