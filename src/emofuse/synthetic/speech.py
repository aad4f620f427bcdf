"""Speech-like audio without words by source-filter synthesis: glottal pulses through formant resonators.

`Prosody` describes the voice of an emotion, `Speaker` an individual voice. A prosody track is float
[blocks, fields of Prosody], one row per 10 ms, so that emotions can fade into each other. Audio has SPEECH_RATE_HZ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from emofuse.errors import ShapeError

Floats = NDArray[Any]

SPEECH_RATE_HZ = 48_000
BLOCK_SECONDS = 0.01


@dataclass(frozen=True)
class Prosody:
    """The voice of an emotion.

    Mean pitch, its swing and fall, syllables per second, loudness, breathiness. tilt_db: gain far above 1 kHz.
    tremor: amplitude of the pitch tremor relative to the pitch.
    """

    pitch_hz: float
    swing: float
    fall: float
    syllables_hz: float
    loudness: float
    breath: float = 0.02
    tilt_db: float = 0.0
    tremor: float = 0.0


PROSODIES: Mapping[str, Prosody] = MappingProxyType({
    "neutral": Prosody(172, 0.07, 0.05, 3.8, 0.5),
    "anger": Prosody(208, 0.16, 0.10, 5.0, 1.0, tilt_db=10.0),
    "disgust": Prosody(152, 0.11, 0.24, 3.0, 0.6, 0.035, tilt_db=-5.0),
    "fear": Prosody(246, 0.09, -0.04, 5.4, 0.45, 0.07, tilt_db=2.0, tremor=0.045),
    "happiness": Prosody(232, 0.20, 0.02, 4.6, 0.72, tilt_db=5.0),
    "sadness": Prosody(150, 0.04, 0.14, 2.6, 0.32, 0.06, tilt_db=-10.0),
    "surprise": Prosody(262, 0.28, -0.25, 3.4, 0.75, tilt_db=3.0),
})  # fmt: skip


@dataclass(frozen=True)
class Speaker:
    """An individual voice: pitch, tract (formants), pace and swing are factors around 1.

    breath and tilt_db are added to those of the prosody, whose own tilt is scaled by tilt_scale. The default speaker
    is that of the sample video.
    """

    pitch: float = 1.0
    tract: float = 1.0
    pace: float = 1.0
    swing: float = 1.0
    breath: float = 0.0
    tilt_db: float = 0.0
    tilt_scale: float = 0.0


_VOWELS_HZ = np.array([[730, 1090, 2440], [530, 1840, 2480], [270, 2290, 3010], [570, 840, 2410], [300, 870, 2240],
                       [490, 1350, 1690]], float)  # fmt: skip
_BANDWIDTHS_HZ = (80.0, 100.0, 140.0, 220.0)
_TILT_FROM_HZ, _TREMOR_HZ = 1000.0, 7.0


def block_times(samples: int) -> Floats:
    """The centres, in seconds, of the 10 ms blocks for a number of samples; one block more than fits."""
    return np.asarray((np.arange(int(samples / SPEECH_RATE_HZ / BLOCK_SECONDS) + 2) + 0.5) * BLOCK_SECONDS)


def prosody_rows(names: list[str]) -> Floats:
    """Prosodies by emotion, float [names, fields of Prosody].

    >>> prosody_rows(["neutral", "sadness"])[:, 0].tolist()
    [172.0, 150.0]
    """
    return np.array([astuple(PROSODIES[name]) for name in names])


def synthesise(track: Floats, samples: int, *, speaker: Speaker | None = None, rng: np.random.Generator) -> Floats:
    """Speech-like audio, float64 [samples] at SPEECH_RATE_HZ; its level follows the loudness of the prosody.

    Args:
        track: [blocks, fields of Prosody] at `block_times(samples)`.
    Raises:
        ShapeError: the track has another shape.

    >>> track = np.repeat(prosody_rows(["happiness"]), len(block_times(4800)), axis=0)
    >>> synthesise(track, 4800, rng=np.random.default_rng(0)).shape
    (4800,)
    """
    time, who = block_times(samples), speaker or Speaker()
    if track.shape != (len(time), len(Prosody.__dataclass_fields__)):
        wanted = (len(time), len(Prosody.__dataclass_fields__))
        raise ShapeError(f"synthesise: the track has shape {track.shape}; give {wanted}, one row per block_times.")
    pitch, swing, fall, pace, loud, breath, tilt, tremor = track.T
    beat = np.cumsum(pace * who.pace) * BLOCK_SECONDS
    syllable = beat.astype(int)
    within = beat - syllable
    phrase = (syllable % 9) / 9
    # One syllable in nine is a pause for breath.
    level = loud * np.sin(np.pi * np.clip(within * 1.12, 0, 1)) ** 0.7 * (syllable % 9 != 8)
    accent = rng.normal(0, 1, syllable[-1] + 1)[syllable]
    swing = swing * who.swing
    bend = 1 + swing * (0.6 * accent + 0.5 * np.sin(np.pi * within)) - fall * (phrase - 0.5)
    pitch = pitch * who.pitch * np.maximum(bend, 0.4)
    vowels = who.tract * _VOWELS_HZ[rng.integers(0, len(_VOWELS_HZ), syllable[-1] + 1)[syllable]]
    smooth = np.hanning(9) / np.hanning(9).sum()
    pitch, level, *formants = (
        np.convolve(np.pad(row, 4, mode="edge"), smooth, mode="valid") for row in (pitch, level, *vowels.T)
    )
    pitch = pitch * (1 + tremor * np.sin(2 * np.pi * _TREMOR_HZ * time))
    seconds = np.arange(samples) / SPEECH_RATE_HZ
    breathed = np.interp(seconds, time, breath + who.breath)
    source = _pulses(np.interp(seconds, time, pitch), rng) + breathed * rng.normal(0, 1, samples)
    voice = _resonate(source, np.stack([*formants, np.full_like(pitch, who.tract * 3500.0)], axis=1))
    voice = _tilted(voice, np.interp(seconds, time, who.tilt_db + who.tilt_scale * tilt))
    return np.asarray(voice * np.interp(seconds, time, level))


def _pulses(pitch_hz: Floats, rng: np.random.Generator) -> Floats:
    """Derivative of the glottal flow (Rosenberg pulses: 40 % opening, 16 % closing), with slight jitter."""
    wobble = np.repeat(rng.normal(0, 0.006, len(pitch_hz) // 256 + 1), 256)[: len(pitch_hz)]
    phase = np.cumsum(pitch_hz * (1 + wobble) / SPEECH_RATE_HZ) % 1.0
    opening = np.where(phase < 0.4, np.sin(np.pi * phase / 0.4), 0.0)
    closing = np.where((phase >= 0.4) & (phase < 0.56), -2.5 * np.sin(np.pi / 2 * (phase - 0.4) / 0.16), 0.0)
    return opening + closing


def _resonate(source: Floats, formants_hz: Floats) -> Floats:
    """The source filtered by two-pole resonators in series; formants [blocks, 4] change every 10 ms."""
    block = round(BLOCK_SECONDS * SPEECH_RATE_HZ)
    voice = source
    for n, width in enumerate(_BANDWIDTHS_HZ):
        radius = np.exp(-np.pi * width / SPEECH_RATE_HZ)
        state: Any = np.zeros(2)
        parts = []
        for k, start in enumerate(range(0, len(voice), block)):
            poles = [1.0, -2 * radius * np.cos(2 * np.pi * formants_hz[k, n] / SPEECH_RATE_HZ), radius**2]
            part, state = lfilter([sum(poles)], poles, voice[start : start + block], zi=state)
            parts.append(part)
        voice = np.concatenate(parts)
    return voice


def _tilted(voice: Floats, tilt_db: Floats) -> Floats:
    """The audio with a gain of tilt_db [samples] above about 1 kHz."""
    if not tilt_db.any():
        return voice
    keep = np.exp(-2 * np.pi * _TILT_FROM_HZ / SPEECH_RATE_HZ)
    low = lfilter([1 - keep], [1.0, -keep], voice)
    return np.asarray(low + 10 ** (tilt_db / 20) * (voice - low))
