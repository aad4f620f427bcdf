"""The audio of a synthetic video: the voices of its subjects, and music or noise in the background.

All audio is mono at RATE_HZ. Levels are root mean squares over the whole video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter, resample_poly

from emofuse.core.labels import AFFWILD2
from emofuse.synthetic.corpus.intensity import intensities, voice_of
from emofuse.synthetic.corpus.plan import PlannedEntry, PlannedVideo
from emofuse.synthetic.corpus.subjects import Subject, subject
from emofuse.synthetic.speech import SPEECH_RATE_HZ, block_times, prosody_rows, synthesise

Floats = NDArray[Any]
Audio = NDArray[np.float32]

RATE_HZ = 16_000
_PIECE_SECONDS = 8.0  # voices are synthesised in pieces, so that memory does not grow with the video
_LOOP_SECONDS = 15.0  # backgrounds repeat
_FADE_SECONDS = 0.03
_LEVEL, _LOUDEST = 0.07, 0.95
_MOST_GAIN_DB = 5.0
_EXAGGERATION = 1.8  # of prosody, since emotions have partial intensity and must be audible through noise
# Paul Kellet's filter: -3 dB per octave.
_PINK = ((0.049922035, -0.095993537, 0.050612699, -0.004408786), (1, -2.494956002, 2.017265875, -0.522189400))
_CHORDS = ((0, 4, 7, 12), (9, 12, 16, 21), (5, 9, 12, 17), (7, 11, 14, 19))  # semitones: C, a, F, G
_CHORD_SECONDS = 1.875


def voices(video: PlannedVideo, *, seed: int) -> list[Audio]:
    """The clean voice of each subject, float32 [samples], at its level in the video.

    A video without audio has voices too, since they move the lips.
    """
    samples = round(video.frames / video.rate_hz * RATE_HZ)
    speech = []
    for k, entry in enumerate(video.entries):
        who = subject(entry.subject, seed=seed)
        speech.append(_voice(entry, who, samples, np.random.default_rng([seed, 3, video.number, k])))
    rng = np.random.default_rng([seed, 4, video.number])
    gain = _LEVEL * 10 ** (rng.uniform(-_MOST_GAIN_DB, _MOST_GAIN_DB) / 20) / max(_level(sum(speech)), 1e-9)
    return [np.asarray(voice * np.float32(gain)) for voice in speech]


def mixture(video: PlannedVideo, voice: Audio, *, seed: int) -> tuple[Audio, float]:
    """The audio of a video, float32 [samples], and the gain of the voice in it relative to `voice`.

    voice: float32 [samples], the sum of all voices. Its level is `video.snr_db` above that of the background.
    """
    audible = voice
    if video.snr_db is not None:
        rng = np.random.default_rng([seed, 5, video.number])
        loop = BACKGROUNDS[video.background](round(min(len(voice) / RATE_HZ, _LOOP_SECONDS) * RATE_HZ), rng)
        background = np.resize(loop, len(voice)).astype(np.float32)
        background *= _level(voice) / max(_level(background), 1e-9) * 10 ** (-video.snr_db / 20)
        audible = voice + background
    factor = min(1.0, _LOUDEST / max(float(np.abs(audible).max()), 1e-9))
    return np.asarray(audible * np.float32(factor)), factor


def _level(audio: Any) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))


def _voice(entry: PlannedEntry, who: Subject, samples: int, rng: np.random.Generator) -> Audio:
    audio = np.zeros(samples, np.float32)
    calm, *_ = prosodies = prosody_rows(list(AFFWILD2.names))
    prosodies = calm + _EXAGGERATION * (prosodies - calm)
    waves = int(rng.integers(2**32))
    for start, end in _pieces(entry):
        first, last = round(start * RATE_HZ), min(round(end * RATE_HZ), samples)
        count = (last - first) * (SPEECH_RATE_HZ // RATE_HZ)
        # All pieces share the waves of the intensity, which are those of the whole video.
        weights = intensities(entry.segments, start + block_times(count), voice_of, rng=np.random.default_rng(waves))
        speech = synthesise(weights @ prosodies, count, speaker=who.speaker, rng=rng)
        fade = np.clip(np.minimum(np.arange(count), np.arange(count)[::-1]) / (_FADE_SECONDS * SPEECH_RATE_HZ), 0, 1)
        audio[first:last] = resample_poly(who.loudness * fade * speech, 1, SPEECH_RATE_HZ // RATE_HZ)
    return audio


def _pieces(entry: PlannedEntry) -> Iterator[tuple[float, float]]:
    """Stretches of speech, none longer than 8 s."""
    speaking = [(segment.start, segment.end) for segment in entry.segments if segment.voice is not None]
    while speaking:
        start, end = speaking.pop(0)
        while speaking and speaking[0][0] == end:
            end = speaking.pop(0)[1]
        borders = np.linspace(start, end, int(np.ceil((end - start) / _PIECE_SECONDS)) + 1).tolist()
        yield from pairwise(borders)


# -- backgrounds ----------------------------------------------------------------------------------------------


def _pink(samples: int, rng: np.random.Generator) -> Floats:
    return np.asarray(lfilter(*_PINK, rng.normal(0, 1, samples)))


def _hum(samples: int, rng: np.random.Generator) -> Floats:
    """Mains hum with harmonics, and the noise of a fan."""
    base, seconds = rng.choice((50.0, 60.0)), np.arange(samples) / RATE_HZ
    tones = sum(np.sin(2 * np.pi * k * base * seconds + rng.uniform(0, 6)) / k for k in (1, 2, 3, 4, 6, 8))
    return np.asarray(tones + 0.35 * _pink(samples, rng) / 0.1)


def _babble(samples: int, rng: np.random.Generator) -> Floats:
    """Four other subjects speaking at once, with random emotions."""
    count = samples * (SPEECH_RATE_HZ // RATE_HZ)
    total = np.zeros(count)
    prosodies = prosody_rows(list(AFFWILD2.names))
    for _ in range(4):
        who = subject(int(rng.integers(10**6)), seed=int(rng.integers(2**32)))
        blocks = len(block_times(count))
        prosody = np.repeat(prosodies[rng.integers(0, len(prosodies), blocks // 250 + 1)], 250, axis=0)[:blocks]
        speech = synthesise(prosody, count, speaker=who.speaker, rng=rng)
        total += speech / _level(speech)
    return np.asarray(resample_poly(total, 1, SPEECH_RATE_HZ // RATE_HZ))


def _music(samples: int, rng: np.random.Generator) -> Floats:
    """Four plucked chords over a drum beat."""
    seconds = np.arange(samples) / RATE_HZ
    root = 110 * 2 ** (rng.integers(0, 12) / 12)
    order = rng.permutation(len(_CHORDS))
    beat = seconds % (_CHORD_SECONDS / 4)
    audio = np.zeros(samples)
    for start in range(0, samples, round(_CHORD_SECONDS * RATE_HZ)):
        rows = slice(start, start + round(_CHORD_SECONDS * RATE_HZ))
        notes = _CHORDS[order[start // round(_CHORD_SECONDS * RATE_HZ) % len(_CHORDS)]]
        for note in notes:
            pitch = root * 2 ** (note / 12)
            for k in range(1, 6):
                audio[rows] += (
                    np.sin(2 * np.pi * k * pitch * seconds[rows]) * np.exp(-1.5 * k**0.5 * beat[rows] * 2) / k
                )
    kick = np.sin(2 * np.pi * 55 * beat) * np.exp(-18 * beat)
    hat = rng.normal(0, 1, samples) * np.exp(-60 * (seconds % (_CHORD_SECONDS / 8)))
    return np.asarray(audio + 3.0 * kick + 0.5 * hat)


BACKGROUNDS: dict[str, Callable[[int, np.random.Generator], Floats]] = {
    "music": _music,
    "pink": _pink,
    "babble": _babble,
    "hum": _hum,
}
