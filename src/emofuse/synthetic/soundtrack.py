"""What is heard in a synthetic video: the voices of its persons, and music or noise behind them.

Everything is mono at RATE_HZ. Levels are means of the squared samples over the whole video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter, resample_poly

from emofuse.core.labels import AFFWILD2
from emofuse.synthetic.formants import SOUND_RATE_HZ, block_times, speak, tone_rows
from emofuse.synthetic.intensity import intensities, voice_of
from emofuse.synthetic.plan import Entry, Video
from emofuse.synthetic.subjects import Person, person

Floats = NDArray[Any]
Sound = NDArray[np.float32]

RATE_HZ = 16_000
_PIECE_SECONDS = 8.0  # voices are made in pieces: what making them needs does not grow with the video
_LOOP_SECONDS = 15.0  # backgrounds repeat
_FADE_SECONDS = 0.03
_LEVEL, _LOUDEST = 0.07, 0.95
_MOST_GAIN_DB = 5.0
_FORCE = 1.8  # of emotions, which are shown in part only and have to be heard through noise
# Paul Kellet's filter: -3 dB an octave.
_PINK = ((0.049922035, -0.095993537, 0.050612699, -0.004408786), (1, -2.494956002, 2.017265875, -0.522189400))
_CHORDS = ((0, 4, 7, 12), (9, 12, 16, 21), (5, 9, 12, 17), (7, 11, 14, 19))  # semitones: C, a, F, G
_CHORD_SECONDS = 1.875


def voices(video: Video, *, seed: int) -> list[Sound]:
    """The clean voice of each person, float32 [samples], at the level that it has in the video.

    A video without sound has them too: lips move by them.
    """
    samples = round(video.frames / video.rate_hz * RATE_HZ)
    spoken = []
    for k, entry in enumerate(video.entries):
        who = person(entry.person, seed=seed)
        spoken.append(_voice(entry, who, samples, np.random.default_rng([seed, 3, video.number, k])))
    rng = np.random.default_rng([seed, 4, video.number])
    gain = _LEVEL * 10 ** (rng.uniform(-_MOST_GAIN_DB, _MOST_GAIN_DB) / 20) / max(_level(sum(spoken)), 1e-9)
    return [np.asarray(voice * np.float32(gain)) for voice in spoken]


def mixture(video: Video, voice: Sound, *, seed: int) -> tuple[Sound, float]:
    """All that is heard, float32 [samples], and the factor by which the voice in it is softer than `voice`.

    voice: float32 [samples], all voices together. Its level is `video.snr_db` above that of the background.
    """
    heard = voice
    if video.snr_db is not None:
        rng = np.random.default_rng([seed, 5, video.number])
        loop = _BACKGROUNDS[video.background](round(min(len(voice) / RATE_HZ, _LOOP_SECONDS) * RATE_HZ), rng)
        behind = np.resize(loop, len(voice)).astype(np.float32)
        behind *= _level(voice) / max(_level(behind), 1e-9) * 10 ** (-video.snr_db / 20)
        heard = voice + behind
    factor = min(1.0, _LOUDEST / max(float(np.abs(heard).max()), 1e-9))
    return np.asarray(heard * np.float32(factor)), factor


def _level(sound: Any) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))


def _voice(entry: Entry, who: Person, samples: int, rng: np.random.Generator) -> Sound:
    sound = np.zeros(samples, np.float32)
    calm, *_ = tones = tone_rows(list(AFFWILD2.names))
    tones = calm + _FORCE * (tones - calm)
    waves = int(rng.integers(2**32))
    for start, end in _pieces(entry):
        first, last = round(start * RATE_HZ), min(round(end * RATE_HZ), samples)
        count = (last - first) * (SOUND_RATE_HZ // RATE_HZ)
        # The waves of the intensity are those of the whole video, whichever piece is made.
        parts = intensities(entry.segments, start + block_times(count), voice_of, rng=np.random.default_rng(waves))
        spoken = speak(parts @ tones, count, speaker=who.speaker, rng=rng)
        fade = np.clip(np.minimum(np.arange(count), np.arange(count)[::-1]) / (_FADE_SECONDS * SOUND_RATE_HZ), 0, 1)
        sound[first:last] = resample_poly(who.loudness * fade * spoken, 1, SOUND_RATE_HZ // RATE_HZ)
    return sound


def _pieces(entry: Entry) -> Iterator[tuple[float, float]]:
    """Stretches in which the person speaks, none longer than 8 s."""
    said = [(segment.start, segment.end) for segment in entry.segments if segment.voice is not None]
    while said:
        start, end = said.pop(0)
        while said and said[0][0] == end:
            end = said.pop(0)[1]
        borders = np.linspace(start, end, int(np.ceil((end - start) / _PIECE_SECONDS)) + 1).tolist()
        yield from pairwise(borders)


# -- backgrounds ----------------------------------------------------------------------------------------------


def _pink(samples: int, rng: np.random.Generator) -> Floats:
    return np.asarray(lfilter(*_PINK, rng.normal(0, 1, samples)))


def _hum(samples: int, rng: np.random.Generator) -> Floats:
    """Mains and their overtones, and the air of a fan."""
    base, at = rng.choice((50.0, 60.0)), np.arange(samples) / RATE_HZ
    tones = sum(np.sin(2 * np.pi * k * base * at + rng.uniform(0, 6)) / k for k in (1, 2, 3, 4, 6, 8))
    return np.asarray(tones + 0.35 * _pink(samples, rng) / 0.1)


def _babble(samples: int, rng: np.random.Generator) -> Floats:
    """Four persons of no corpus speaking at once, each as they feel."""
    count = samples * (SOUND_RATE_HZ // RATE_HZ)
    total = np.zeros(count)
    tones = tone_rows(list(AFFWILD2.names))
    for _ in range(4):
        who = person(int(rng.integers(10**6)), seed=int(rng.integers(2**32)))
        blocks = len(block_times(count))
        felt = np.repeat(tones[rng.integers(0, len(tones), blocks // 250 + 1)], 250, axis=0)[:blocks]
        spoken = speak(felt, count, speaker=who.speaker, rng=rng)
        total += spoken / _level(spoken)
    return np.asarray(resample_poly(total, 1, SOUND_RATE_HZ // RATE_HZ))


def _music(samples: int, rng: np.random.Generator) -> Floats:
    """Four chords plucked over a beat of drums."""
    at = np.arange(samples) / RATE_HZ
    root = 110 * 2 ** (rng.integers(0, 12) / 12)
    order = rng.permutation(len(_CHORDS))
    beat = at % (_CHORD_SECONDS / 4)
    sound = np.zeros(samples)
    for start in range(0, samples, round(_CHORD_SECONDS * RATE_HZ)):
        rows = slice(start, start + round(_CHORD_SECONDS * RATE_HZ))
        notes = _CHORDS[order[start // round(_CHORD_SECONDS * RATE_HZ) % len(_CHORDS)]]
        for note in notes:
            pitch = root * 2 ** (note / 12)
            for k in range(1, 6):
                sound[rows] += np.sin(2 * np.pi * k * pitch * at[rows]) * np.exp(-1.5 * k**0.5 * beat[rows] * 2) / k
    kick = np.sin(2 * np.pi * 55 * beat) * np.exp(-18 * beat)
    hat = rng.normal(0, 1, samples) * np.exp(-60 * (at % (_CHORD_SECONDS / 8)))
    return np.asarray(sound + 3.0 * kick + 0.5 * hat)


_BACKGROUNDS: dict[str, Callable[[int, np.random.Generator], Floats]] = {
    "music": _music,
    "pink": _pink,
    "babble": _babble,
    "hum": _hum,
}
