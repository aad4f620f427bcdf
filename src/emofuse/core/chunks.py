"""Chunks of a live stream of audio that a network encodes into frames, and the level to which they are brought."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emofuse.errors import SettingsError

RATE_HZ = 16_000
SAMPLES_PER_FRAME = 320  # 20 ms
LEVEL = 0.1  # root mean square of the voice in the input of the network
MEMORY_SECONDS = 5.0  # time in which the power of earlier audio falls to 1/e of its weight in the level
_LEAST_POWER = 1e-10


@dataclass(frozen=True)
class Chunks:
    """Chunks of `seconds`, each encoded with `before_seconds` and `after_seconds` of context.

    Raises:
        SettingsError: a length is negative, or not a whole number of frames.

    >>> Chunks(2.0, 0.6, 0.4).frames
    (30, 100, 20)
    """

    seconds: float
    before_seconds: float
    after_seconds: float

    def __post_init__(self) -> None:
        lengths = {"seconds": self.seconds, "before_seconds": self.before_seconds, "after_seconds": self.after_seconds}
        for name, length in lengths.items():
            frames = length * RATE_HZ / SAMPLES_PER_FRAME
            if abs(frames - round(frames)) > 1e-6 or frames < (name == "seconds"):
                raise SettingsError(f"chunks: {name} is {length:g}; give a multiple of 0.02 that is not negative.")

    @property
    def frames(self) -> tuple[int, int, int]:
        """Frames before the chunk, in it, and after it."""
        before, inside, after = (
            round(length * RATE_HZ / SAMPLES_PER_FRAME)
            for length in (self.before_seconds, self.seconds, self.after_seconds)
        )
        return before, inside, after

    @property
    def samples(self) -> tuple[int, int, int]:
        """Samples before the chunk, in it, and after it."""
        before, inside, after = (frames * SAMPLES_PER_FRAME for frames in self.frames)
        return before, inside, after


class RunningLevel:
    """The level of the voice in a stream so far: the mean power of frames, weighted by itself and by how recent it is.

    It needs no future audio, and silence hardly counts, unlike in a mean.
    """

    def __init__(self) -> None:
        self._powers = self._squares = 0.0

    def gain(self, samples: NDArray[np.float32]) -> float:
        """The factor that brings the next samples, whole frames, to `LEVEL`."""
        power = np.square(samples.reshape(-1, SAMPLES_PER_FRAME), dtype=np.float64).mean(axis=1)
        kept = math.exp(-len(samples) / (MEMORY_SECONDS * RATE_HZ))
        self._powers = kept * self._powers + float(power.sum())
        self._squares = kept * self._squares + float(np.square(power).sum())
        loud = self._squares / max(self._powers, _LEAST_POWER)
        return LEVEL / math.sqrt(max(loud, _LEAST_POWER))
