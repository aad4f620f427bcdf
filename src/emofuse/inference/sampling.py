"""Which frames of a video are processed, and the steps that they stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from emofuse.core.time import Ints, Timeline, period
from emofuse.errors import ShapeError


@dataclass(frozen=True)
class Sampling:
    """Which frames are processed, and what a row of the result covers.

    rate_hz: one row for each step of this rate, scored by the first frame that starts in the step, or by the frame on
        screen where none does. None: one row for each frame.
    """

    rate_hz: Fraction | None = Fraction(5)

    def step_of(self, time: int) -> int:
        """Number of the step [floor(k p), floor((k + 1) p)) that contains a time (ticks).

        >>> Sampling(Fraction(5)).step_of(705_600_000)
        5
        """
        numerator, denominator = self._period
        return -((-int(time) - 1) * denominator // numerator) - 1

    def bound(self, step: int) -> int:
        """Start of a step in ticks, which is the end of the one before it."""
        numerator, denominator = self._period
        return step * numerator // denominator

    @cached_property
    def _period(self) -> tuple[int, int]:
        """Ticks of a step, as numerator and denominator: fractions take several times as long."""
        if self.rate_hz is None:
            raise ShapeError("Sampling of every frame has no steps of its own; the frames are the steps.")
        ticks = period(self.rate_hz)
        return ticks.numerator, ticks.denominator

    @property
    def confirm_frames(self) -> int:
        """The number of frames in which a face must be detected to count as a person: about 0.3 s, at least three."""
        return 9 if self.rate_hz is None else max(3, math.ceil(self.rate_hz * 3 / 10))

    def wanted(self, frames: Timeline) -> Ints | None:
        """Indices of the frames that are processed; None for all of them."""
        if self.rate_hz is None:
            return None
        steps = np.array([self.step_of(time) for time in frames.start.tolist()], np.int64)
        return np.flatnonzero(np.diff(steps, prepend=-1))


class FirstOfEachStep:
    """Whether frames, asked for in the order of time, are the first of their step: those that a session processes."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling, self._step = sampling, -1

    def __call__(self, start: int) -> bool:
        if self._sampling.rate_hz is None:
            return True
        before, self._step = self._step, max(self._sampling.step_of(start), self._step)
        return self._step > before


# In which frames mouths are followed: all of videos with up to 30 frames per second, also where timestamps are rounded.
MOUTHS = Sampling(Fraction(32))
