"""Where somebody speaks: stretches of time with and without voice, found while the sound comes in.

Sound of any rate is brought to 16 kHz and cut into short frames. A judge says of each frame whether it may hold voice;
a frame counts as voice when enough of the frames around it may. Frames of silence never do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from emofuse.core.files import digest
from emofuse.core.time import ticks
from emofuse.errors import SettingsError
from emofuse.media.audio import AudioBlock
from emofuse.speech.stream import ContiguousBlocks, Floats, Resampler

Bools = NDArray[np.bool_]

RATE_HZ = 16000
SILENCE = 2.0**-16  # half a step of 16 bits; the filter that resamples leaves less where there were zeros


class ActivitySegment(NamedTuple):
    """Time from start to end, in ticks, with or without voice."""

    start: int
    end: int
    active: bool


class ActivityStream(Protocol):
    """One live stream of sound in which voice is found; its stretches follow one another without gaps.

    lookahead: ticks; once sound was pushed up to t, everything before t - lookahead is decided.
    """

    lookahead: int

    def push(self, sound: AudioBlock) -> list[ActivitySegment]:
        """Take the next block, which begins where the one before it ended, and give what is decided."""
        ...

    def close(self) -> list[ActivitySegment]:
        """The end of the sound: what is left."""
        ...


class SpeechDetector(Protocol):
    """A way to find voice in sound; `identity` names it in results."""

    identity: str

    def stream(self, rate_hz: int) -> ActivityStream:
        """A fresh stream; several may run at once."""
        ...


class FrameClassifier(Protocol):
    """Judges the frames of one stream, one after another. frame: samples of a frame at 16 kHz."""

    frame: int

    def __call__(self, frames: Floats) -> Bools:
        """Whether each of the next frames, float32 [n, frame], may hold voice; bool [n]."""
        ...


@dataclass(frozen=True)
class VoteWindow:
    """How frames are joined: a frame is voice when `least` of those from `before` it to `after` it may be."""

    before: int
    after: int
    least: int = 1

    def __post_init__(self) -> None:
        if self.before < 0 or self.after < 0 or not 1 <= self.least <= self.before + self.after + 1:
            raise SettingsError(f"{self}: give before and after of 0 or more, and at least 1 frame that there is.")


class AlwaysActive:
    """No detection: there is voice all the time, as with sound that was cut by hand."""

    identity = "none"

    def stream(self, rate_hz: int) -> AlwaysActiveStream:
        """A fresh stream."""
        return AlwaysActiveStream(rate_hz)


class AlwaysActiveStream:
    """A stream that is voice from end to end."""

    lookahead = 0

    def __init__(self, rate_hz: int) -> None:
        self._intake = ContiguousBlocks("voice activity", rate_hz)

    def push(self, sound: AudioBlock) -> list[ActivitySegment]:
        first = self._intake.received
        self._intake.take(sound)
        start, end = self._intake.moment(first), self._intake.moment(self._intake.received)
        return [ActivitySegment(start, end, True)] if end > start else []

    def close(self) -> list[ActivitySegment]:
        return []


@dataclass(frozen=True)
class EnergySettings:
    """What counts as voice by its energy between `low_hz` and `high_hz`.

    margin_db: a frame that is louder than the noise by so much may be voice.
    floor_seconds: the noise is as loud as the softest 60 ms in this time, so noise that began is known after it.
    quietest_db: of full scale; noise softer than this counts as so loud.
    trust_seconds: at the beginning nothing is known of the noise, and it counts as that for this time.
    """

    low_hz: float = 100.0
    high_hz: float = 4000.0
    margin_db: float = 4.5
    floor_seconds: float = 2.5
    quietest_db: float = -65.0
    trust_seconds: float = 1.5


class EnergyDetector:
    """Voice is what is louder than the noise of the last seconds. It cannot tell voice from music or babble.

    >>> rate = 16000
    >>> tone = 0.1 * np.sin(2 * np.pi * 300 * np.arange(rate) / rate, dtype=np.float32)
    >>> stretches = EnergyDetector().stream(rate).push(AudioBlock(np.append(0 * tone, tone), 0, rate))
    >>> [(s.start / ticks(1), s.end / ticks(1), s.active) for s in stretches]  # the last 0.1 s are not decided yet
    [(0.0, 1.0, False), (1.0, 1.9, True)]
    """

    AROUND = VoteWindow(before=10, after=5, least=3)  # 0.2 s and 0.1 s

    def __init__(self, settings: EnergySettings = EnergySettings()) -> None:
        self.settings = settings
        self.identity = f"energy:{digest({**asdict(settings), **asdict(self.AROUND)})[:12]}"

    def stream(self, rate_hz: int) -> FramewiseActivity:
        """A fresh stream."""
        return FramewiseActivity(EnergyClassifier(self.settings), self.AROUND, rate_hz)


class EnergyClassifier:
    """Judges frames of 20 ms by their energy above that of the noise."""

    frame = 320

    def __init__(self, settings: EnergySettings) -> None:
        self._settings = settings
        self._sos = butter(2, (settings.low_hz, settings.high_hz), "bandpass", fs=RATE_HZ, output="sos")
        self._state = np.zeros((len(self._sos), 2))
        span, trusted = (round(s * RATE_HZ / self.frame) for s in (settings.floor_seconds, settings.trust_seconds))
        self._powers = np.full(2, np.inf)  # of the last frames; with what went before them the first are no floor
        self._levels = np.full(span - 1, np.inf)  # of the last frames, what went before first
        self._levels[:trusted] = settings.quietest_db

    def __call__(self, frames: Floats) -> Bools:
        if not len(frames):
            return np.zeros(0, bool)
        heard, self._state = sosfilt(self._sos, frames.reshape(-1).astype(np.float64), zi=self._state)
        power = np.square(heard.reshape(frames.shape)).mean(axis=1)
        powers = np.append(self._powers, power)
        levels = np.append(self._levels, self._decibels((powers[2:] + powers[1:-1] + powers[:-2]) / 3))
        self._powers, self._levels = powers[-2:], levels[len(frames) :]
        floor = np.lib.stride_tricks.sliding_window_view(levels, len(self._levels) + 1).min(axis=1)
        return np.asarray(self._decibels(power) - floor > self._settings.margin_db)

    def _decibels(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of full scale, not below the quietest noise."""
        quietest: float = 10 ** (self._settings.quietest_db / 10)
        return 10 * np.log10(np.maximum(power, quietest))


