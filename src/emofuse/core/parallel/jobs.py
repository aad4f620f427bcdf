"""Tasks carried out here, in processes, or on a Ray cluster: the same function, the same results.

Tasks and outcomes are small and can be pickled; what is big is written to files, each whole or not at all. Doing a task
again does no harm, so one whose process or machine died is simply done again.
"""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from emofuse.core.parallel.attempts import Attempt, Function, Pool, carry_out, packed
from emofuse.core.parallel.tasks import Fate, Given, Outcome, Queue, Result, Task, gigabytes
from emofuse.core.parallel.workers import Here, Processes
from emofuse.core.version import __version__
from emofuse.errors import SettingsError

__all__ = ["Fate", "Here", "Processes", "Ray", "Result", "Step", "Task", "Where", "run"]


class Step(Enum):
    """What is told of a task on its way."""

    STARTED = "started"
    LOST = "lost, to be done again"


@dataclass(frozen=True)
class Ray:
    """A Ray cluster, or one on this machine for as long as it takes.

    All its machines share the working folder, and have the same emofuse.

    address: HOST:PORT of its head node, "auto" for the one that this machine is part of, None to start one here.
    cpus, gpus: of each task.
    at_once: so many tasks at once and no more; 0 for as many as there is room for.
    """

    address: str | None = None
    cpus: int = 1
    gpus: int = 0
    at_once: int = 0

    @property
    def threads(self) -> int:
        """For each task."""
        return self.cpus

    def pool(self, function: Function) -> Pool:
        return _Cluster(self, function)


Where = Here | Processes | Ray
_HERE = Here()


def run(
    tasks: Sequence[Task[Given]],
    function: Callable[[Given], Outcome],
    *,
    on: Where = _HERE,
    memory_bytes: int | None = None,
    attempts: int = 3,
    progress: Callable[[Task[Given], Step], None] = lambda task, step: None,
) -> Iterator[Result[Given, Outcome]]:
    """Do all tasks; results come as they finish, in the order given where nothing else decides.

    Args:
        function: a function of a module, or a partial of one, unless all is done here.
        memory_bytes: what tasks that run at once may need together. Unless said, 80 % of what is free here;
            on Ray each machine minds its own.
        attempts: how often a task is tried whose process or machine dies.
        progress: told what begins and what was lost.
    Raises:
        SettingsError: names or `after` do not fit together, or there is no such place.

    What else the function raises is raised here. Where the iterator is closed or interrupted, all that runs is stopped.

    >>> tasks = [Task("sum", (2, 3), after=("all",)), Task("all", (1, 1))]
    >>> [(result.task.name, result.outcome) for result in run(tasks, sum)]
    [('all', 2), ('sum', 5)]
    """
    if attempts < 1:
        raise SettingsError(f"jobs: {attempts} attempts: give at least 1.")
    return _results(Queue(tasks, memory_bytes), lambda: on.pool(function), attempts, progress)


def _results(
    queue: Queue, opened: Callable[[], Pool], attempts: int, progress: Callable[[Any, Step], None]
) -> Iterator[Result[Any, Any]]:
    losses = Counter[str]()
    with closing(opened()) as pool:
        if queue.memory_bytes is None:
            queue.memory_bytes = pool.memory_bytes
        while True:
            yield from queue.hopeless()
            while pool.room and (task := queue.take()) is not None:
                progress(task, Step.STARTED)
                pool.start(task.name, task.given, task.memory_bytes)
            if not queue.running:
                return
            for name, attempt in pool.ended():
                losses[name] += attempt.lost is not None
                if attempt.lost is not None and losses[name] < attempts:
                    progress(queue.put_back(name), Step.LOST)
                else:
                    yield queue.settle(name, attempt, losses[name])


# Ray tells much that is of no use to who waits for results, some of it on standard output.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_OBJECTS_BYTES = 80_000_000  # outcomes are small
_LOOK_SECONDS = 5.0
_PATIENCE_SECONDS = 60.0  # a cluster that grows needs some time


@dataclass(frozen=True)
class _Home:
    """What the machine that asks has in common with those that work."""

    folder: str
    variables: tuple[tuple[str, str], ...]
    version: str = __version__


def _carry_out_there(task: bytes, home: _Home) -> bytes:
    """Do a packed task in the folder where it was asked for."""
    name = socket.gethostname()
    if home.version != __version__:
        line = f"Ray: {name} has emofuse {__version__}, here is {home.version}; install the same on all machines."
        return pickle.dumps(Attempt(error=SettingsError(line)))
    try:
        os.chdir(home.folder)
    except OSError as error:
        line = (
            f"Ray: {name} cannot work in {home.folder} ({error.strerror}); start in a folder that all machines share."
        )
        return pickle.dumps(Attempt(error=SettingsError(line)))
    os.environ.update(home.variables)
    return carry_out(task)


