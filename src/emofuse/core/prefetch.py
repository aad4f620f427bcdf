"""Getting the next items ready while the last one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")
_END: Any = object()


def ahead(items: Iterator[T], depth: int = 1) -> Iterator[T]:
    """The same items, up to `depth` of them made in a thread of their own before they are asked for.

    What making one raises is raised when it is asked for. When this ends, the thread has ended.

    >>> list(ahead(iter("abc"), 2))
    ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, items, _END) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(thread.submit(next, items, _END))
                yield item
        finally:
            for left in waiting:
                left.cancel()


def chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """The same items, so many at a time; the last may be fewer.

    >>> list(chunks(iter("abc"), 2))
    [['a', 'b'], ['c']]
    """
    while chunk := list(islice(items, size)):
        yield chunk