class FramewiseActivity:
    """One stream of sound, cut into frames and judged.

    Raises:
        SettingsError: the rate is below 1.
        ShapeError: on a push, the block has another rate or does not begin where the one before it ended.
    """

    def __init__(self, judge: FrameClassifier, around: VoteWindow, rate_hz: int) -> None:
        self._judge, self._around = judge, around
        self._intake = ContiguousBlocks("voice activity", rate_hz)
        self._resampler = Resampler(rate_hz, RATE_HZ)
        self._step = judge.frame * ticks(Fraction(1, RATE_HZ))
        self.lookahead = (around.after + 1) * self._step + ticks(self._resampler.seconds_held)
        self._waiting = np.empty(0, np.float32)
        self._maybe = np.zeros(
            around.before, bool
        )  # of the last `before` frames that are decided, and all that are not
        self._silent = np.zeros(0, bool)  # of those that are not
        self._decided = 0

    def push(self, sound: AudioBlock) -> list[ActivitySegment]:
        return self._heard(self._resampler.push(self._intake.take(sound)))

    def close(self) -> list[ActivitySegment]:
        rest = np.append(self._waiting, self._resampler.close())
        self._waiting = rest[:0]
        length = self._intake.moment(self._intake.received) - self._intake.moment(0)
        frames = -(-length // self._step) - self._decided - len(self._silent)
        return self._heard(np.pad(rest, (0, max(frames * self._judge.frame - len(rest), 0))), last=True)

    def _heard(self, samples: Floats, *, last: bool = False) -> list[ActivitySegment]:
        self._waiting = np.append(self._waiting, samples)
        count = len(self._waiting) // self._judge.frame
        frames = self._waiting[: count * self._judge.frame].reshape(count, self._judge.frame)
        self._waiting = self._waiting[count * self._judge.frame :]
        self._silent = np.append(self._silent, np.abs(frames).max(axis=1, initial=0) < SILENCE)
        self._maybe = np.append(self._maybe, self._judge(frames))
        ahead = self._around.after
        if last:
            self._maybe = np.append(self._maybe, np.zeros(ahead, bool))
            ahead = 0
        return self._stretches(max(len(self._silent) - ahead, 0), last=last)

    def _stretches(self, count: int, *, last: bool) -> list[ActivitySegment]:
        """The next frames, neighbours that are alike joined."""
        width = self._around.before + self._around.after + 1
        sums = np.cumsum(np.append(0, self._maybe))
        active = sums[width : width + count] - sums[:count] >= self._around.least
        active &= ~self._silent[:count]
        self._maybe, self._silent = self._maybe[count:], self._silent[count:]
        first, self._decided = self._decided, self._decided + count
        changes = [0, *(np.flatnonzero(np.diff(active)) + 1), count]
        bounds = [self._bound(first + n) for n in changes]
        if last:
            bounds[-1] = self._intake.moment(self._intake.received)
        return [
            ActivitySegment(start, end, bool(active[n]))
            for n, (start, end) in zip(changes, pairwise(bounds), strict=False)
            if end > start
        ]

    def _bound(self, frame: int) -> int:
        """Ticks at which a frame begins, never beyond the sound."""
        start = self._intake.moment(0) + int(frame) * self._step
        return min(start, self._intake.moment(self._intake.received))
