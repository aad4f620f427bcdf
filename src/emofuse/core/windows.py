"""Windows of time over faces or audio: their length, their step and, for audio, their samples."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from emofuse.core.time import TICKS_PER_SECOND, Timeline, ticks
from emofuse.errors import SettingsError


@dataclass(frozen=True)
class Windows:
    """Windows of `seconds`, one every `step_seconds`; the first one begins at 0.

    rate_hz: sample rate of audio; 0 for windows of faces.
    segments: number of equal segments of a window, each with scores of its own.
    min_voice_seconds: audio windows with less voice are skipped.

    Raises:
        SettingsError: a length is not positive, or not a whole number of samples.

    >>> Windows(4, 1.6, rate_hz=12000).samples
    (48000, 19200)
    """

    seconds: float = 4.0
    step_seconds: float = 2.0
    rate_hz: int = 0
    segments: int = 1
    min_voice_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.rate_hz < 0 or self.segments < 1 or self.min_voice < 0:
            raise SettingsError(
                f"windows: found a rate of {self.rate_hz} Hz, {self.segments} segments and at least "
                f"{self.min_voice_seconds} s of voice; give no negative number, and one segment or more."
            )
        for name, length in (("width", self.width), ("step", self.step)):
            if length < 1:
                raise SettingsError(f"windows: a {name} of {length / TICKS_PER_SECOND:g} s; give more than 0 s.")
            if length * self.rate_hz % TICKS_PER_SECOND:
                raise SettingsError(
                    f"windows: a {name} of {length / TICKS_PER_SECOND:g} s is not a whole number of samples at "
                    f"{self.rate_hz} Hz; choose another length or rate."
                )
        if self.samples[0] % self.segments:
            raise SettingsError(f"windows: {self.samples[0]} samples cannot be divided into {self.segments} segments.")

    @property
    def width(self) -> int:
        """Length of a window in ticks."""
        return ticks(Fraction(str(self.seconds)))

    @property
    def step(self) -> int:
        """Ticks from the start of a window to that of the next."""
        return ticks(Fraction(str(self.step_seconds)))

    @property
    def min_voice(self) -> int:
        """`min_voice_seconds` in ticks."""
        return ticks(Fraction(str(self.min_voice_seconds)))

    @property
    def samples(self) -> tuple[int, int]:
        """Width and step in samples of audio."""
        return self.width * self.rate_hz // TICKS_PER_SECOND, self.step * self.rate_hz // TICKS_PER_SECOND

    def timeline(self, end: int) -> Timeline:
        """The windows of a video that ends at `end` (ticks); the last ones are cut there."""
        return Timeline.windows(self.width, self.step, end=end)
