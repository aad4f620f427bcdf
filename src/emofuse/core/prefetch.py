"""Preparing the next items while the current one is being processed."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")
_END: Any = object()


def prefetch(items: Iterator[T], depth: int = 1) -> Generator[T, None, None]:
    """Yield the same items in order, up to `depth` of them produced early in a background thread.

    An exception raised while producing an item is raised when that item is requested. The thread ends with the
    generator. With depth 0 there is no thread.

    >>> list(prefetch(iter("abc"), 2))
    ['a', 'b', 'c']
    """
    if depth < 1:
        yield from items
        return
    with ThreadPoolExecutor(1, "emofuse-prefetch") as thread:
        pending = deque(thread.submit(next, items, _END) for _ in range(depth))
        try:
            while (item := pending.popleft().result()) is not _END:
                pending.append(thread.submit(next, items, _END))
                yield item
        finally:
            for future in pending:
                future.cancel()


def chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`; the last one may be shorter.

    >>> list(chunks(iter("abc"), 2))
    [['a', 'b'], ['c']]
    """
    while chunk := list(islice(items, size)):
        yield chunk
