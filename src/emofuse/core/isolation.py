"""Tasks in worker processes that may die: a crash, a hang or a lack of memory is the result of its task alone.

A worker carries out one task after the other, so what it loads is loaded once; one that died is replaced. Progress
travels through the pipe that brings the tasks and results.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from emofuse.core.parallel import (
    Result,
    Task,
    interrupts_blocked,
    picklable,
    prepare_worker,
    stop_processes,
)
from emofuse.errors import EmofuseError, LostTaskError

Argument = TypeVar("Argument")
Value = TypeVar("Value")

_POLL_SECONDS = 0.5  # between two checks of the limits
_END_SECONDS = 5.0  # in which an idle process ends
_READY, _PROGRESS, _VALUE, _ERROR = range(4)  # what a worker sends
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Limits:
    """What a task may take before its process is ended.

    stall_seconds: the time without progress, of the task's argument. memory_bytes: the resident memory of the process.
    cancelled: whether the task of an argument is no longer wanted; asked twice per second.
    """

    stall_seconds: Callable[[Any], float]
    memory_bytes: int
    cancelled: Callable[[Any], bool] = lambda argument: False


class _Worker:
    """A process and the task that it carries out; live state."""

    def __init__(self, function: Callable[[Any, Callable[[float], None]], Any], threads: int) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function, threads), daemon=True)
        with interrupts_blocked():
            self.process.start()
        theirs.close()
        self.task: Task[Any] | None = None
        self.ready = False
        self.stalled = 0.0

    def give(self, task: Task[Any]) -> None:
        self.task, self.stalled = task, 0.0
        with suppress(OSError):  # it died in the meantime, which `receive` finds out
            self.connection.send(task.argument)

    def receive(self) -> tuple[int, Any]:
        """What it has sent; an error that says how it ended if it is dead."""
        self.stalled = 0.0
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return _ERROR, LostTaskError(_end(self.process.exitcode or 0))
        self.ready = True
        return kind, value

    def exceeded(self, limits: Limits, elapsed: float) -> str | None:
        """The limit that its task exceeds, as a message."""
        assert self.task is not None
        if limits.cancelled(self.task.argument):
            return "it was cancelled"
        # Not the time of the clock: after a pause of both processes (Ctrl-Z) nothing has stalled.
        self.stalled += min(elapsed, 2 * _POLL_SECONDS)
        seconds = limits.stall_seconds(self.task.argument)
        if self.ready and self.stalled > seconds:
            return f"there was no progress for {seconds:.0f} s"
        if resident_bytes(self.process.pid) > limits.memory_bytes:
            return f"it needs more than {limits.memory_bytes / 2**30:.1f} GB of memory"
        return None


def run_isolated(
    tasks: Iterable[Task[Argument]],
    function: Callable[[Argument, Callable[[float], None]], Value],
    *,
    jobs: int = 1,
    threads: int = 0,
    limits: Limits | None = None,
    progress: Callable[[Task[Argument], float], None] = lambda task, fraction: None,
) -> Iterator[Result[Argument, Value]]:
    """Carry out all tasks and yield their results as they finish; a task whose process died has a LostTaskError.

    Any exception that `function` raises ends the run. Closing or interrupting the iterator stops all processes.

    Args:
        tasks: taken one by one as processes are free; an iterator may wait for more tasks if `jobs` is 1.
        function: of a module, or a partial of one; called with an argument and a callback for the fraction done.
        jobs: number of processes. threads: of each process; 0: as its libraries choose.
        progress: called with a task and the fraction of it that is done, 0 when it starts.
    Raises:
        LostTaskError: the processes do not start.
    """
    waiting, workers, checked = iter(tasks), list[_Worker](), time.monotonic()
    try:
        while True:
            while sum(w.task is not None for w in workers) < jobs and (task := next(waiting, None)) is not None:
                progress(task, 0.0)
                _free(workers, function, threads).give(task)
            busy = {w.connection: w for w in workers if w.task}
            if not busy:
                return
            for connection in wait(list(busy), timeout=_POLL_SECONDS):
                assert isinstance(connection, Connection)
                worker = busy[connection]
                kind, value = worker.receive()
                if kind == _PROGRESS and worker.task:
                    progress(worker.task, value)
                if kind in (_READY, _PROGRESS):
                    continue
                result = _result(worker, kind, value)
                if isinstance(result.error, LostTaskError):
                    workers.remove(worker)
                yield result
            now = time.monotonic()
            if limits is not None and now - checked >= _POLL_SECONDS:
                for worker in [w for w in workers if w.task]:
                    if (reason := worker.exceeded(limits, now - checked)) is not None:
                        workers.remove(worker)
                        worker.process.kill()
                        worker.process.join()
                        yield _result(worker, _ERROR, LostTaskError(reason))
                checked = now
    finally:
        stop_processes([w.process for w in workers if w.task])
        for worker in workers:
            worker.connection.close()  # an idle process ends by itself
        for worker in workers:
            worker.process.join(_END_SECONDS)
            worker.process.kill()


def _free(workers: list[_Worker], function: Callable[[Any, Callable[[float], None]], Any], threads: int) -> _Worker:
    """A worker without a task: one that is still there, or a new one."""
    for worker in [w for w in workers if not w.task]:
        if worker.process.is_alive():
            return worker
        workers.remove(worker)
    workers.append(_Worker(function, threads))
    return workers[-1]


def _result(worker: _Worker, kind: int, value: Any) -> Result[Any, Any]:
    """The result of the worker's task.

    Raises:
        Exception: what the function raised.
    """
    task, worker.task = worker.task, None
    assert task is not None
    if kind == _VALUE:
        return Result(task, value)
    if not isinstance(value, LostTaskError):
        raise value
    if not worker.ready:
        raise LostTaskError(
            f"worker processes do not start ({value}; the reason may be printed above); "
            "scripts need `if __name__ == '__main__':`."
        )
    return Result(task, error=LostTaskError(f"{task.name}: {value}"))


def _end(code: int) -> str:
    """How a process ended."""
    if code == -signal.SIGKILL:
        return "its process was killed, perhaps for lack of memory"
    if code < 0:
        return f"its process crashed ({signal.Signals(-code).name})"
    return f"its process ended (exit code {code})"


def resident_bytes(pid: int | None) -> int:
    """The resident memory of a process; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def machine_bytes() -> int:
    """The memory of this machine, or of the container that this process runs in."""
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (ValueError, OSError):
        return 1 << 62
    for path in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # `max`: no limit
            found.append(int(Path(path).read_text()))
    return min(found)


def _serve(connection: Connection, function: Callable[[Any, Callable[[float], None]], Any], threads: int) -> None:
    """The main function of a worker."""

    def send(kind: int, value: Any = None) -> None:
        try:
            connection.send((kind, value))
        except OSError:  # the parent no longer waits for the result; the task did not fail
            os._exit(1)

    prepare_worker(threads)
    send(_READY)
    while True:
        try:
            argument = connection.recv()
        except EOFError:
            return
        try:
            kind, value = _VALUE, function(argument, lambda fraction: send(_PROGRESS, fraction))
        except SystemExit:  # it is to stop: half-written files are removed by now
            os._exit(1)
        except EmofuseError as error:
            kind, value = _ERROR, error
        except Exception as error:
            kind, value = _ERROR, picklable(error)
        send(kind, value)
