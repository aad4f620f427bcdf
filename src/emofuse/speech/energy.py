"""Speech detection by energy: needs no weights, and cannot distinguish speech from music or babble noise."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from emofuse.core.files import digest
from emofuse.media.audio import Floats
from emofuse.speech.activity import RATE_HZ, Bools, FramewiseActivity, VoteWindow
from emofuse.speech.stream import SPEECH_DETECTORS


@dataclass(frozen=True)
class EnergySettings:
    """What counts as speech by its energy between `low_hz` and `high_hz`.

    margin_db: a frame that is louder than the noise by this much may contain speech.
    floor_seconds: the noise level is that of the quietest 60 ms in this time, so the level of new noise is known
        after it.
    quietest_db: relative to full scale; noise below it counts as this loud.
    trust_seconds: at the beginning, when the noise level is unknown, `quietest_db` is assumed for this time.
    """

    low_hz: float = 100.0
    high_hz: float = 4000.0
    margin_db: float = 4.5
    floor_seconds: float = 2.5
    quietest_db: float = -65.0
    trust_seconds: float = 1.5


class EnergyDetector:
    """Audio that is louder than the noise of the last seconds is speech.

    >>> from emofuse.core.time import ticks
    >>> from emofuse.media.audio import AudioBlock
    >>> rate = 16000
    >>> tone = 0.1 * np.sin(2 * np.pi * 300 * np.arange(rate) / rate, dtype=np.float32)
    >>> segments = EnergyDetector().stream(rate).push(AudioBlock(np.append(0 * tone, tone), 0, rate))
    >>> [(s.start / ticks(1), s.end / ticks(1), s.active) for s in segments]  # the last 0.1 s are not decided yet
    [(0.0, 1.0, False), (1.0, 1.9, True)]
    """

    WINDOW = VoteWindow(before=10, after=5, min_votes=3)  # 0.2 s and 0.1 s

    def __init__(self, settings: EnergySettings = EnergySettings()) -> None:
        self.settings = settings
        self.identity = f"energy:{digest({**asdict(settings), **asdict(self.WINDOW)})[:12]}"

    def stream(self, rate_hz: int) -> FramewiseActivity:
        """A new stream."""
        return FramewiseActivity(EnergyClassifier(self.settings), self.WINDOW, rate_hz)


SPEECH_DETECTORS.add("energy", lambda locate, engine: EnergyDetector())


class EnergyClassifier:
    """Classifies frames of 20 ms by their energy above that of the noise."""

    frame = 320

    def __init__(self, settings: EnergySettings) -> None:
        self._settings = settings
        self._filter = butter(2, (settings.low_hz, settings.high_hz), "bandpass", fs=RATE_HZ, output="sos")
        self._state = np.zeros((len(self._filter), 2))
        span, trusted = (round(s * RATE_HZ / self.frame) for s in (settings.floor_seconds, settings.trust_seconds))
        self._powers = np.full(2, np.inf)  # of the last two frames; infinite before the first, which sets no floor
        self._levels = np.full(span - 1, np.inf)  # of the last frames, oldest first
        self._levels[:trusted] = settings.quietest_db

    def __call__(self, frames: Floats) -> Bools:
        if not len(frames):
            return np.zeros(0, bool)
        filtered, self._state = sosfilt(self._filter, frames.reshape(-1).astype(np.float64), zi=self._state)
        power = np.square(filtered.reshape(frames.shape)).mean(axis=1)
        powers = np.append(self._powers, power)
        levels = np.append(self._levels, self._decibels((powers[2:] + powers[1:-1] + powers[:-2]) / 3))
        self._powers, self._levels = powers[-2:], levels[len(frames) :]
        floor = np.lib.stride_tricks.sliding_window_view(levels, len(self._levels) + 1).min(axis=1)
        return np.asarray(self._decibels(power) - floor > self._settings.margin_db)

    def _decibels(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        """Relative to full scale, not below the quietest noise."""
        quietest: float = 10 ** (self._settings.quietest_db / 10)
        return 10 * np.log10(np.maximum(power, quietest))
