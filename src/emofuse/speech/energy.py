"""Speech detection by energy: needs no weights, and cannot distinguish speech from music or babble noise."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from emofuse.core.files import digest
from emofuse.media.channels import Floats
from emofuse.speech.activity import RATE_HZ, Bools, FramewiseActivity, VoteWindow
from emofuse.speech.stream import SPEECH_DETECTORS

BAND_HZ = (100.0, 4000.0)  # energy is measured between these
MARGIN_DB = 4.5  # a frame that is louder than the noise by this much may contain speech
FLOOR_SECONDS = 2.5  # the noise level is that of the quietest 60 ms in this time
QUIETEST_DB = -65.0  # relative to full scale; noise below it counts as this loud
TRUST_SECONDS = 1.5  # at the beginning, when the noise level is unknown, QUIETEST_DB is assumed for this time


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

    def __init__(self) -> None:
        levels = {"margin_db": MARGIN_DB, "floor_seconds": FLOOR_SECONDS, "quietest_db": QUIETEST_DB}
        settings = {"band_hz": BAND_HZ, "trust_seconds": TRUST_SECONDS, **levels, **asdict(self.WINDOW)}
        self.identity = f"energy:{digest(settings)[:12]}"

    def stream(self, rate_hz: int) -> FramewiseActivity:
        """A new stream."""
        return FramewiseActivity(EnergyClassifier(), self.WINDOW, rate_hz)


SPEECH_DETECTORS.add("energy", lambda locate, engine: EnergyDetector())


class EnergyClassifier:
    """Classifies frames of 20 ms by their energy above that of the noise."""

    frame = 320

    def __init__(self) -> None:
        self._filter = butter(2, BAND_HZ, "bandpass", fs=RATE_HZ, output="sos")
        self._state = np.zeros((len(self._filter), 2))
        span, trusted = (round(s * RATE_HZ / self.frame) for s in (FLOOR_SECONDS, TRUST_SECONDS))
        self._powers = np.full(2, np.inf)  # of the last two frames; infinite before the first, which sets no floor
        self._levels = np.full(span - 1, np.inf)  # of the last frames, oldest first
        self._levels[:trusted] = QUIETEST_DB

    def __call__(self, frames: Floats) -> Bools:
        if not len(frames):
            return np.zeros(0, bool)
        filtered, self._state = sosfilt(self._filter, frames.reshape(-1).astype(np.float64), zi=self._state)
        power = np.square(filtered.reshape(frames.shape)).mean(axis=1)
        powers = np.append(self._powers, power)
        levels = np.append(self._levels, self._decibels((powers[2:] + powers[1:-1] + powers[:-2]) / 3))
        self._powers, self._levels = powers[-2:], levels[len(frames) :]
        floor = np.lib.stride_tricks.sliding_window_view(levels, len(self._levels) + 1).min(axis=1)
        return np.asarray(self._decibels(power) - floor > MARGIN_DB)

    def _decibels(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        """Relative to full scale, not below the quietest noise."""
        quietest: float = 10 ** (QUIETEST_DB / 10)
        return 10 * np.log10(np.maximum(power, quietest))
