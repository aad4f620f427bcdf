"""Wall-clock and CPU time of functions while a program runs, by stage."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import wraps
from types import GeneratorType
from typing import Any


class StageTimes:
    """Seconds by stage: `wall`, and `cpu` of the threads that ran it. A stage that calls another one excludes it."""

    def __init__(self) -> None:
        self.wall: Counter[str] = Counter()
        self.cpu: Counter[str] = Counter()
        self._own = threading.local()
        self._lock = threading.Lock()

    def follow(self, owner: Any, name: str, stage: str) -> None:
        """Replace a method, or a method that returns a generator, by one that is timed."""
        function = getattr(owner, name)

        @wraps(function)
        def timed(*given: Any, **named: Any) -> Any:
            with self._in(stage):
                result = function(*given, **named)
            return self._steps(result, stage) if isinstance(result, GeneratorType) else result

        setattr(owner, name, timed)

    def map(self, parallel_map: Callable[..., Any]) -> Callable[..., Any]:
        """A `map` in other threads, whose CPU time is that of the stage that calls it."""

        def mapped(function: Callable[[Any], Any], items: Any) -> Any:
            stack = self._stack()
            stage = stack[-1] if stack else "rest"

            def timed(item: Any) -> Any:
                start = time.thread_time()
                try:
                    return function(item)
                finally:
                    self._add(stage, 0.0, time.thread_time() - start)

            return parallel_map(timed, items)

        return mapped

    def _steps(self, items: Iterator[Any], stage: str) -> Generator[Any, None, None]:
        while True:
            with self._in(stage):
                item = next(items, self)
            if item is self:
                return
            yield item

    @contextmanager
    def _in(self, stage: str) -> Iterator[None]:
        stack = self._stack()
        self._charge(stack)
        stack.append(stage)
        try:
            yield
        finally:
            self._charge(stack)
            stack.pop()

    def _charge(self, stack: list[str]) -> None:
        """Add the time since the last call to the innermost stage."""
        now = time.perf_counter(), time.thread_time()
        if stack:
            self._add(stack[-1], now[0] - self._own.last[0], now[1] - self._own.last[1])
        self._own.last = now

    def _add(self, stage: str, wall: float, cpu: float) -> None:
        with self._lock:
            self.wall[stage] += wall
            self.cpu[stage] += cpu

    def _stack(self) -> list[str]:
        if not hasattr(self._own, "stack"):
            self._own.stack = []
        stack: list[str] = self._own.stack
        return stack
