"""Smoothing in a live session: what is said of faces comes in, and goes out smoothed once its future is known.

Only rows within reach of what is still to come are kept, so memory does not grow with time, and what comes out does
not depend on how the pictures were cut into pushes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from emofuse.core.smoothing import Triangle, smoothed

Item = TypeVar("Item")
Floats = NDArray[np.float32]


@dataclass
class _Person(Generic[Item]):
    """Rows of one person in the order of time; of the last `len(waiting)` of them, the items have yet to be given."""

    times: list[int] = field(default_factory=list)
    rows: list[Floats] = field(default_factory=list)
    waiting: list[Item] = field(default_factory=list)


class Smoother(Generic[Item]):
    """Smooths the rows of each person over time.

    Args:
        kernel: its reach is how far a row looks ahead.
    """

    def __init__(self, kernel: Triangle) -> None:
        self._kernel = kernel
        self._persons: dict[int, _Person[Item]] = {}

    @property
    def lookahead(self) -> int:
        """Ticks after its own moment until which a row waits for others."""
        return self._kernel.reach

    def add(self, person: int, start: int, row: Floats, item: Item) -> None:
        """A row of a person's picture that starts at `start` (ticks), and what it belongs to."""
        kept = self._persons.setdefault(person, _Person())
        kept.times.append(start)
        kept.rows.append(row)
        kept.waiting.append(item)

    def settle(self, until: int | None = None) -> list[tuple[Item, Floats]]:
        """The rows that are `lookahead` or more before `until`, smoothed; every earlier row has been added.

        until: None where nothing follows any more.
        """
        given: list[tuple[Item, Floats]] = []
        for number, person in sorted(self._persons.items()):
            given += self._settle(person, until)
            if not person.times:
                del self._persons[number]
        return given

    def _settle(self, person: _Person[Item], until: int | None) -> list[tuple[Item, Floats]]:
        times, reach = np.array(person.times, np.int64), self._kernel.reach
        first = len(times) - len(person.waiting)
        last = len(times) if until is None else int(np.searchsorted(times, until - reach, side="right"))
        given: list[tuple[Item, Floats]] = []
        if last > first:
            rows = smoothed(np.stack(person.rows), times, times[first:last], self._kernel)
            given = list(zip(person.waiting[: last - first], rows, strict=True))
            del person.waiting[: last - first]
        follows = person.times[last] if last < len(times) else until
        old = len(times) if follows is None else int(np.searchsorted(times, follows - reach, side="right"))
        del person.times[:old], person.rows[:old]
        return given
