"""Windows of a live session: embeddings come in, and each window is judged once no picture can join it any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.align import functionals_of
from emofuse.core.windows import Windows

Head = Callable[[NDArray[Any]], NDArray[np.float32]]


class FaceWindowScore(NamedTuple):
    """What the head says of one person in [start, end) ticks; probabilities float32 [classes]."""

    start: int
    end: int
    person: int
    probabilities: NDArray[np.float32]


class Windower:
    """Keeps the embeddings of windows that are still open, of everybody; memory does not grow with time.

    Args:
        head: features float [n, 2 * embedding] to probabilities float32 [n, classes].
    """

    def __init__(self, windows: Windows, head: Head) -> None:
        self._windows, self._head = windows, head
        self._next = 0  # number of the first window that is not judged yet
        self._open: dict[int, list[tuple[int, NDArray[np.float32]]]] = {}

    def add(self, person: int, start: int, embedding: NDArray[np.float32]) -> None:
        """A face of a picture that starts at `start` (ticks)."""
        self._open.setdefault(person, []).append((start, embedding))

    def settle(self, until: int) -> list[FaceWindowScore]:
        """Judge the windows that end at `until` or before: every earlier picture has been added."""
        judged = []
        while self._next * self._windows.step + self._windows.width <= until:
            start = self._next * self._windows.step
            judged += self._judge(start, start + self._windows.width)
        return judged

    def close(self, end: int) -> list[FaceWindowScore]:
        """Judge what is left of a video that ends at `end`; the last windows are cut there."""
        judged = []
        while self._next * self._windows.step < end:
            start = self._next * self._windows.step
            judged += self._judge(start, min(start + self._windows.width, end))
        return judged

    def _judge(self, start: int, end: int) -> list[FaceWindowScore]:
        inside = {p: [v for t, v in rows if start <= t < end] for p, rows in sorted(self._open.items())}
        features = {p: functionals_of(np.stack(rows)) for p, rows in inside.items() if rows}
        self._next += 1
        follows = self._next * self._windows.step
        kept = {p: [(t, v) for t, v in rows if t >= follows] for p, rows in self._open.items()}
        self._open = {p: rows for p, rows in kept.items() if rows}
        if not features:
            return []
        said = self._head(np.stack(list(features.values())))
        return [FaceWindowScore(start, end, person, row) for person, row in zip(features, said, strict=True)]