class _Cluster:
    memory_bytes: int | None = None  # each machine minds its own

    def __init__(self, where: Ray, function: Function) -> None:
        self._where, self._function = where, function
        self._ray, self._ours = _connected(where.address)
        self._work = self._ray.remote(_carry_out_there)
        self._home = _Home(os.getcwd(), tuple((k, v) for k, v in os.environ.items() if k.startswith("EMOFUSE_")))
        self._running: dict[Any, tuple[str, int]] = {}
        self._fitted = time.monotonic()

    @property
    def room(self) -> bool:
        return not self._where.at_once or len(self._running) < self._where.at_once

    def start(self, name: str, given: Any, memory_bytes: int) -> None:
        needs = {"num_cpus": self._where.cpus, "num_gpus": self._where.gpus, "memory": memory_bytes or None}
        work = self._work.options(**needs, max_retries=0, name=name)
        self._running[work.remote(packed(self._function, given), self._home)] = name, memory_bytes

    def ended(self) -> list[tuple[str, Attempt]]:
        while True:
            ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_LOOK_SECONDS)
            if ready:
                return [(self._running.pop(reference)[0], self._attempt(reference)) for reference in ready]
            if unfit := self._unfit():
                return [(self._running.pop(reference)[0], why) for reference, why in unfit]

    def _attempt(self, reference: Any) -> Attempt:
        errors = self._ray.exceptions
        try:
            attempt: Attempt = pickle.loads(self._ray.get(reference))
            return attempt
        except (errors.WorkerCrashedError, errors.OutOfMemoryError):
            return Attempt(lost="died, perhaps for lack of memory")
        except (errors.NodeDiedError, errors.ObjectLostError, errors.LocalRayletDiedError):
            return Attempt(lost="was lost with its machine")
        except errors.RayTaskError as error:  # not of the task: those come as attempts
            raise SettingsError(
                f"Ray: a machine of the cluster cannot run emofuse ({str(error).splitlines()[-1]}); "
                "install it on all machines, with the same Python."
            ) from error

    def _unfit(self) -> list[tuple[Any, Attempt]]:
        """Those that no machine of the cluster is large enough for, if that has been so for a while."""
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        unfit = []
        for reference, (name, memory_bytes) in self._running.items():
            needs = {"CPU": self._where.cpus, "GPU": self._where.gpus, "memory": memory_bytes}
            if not any(all(machine.get(k, 0) >= v for k, v in needs.items()) for machine in machines):
                least = ", ".join([f"{k} {v}" for k, v in needs.items() if v and k != "memory"])
                memory = f", {gigabytes(memory_bytes)} of memory" if memory_bytes else ""
                line = f"{name}: no machine of the Ray cluster has what a task needs: {least}{memory}."
                unfit.append((reference, Attempt(error=SettingsError(line))))
        if not unfit:
            self._fitted = time.monotonic()
        patience = 0 if self._where.address is None else _PATIENCE_SECONDS
        return unfit if time.monotonic() - self._fitted > patience else []

    def close(self) -> None:
        for reference in self._running:
            with suppress(Exception):  # it may be gone with its machine
                self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._ours:
            self._ray.shutdown()


def _connected(address: str | None) -> tuple[Any, bool]:
    """Ray, connected, and whether that is for us to end."""
    os.environ.update(_QUIET)
    try:
        import ray
    except ImportError:
        raise SettingsError("Ray is not installed: pip install 'emofuse[ray]'.") from None
    if address is None and ray.is_initialized():
        return ray, False
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        settings |= {"include_dashboard": False, "object_store_memory": _OBJECTS_BYTES}
    else:
        _check(address)
    try:
        ray.init(address or "local", **settings)
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        asked = "--on ray" if address is None else f"--address {address}"
        raise SettingsError(f"{asked}: {_first_line(error)}.") from error
    return ray, True


def _check(address: str) -> None:
    """Whether something answers that speaks as Ray does; Ray itself takes minutes to find out that nothing does.

    Raises:
        SettingsError: it does not.
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError(f"--address {address}: give HOST:PORT of the cluster's head node, or auto.")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5) as link:
            link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            answer = b"" if os.environ.get("RAY_USE_TLS") == "1" else link.recv(9)
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"--address {address}: nothing answers ({error}); give HOST:PORT of a head node that is up."
        ) from None
    if answer and answer[3:4] != b"\4":
        raise SettingsError(f"--address {address}: what answers is not Ray; give HOST:PORT of the head node.")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
