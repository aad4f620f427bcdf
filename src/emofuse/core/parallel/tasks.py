"""Tasks, what became of them, and which may begin: after those they need, and while there is memory."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from graphlib import CycleError, TopologicalSorter
from typing import Any, Generic, TypeVar

from emofuse.core.parallel.attempts import Attempt
from emofuse.core.registry import nearest
from emofuse.errors import EmofuseError, SettingsError

Given = TypeVar("Given")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Task(Generic[Given]):
    """What a function is to be given, once those named in `after` are done.

    name: no two of a run have the same.
    memory_bytes: what it needs at most; 0 if that is not known.
    """

    name: str
    given: Given
    after: tuple[str, ...] = ()
    memory_bytes: int = 0


class Fate(Enum):
    """What became of a task: done, failed by an error of its own, lost again and again, or not begun."""

    DONE = "done"
    FAILED = "failed"
    LOST = "lost"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Result(Generic[Given, Outcome]):
    """What became of a task; `outcome` if it is done, else `error`, one line."""

    task: Task[Given]
    fate: Fate
    outcome: Outcome | None = None
    error: EmofuseError | None = None


class TaskTracebackError(Exception):
    """The traceback of an exception in another process, as its cause."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Queue:
    """Tasks that wait for others and for memory, those that run, and the names of those that came to nothing."""

    def __init__(self, tasks: Sequence[Task[Any]], memory_bytes: int | None) -> None:
        self.memory_bytes = memory_bytes
        self.running: set[str] = set()
        self._tasks = {task.name: task for task in tasks}
        self._position = {task.name: n for n, task in enumerate(tasks)}
        self._ready: list[str] = []  # in the order given
        self._bad: set[str] = set()
        if len(self._tasks) < len(tasks):
            name, _ = Counter(task.name for task in tasks).most_common(1)[0]
            raise SettingsError(f"jobs: two tasks are named {name!r}; give each a name of its own.")
        for task in tasks:
            for other in task.after:
                if other not in self._tasks:
                    raise SettingsError(
                        f"jobs: {task.name!r} comes after {other!r}, which is not there{nearest(other, self._tasks)}."
                    )
        self._order = TopologicalSorter({task.name: task.after for task in tasks})
        try:
            self._order.prepare()
        except CycleError as error:
            raise SettingsError(f"jobs: tasks wait for each other: {' -> '.join(error.args[1])}.") from None

    def hopeless(self) -> list[Result[Any, Any]]:
        """Those that will never be run, for what they come after is not there or memory can never suffice.

        All others that nothing else holds up are ready from now on.
        """
        found: list[Result[Any, Any]] = []
        while fresh := self._order.get_ready():
            for name in fresh:
                task = self._tasks[name]
                if (never := self._never(task)) is None:
                    self._make_ready(name)
                    continue
                fate, why = never
                found.append(Result(task, fate, error=EmofuseError(f"{name}: {why}")))
                self._bad.add(name)
                self._order.done(name)
        return found

    def _make_ready(self, name: str) -> None:
        insort(self._ready, name, key=self._position.__getitem__)

    def _never(self, task: Task[Any]) -> tuple[Fate, str] | None:
        if missing := [name for name in task.after if name in self._bad]:
            return Fate.NOT_RUN, f"not run, because {' and '.join(missing)} came to nothing."
        if self.memory_bytes is not None and task.memory_bytes > self.memory_bytes:
            return Fate.FAILED, (
                f"needs {gigabytes(task.memory_bytes)} of memory and may have {gigabytes(self.memory_bytes)}; "
                "close other programs, or take a larger machine."
            )
        return None

    def take(self) -> Task[Any] | None:
        """The first that is ready and for which there is memory; it now runs."""
        taken = sum(self._tasks[name].memory_bytes for name in self.running)
        for name in self._ready:
            task = self._tasks[name]
            if self.memory_bytes is None or not task.memory_bytes or taken + task.memory_bytes <= self.memory_bytes:
                self._ready.remove(name)
                self.running.add(name)
                return task
        return None

    def put_back(self, name: str) -> Task[Any]:
        """It was lost, and is ready again."""
        self.running.remove(name)
        self._make_ready(name)
        return self._tasks[name]

    def settle(self, name: str, attempt: Attempt, losses: int) -> Result[Any, Any]:
        """It runs no longer; what came of it. What is nobody's fault but ours is raised."""
        self.running.remove(name)
        self._order.done(name)
        task = self._tasks[name]
        if attempt.defect is not None:
            error, text = attempt.defect
            raise error from TaskTracebackError(text)
        if attempt.lost is not None:
            self._bad.add(name)
            line = (
                f"{name}: given up after {losses} attempts: the process at work {attempt.lost}; "
                "try it on its own, or with more memory."
            )
            return Result(task, Fate.LOST, error=EmofuseError(line))
        if attempt.error is not None:
            self._bad.add(name)
            return Result(task, Fate.FAILED, error=attempt.error)
        return Result(task, Fate.DONE, attempt.outcome)


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
