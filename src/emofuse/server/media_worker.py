"""Work on media files that a request waits for, in one process that may die: pictures, and videos with an overlay."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Protocol

from emofuse.core.isolation import Limits, run_isolated
from emofuse.core.parallel import Task
from emofuse.errors import EmofuseError
from emofuse.inference.batch import worker_bytes
from emofuse.server.security import RefusedError

_STALL_SECONDS = 120.0
_IDLE_SECONDS = 60.0  # after which the process ends
_MOST_WAITING = 64


class MediaTask(Protocol):
    """Something to do in the process; picklable."""

    def run(self, progress: Callable[[float], None]) -> Any:
        """Do it, and return a small value."""
        ...


def _run(task: MediaTask, progress: Callable[[float], None]) -> Any:
    return task.run(progress)


class MediaWorker:
    """One process for all requests; it is started when it is needed."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[MediaTask, Future[Any]] | None] = queue.Queue(_MOST_WAITING)
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Wait for tasks."""
        self._thread = threading.Thread(target=self._work, name="media", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the process; tasks that wait fail."""
        self._closing = True
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        if self._thread is not None:
            self._thread.join(10)

    def submit(self, task: MediaTask) -> Future[Any]:
        """Do a task; its result comes later.

        Raises:
            RefusedError: too many are waiting.
        """
        future = Future[Any]()
        try:
            self._waiting.put_nowait((task, future))
        except queue.Full:
            raise RefusedError(
                HTTPStatus.TOO_MANY_REQUESTS, "too many pictures and videos are asked for; wait."
            ) from None
        return future

    def _work(self) -> None:
        limits = Limits(lambda _: _STALL_SECONDS, worker_bytes(2), cancelled=lambda _: self._closing)
        while not self._closing:
            item = self._waiting.get()
            if item is None:
                return
            feed = _Feed(item, self._waiting)
            try:
                for result in run_isolated(feed.tasks(), _run, threads=1, limits=limits):
                    if result.error is not None:
                        feed.future.set_exception(result.error)
                    else:
                        feed.future.set_result(result.value)
            except EmofuseError as error:
                feed.future.set_exception(error)
            except Exception as error:
                feed.future.set_exception(error)


class _Feed:
    """The tasks as they arrive; `future` is that of the task that was taken last."""

    def __init__(
        self, first: tuple[MediaTask, Future[Any]], waiting: queue.Queue[tuple[MediaTask, Future[Any]] | None]
    ) -> None:
        self._first, self._waiting = first, waiting
        self.future = first[1]

    def tasks(self) -> Iterator[Task[MediaTask]]:
        item: tuple[MediaTask, Future[Any]] | None = self._first
        while item is not None:
            task, self.future = item
            if self.future.set_running_or_notify_cancel():
                yield Task("media", task)
            try:
                item = self._waiting.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                return
