"""Speech detection in live audio: segments of time with and without speech, found while the audio arrives.

Audio of any rate is resampled to 16 kHz and cut into short frames. A classifier marks the frames that may contain
speech; a frame is active if enough of the frames around it are marked. Frames of digital silence are never active.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emofuse.core.time import ticks
from emofuse.errors import SettingsError
from emofuse.media.audio import AudioBlock, Resampler
from emofuse.media.channels import Floats
from emofuse.speech.stream import ActivitySegment, ContiguousBlocks

Bools = NDArray[np.bool_]

RATE_HZ = 16000
SILENCE = 2.0**-16  # half a step of 16 bits; the resampling filter leaves less where there were zeros


class FrameClassifier(Protocol):
    """Classifies the frames of one stream, one after another. frame: samples per frame at 16 kHz."""

    frame: int

    def __call__(self, frames: Floats) -> Bools:
        """Whether each of the next frames, float32 [n, frame], may contain speech; bool [n]."""
        ...


@dataclass(frozen=True)
class VoteWindow:
    """A frame is active if at least `min_votes` of the frames from `before` it to `after` it may contain speech.

    Raises:
        SettingsError: a number is negative, or there are fewer frames than votes.
    """

    before: int
    after: int
    min_votes: int = 1

    def __post_init__(self) -> None:
        if self.before < 0 or self.after < 0 or not 1 <= self.min_votes <= self.before + self.after + 1:
            raise SettingsError(f"{self}: give before, after >= 0 and min_votes from 1 to the number of frames.")


class FramewiseActivity:
    """One stream of audio, cut into frames that are classified."""

    def __init__(self, classifier: FrameClassifier, window: VoteWindow, rate_hz: int) -> None:
        self._classifier, self._window = classifier, window
        self._blocks = ContiguousBlocks("speech detection", rate_hz)
        self._resampler = Resampler(rate_hz, RATE_HZ)
        self._step = classifier.frame * ticks(Fraction(1, RATE_HZ))
        self.lookahead = (window.after + 1) * self._step + ticks(self._resampler.seconds_held)
        self._samples = np.empty(0, np.float32)  # of the frame that is not complete
        self._votes = np.zeros(window.before, bool)  # of the last `before` decided frames and all undecided ones
        self._silent = np.zeros(0, bool)  # of the undecided frames
        self._decided = 0

    def push(self, block: AudioBlock) -> list[ActivitySegment]:
        return self._classified(self._resampler.push(self._blocks.take(block)))

    def close(self) -> list[ActivitySegment]:
        rest = np.append(self._samples, self._resampler.close())
        self._samples = rest[:0]
        length = self._blocks.end - self._blocks.time(0)
        frames = -(-length // self._step) - self._decided - len(self._silent)
        return self._classified(np.pad(rest, (0, max(frames * self._classifier.frame - len(rest), 0))), last=True)

    def _classified(self, samples: Floats, *, last: bool = False) -> list[ActivitySegment]:
        samples = np.append(self._samples, samples)
        size = self._classifier.frame
        count = len(samples) // size
        frames, self._samples = samples[: count * size].reshape(count, size), samples[count * size :]
        self._silent = np.append(self._silent, np.abs(frames).max(axis=1, initial=0) < SILENCE)
        self._votes = np.append(self._votes, self._classifier(frames))
        ahead = self._window.after
        if last:
            self._votes = np.append(self._votes, np.zeros(ahead, bool))
            ahead = 0
        return self._segments(max(len(self._silent) - ahead, 0), last=last)

    def _segments(self, count: int, *, last: bool) -> list[ActivitySegment]:
        """Decide the next frames; equal neighbours are joined."""
        width = self._window.before + self._window.after + 1
        sums = np.cumsum(np.append(0, self._votes))
        active = sums[width : width + count] - sums[:count] >= self._window.min_votes
        active &= ~self._silent[:count]
        self._votes, self._silent = self._votes[count:], self._silent[count:]
        first, self._decided = self._decided, self._decided + count
        changes = [0, *(np.flatnonzero(np.diff(active)) + 1), count]
        # The resampled audio may reach a little beyond the end of the blocks.
        origin, end = self._blocks.time(0), self._blocks.end
        bounds = [min(origin + int(first + n) * self._step, end) for n in changes]
        if last:
            bounds[-1] = end
        return [
            ActivitySegment(start, end, bool(active[n]))
            for n, (start, end) in zip(changes, pairwise(bounds), strict=False)
            if end > start
        ]
