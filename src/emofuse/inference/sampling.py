"""Which frames of a video are processed, and the steps that they stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from emofuse.core.time import Ints, Timeline, period
from emofuse.errors import ShapeError
from emofuse.speech.active_speaker import WIDEST_GAP


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


class LipFrames:
    """Whether frames, asked for in the order of time, show the motion of lips: those at least half of the widest gap
    after the last one that did. Of 30 frames per second that is every second one, of 20 every one."""

    def __init__(self) -> None:
        self._last: int | None = None

    def shows(self, start: int) -> bool:
        """Whether a frame that starts at `start` (ticks) would be one of them."""
        return self._last is None or start - self._last >= WIDEST_GAP // 2

    def __call__(self, start: int) -> bool:
        shown = self.shows(start)
        if shown:
            self._last = start
        return shown


def lip_frames(frames: Timeline, numbers: Ints | None = None) -> Ints:
    """Indices of the frames that show the motion of lips, of all or of some by their increasing `numbers`.

    >>> from emofuse.core.time import ticks
    >>> lip_frames(Timeline.steps(30, end=ticks(0.2))).tolist(), lip_frames(Timeline.steps(20, end=ticks(0.2))).tolist()
    ([0, 2, 4], [0, 1, 2, 3])
    """
    lips, chosen = LipFrames(), np.arange(len(frames)) if numbers is None else numbers
    return chosen[[lips(start) for start in frames.start[chosen].tolist()]]
