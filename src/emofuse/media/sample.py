"""A film to try things on: one drawn person who talks, feels this and that, and once leaves the picture.

No footage of real people may ship with the package. The voice is a source and a filter (glottal pulses
through formant resonators); its loudness moves the lips, its pitch and pace follow the emotion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from emofuse.errors import SettingsError
from emofuse.media.encode import write_video
from emofuse.media.render import EXPRESSIONS, Expression, FaceRenderer, Identity, Light, Pose

Floats = NDArray[Any]
Moment = tuple[float, float, str]

AWAY = "away"
SOUND_RATE_HZ = 48_000
_SHORTEST_SECONDS = 6.0
_AWAY_SECONDS = 1.0
_FADE_SECONDS = 0.4  # from one expression to the next, half before and half after the border
_WALK_SECONDS = 0.55  # out of the picture, and back in
# Parts of the time that is not spent away; the person leaves after the first three.
_PARTS = (("neutral", 0.19), ("happiness", 0.21), ("surprise", 0.18), ("sadness", 0.21), ("anger", 0.21))
_AWAY_AFTER = 3


@dataclass(frozen=True)
class Tone:
    """How a voice sounds in an emotion: mean pitch, its swing and fall, syllables a second, loudness."""

    pitch_hz: float
    swing: float
    fall: float
    syllables_hz: float
    loudness: float
    breath: float = 0.02


TONES: dict[str, Tone] = {
    "neutral": Tone(172, 0.07, 0.05, 3.8, 0.5),
    "happiness": Tone(232, 0.20, 0.02, 4.6, 0.72),
    "surprise": Tone(262, 0.28, -0.25, 3.4, 0.75),
    "sadness": Tone(150, 0.04, 0.14, 2.6, 0.32, 0.06),
    "anger": Tone(208, 0.16, 0.10, 5.0, 1.0),
}

_VOWELS_HZ = np.array([[730, 1090, 2440], [530, 1840, 2480], [270, 2290, 3010], [570, 840, 2410], [300, 870, 2240],
                       [490, 1350, 1690]], float)  # fmt: skip
_BANDWIDTHS_HZ = (80.0, 100.0, 140.0, 220.0)
_BLOCK_SECONDS = 0.01


def make_sample(
    path: str | Path,
    *,
    seconds: float = 12.0,
    size: tuple[int, int] = (1280, 720),
    rate_hz: Fraction = Fraction(30),
    seed: int = 0,
) -> list[Moment]:
    """Write the film; the same arguments give the same bytes.

    Args:
        seconds: length, rounded to whole frames; at least 6.
        size: width and height in pixels, both even.
    Returns:
        What it shows, as (start, end, emotion) in seconds; they tile the film. While the emotion is
        "away" no face is in the picture; the voice goes on.
    Raises:
        SettingsError: the film would be too short, or the size is odd.
        OutputError: the file cannot be written.
    """
    rate_hz = Fraction(rate_hz)
    if seconds < _SHORTEST_SECONDS:
        raise SettingsError(f"a sample of {seconds:g} s: it needs {_SHORTEST_SECONDS:g} s to show everything.")
    if size[0] % 2 or size[1] % 2 or min(size) < 64:
        raise SettingsError(f"a sample of {size[0]}x{size[1]} pixels: give even sides of at least 64.")
    count = round(Fraction(seconds) * rate_hz)
    samples = round(count / rate_hz * SOUND_RATE_HZ)
    story = sample_story(count, rate_hz)
    face_seed, voice_seed, move_seed = np.random.SeedSequence(seed).generate_state(3).tolist()
    sound = synthetic_voice(story, samples, rng=np.random.default_rng(voice_seed))
    mouth = _openings(sound, count)
    renderer = FaceRenderer(Identity(), Light(), size=size, seed=face_seed)
    rng = np.random.default_rng(move_seed)
    moves = _Moves(rng.uniform(0, 2 * np.pi, 6), _blinks(seconds, rng))
    frames = _frames(renderer, story, mouth, moves, rate_hz)
    write_video(path, frames, rate_hz=rate_hz, sound=sound, sound_rate_hz=SOUND_RATE_HZ)
    return story


def sample_story(count: int, rate_hz: Fraction) -> list[Moment]:
    """What the sample of `count` frames shows, on frame borders.

    >>> [name for _, _, name in sample_story(360, Fraction(30))]
    ['neutral', 'happiness', 'surprise', 'away', 'sadness', 'anger']
    """
    away = round(_AWAY_SECONDS * rate_hz)
    parts: list[tuple[str, float]] = [(name, part * (count - away)) for name, part in _PARTS]
    parts.insert(_AWAY_AFTER, (AWAY, away))
    ends = np.rint(np.cumsum([frames for _, frames in parts])).astype(int)
    starts = np.concatenate([[0], ends[:-1]])
    times = [(float(int(a) / rate_hz), float(int(b) / rate_hz)) for a, b in zip(starts, ends, strict=True)]
    return [(a, b, name) for (a, b), (name, _) in zip(times, parts, strict=True)]


# -- picture --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Moves:
    """The small movements of someone alive: phases of the sway, and when the eyes blink."""

    phases: Floats
    blinks: Floats


def _frames(
    renderer: FaceRenderer, story: Sequence[Moment], mouth: Floats, moves: _Moves, rate_hz: Fraction
) -> Iterator[NDArray[np.uint8]]:
    for n, opening in enumerate(mouth):
        time = float((n + Fraction(1, 2)) / rate_hz)
        face = _expression(story, time)
        shut = float(np.exp(-(((time - moves.blinks) / 0.06) ** 2)).max(initial=0.0))
        # An open mouth has less way to go: speech adds the more the less the emotion opens it.
        speech = opening * (1 - min(face.mouth_open, 1.0)) * (1 - 0.5 * face.lip_press)
        face = face.plus(
            mouth_open=0.2 * speech,
            jaw=0.22 * speech,
            mouth_width=-0.15 * speech,
            lid_upper=-shut * (1 + face.lid_upper),
        )
        yield renderer.frame(face, _pose(story, time, moves))


def _expression(story: Sequence[Moment], time: float) -> Expression:
    """Of the moment; around a border the two sides mix smoothly."""
    faces = [EXPRESSIONS["neutral" if name == AWAY else name] for _, _, name in story]
    mixed = faces[0]
    for (start, _, _), face in zip(story[1:], faces[1:], strict=True):
        mixed = mixed.towards(face, _ease((time - start) / _FADE_SECONDS + 0.5))
    return mixed


def _pose(story: Sequence[Moment], time: float, moves: _Moves) -> Pose:
    a, b, c, d, e, f = moves.phases
    left, back = next((start, end) for start, end, name in story if name == AWAY)
    # Entirely outside from `left` to `back`; the walk itself belongs to the moments before and after.
    gone = _ease((time - left) / _WALK_SECONDS + 1) * _ease((back - time) / _WALK_SECONDS + 1)
    turn = _ease((time - left) / _WALK_SECONDS + 1.6) * _ease((back - time) / _WALK_SECONDS + 1.6)
    sorrow = sum(_ease((time - s) / 0.6) * _ease((u - time) / 0.6) for s, u, name in story if name == "sadness")
    return Pose(
        x=0.5 + 0.95 * gone,
        y=0.43 + 0.02 * gone,
        nod_x=0.03 * np.sin(1.3 * time + a) + 0.02 * np.sin(2.1 * time + b),
        nod_y=0.02 * np.sin(1.7 * time + c) + 0.05 * sorrow,
        roll=1.8 * np.sin(0.9 * time + d) + 1.0 * np.sin(2.3 * time + e) + 3.0 * sorrow,
        yaw=4.0 * np.sin(0.7 * time + f) * (1 - turn) + 24.0 * turn,
    )


def _ease(part: float) -> float:
    """0 below 0, 1 above 1, smooth between."""
    part = min(max(part, 0.0), 1.0)
    return part * part * (3 - 2 * part)


def _blinks(seconds: float, rng: np.random.Generator) -> Floats:
    return np.asarray(np.cumsum(rng.uniform(2.2, 4.5, int(seconds) + 1)))


def _openings(sound: NDArray[np.float32], count: int) -> Floats:
    """How far speech opens the mouth in each frame, 0 to 1: the loudness of the sound, smoothed."""
    edges = np.linspace(0, len(sound), count + 1).astype(int)
    power = np.add.reduceat(sound.astype(np.float64) ** 2, edges[:-1]) / np.diff(edges)
    loud = np.convolve(np.sqrt(power), [0.25, 0.5, 0.25], mode="same")
    return np.asarray(loud / max(float(loud.max()), 1e-9))


# -- sound ----------------------------------------------------------------------------------------------------


def synthetic_voice(story: Sequence[Moment], samples: int, *, rng: np.random.Generator) -> NDArray[np.float32]:
    """A voice without words, float32 [samples] at 48 kHz; it follows the emotions of the story."""
    time = (np.arange(int(samples / SOUND_RATE_HZ / _BLOCK_SECONDS) + 2) + 0.5) * _BLOCK_SECONDS
    tones = _tones(story, time)  # [blocks, fields of Tone]
    pitch, swing, fall, pace, loud, breath = tones.T
    beat = np.cumsum(pace) * _BLOCK_SECONDS
    syllable = beat.astype(int)
    within = beat - syllable
    phrase = (syllable % 9) / 9
    # One syllable in nine is a pause for breath.
    level = loud * np.sin(np.pi * np.clip(within * 1.12, 0, 1)) ** 0.7 * (syllable % 9 != 8)
    accent = rng.normal(0, 1, syllable[-1] + 1)[syllable]
    pitch = pitch * (1 + swing * (0.6 * accent + 0.5 * np.sin(np.pi * within)) - fall * (phrase - 0.5))
    vowels = _VOWELS_HZ[rng.integers(0, len(_VOWELS_HZ), syllable[-1] + 1)[syllable]]
    smooth = np.hanning(9) / np.hanning(9).sum()
    pitch, level, *formants = (
        np.convolve(np.pad(row, 4, mode="edge"), smooth, mode="valid") for row in (pitch, level, *vowels.T)
    )
    at = np.arange(samples) / SOUND_RATE_HZ
    source = _pulses(np.interp(at, time, pitch), rng) + np.interp(at, time, breath) * rng.normal(0, 1, samples)
    spoken = _resonate(source, np.stack([*formants, np.full_like(pitch, 3500.0)], axis=1))
    spoken *= np.interp(at, time, level)
    return (0.5 * spoken / max(float(np.abs(spoken).max()), 1e-9)).astype(np.float32)


def _tones(story: Sequence[Moment], time: Floats) -> Floats:
    starts = [start for start, _, _ in story]
    rows = np.array([astuple(TONES["neutral" if name == AWAY else name]) for _, _, name in story])
    return np.asarray(rows[np.searchsorted(starts, time, side="right") - 1])


def _pulses(pitch_hz: Floats, rng: np.random.Generator) -> Floats:
    """Derivative of the glottal flow (Rosenberg's pulse: 40 % opening, 16 % closing), with a little jitter."""
    wobble = np.repeat(rng.normal(0, 0.006, len(pitch_hz) // 256 + 1), 256)[: len(pitch_hz)]
    phase = np.cumsum(pitch_hz * (1 + wobble) / SOUND_RATE_HZ) % 1.0
    opening = np.where(phase < 0.4, np.sin(np.pi * phase / 0.4), 0.0)
    closing = np.where((phase >= 0.4) & (phase < 0.56), -2.5 * np.sin(np.pi / 2 * (phase - 0.4) / 0.16), 0.0)
    return opening + closing


def _resonate(source: Floats, formants_hz: Floats) -> Floats:
    """Through one two-pole resonator after another; the formants [blocks, 4] move on every 10 ms."""
    block = round(_BLOCK_SECONDS * SOUND_RATE_HZ)
    spoken = source
    for n, width in enumerate(_BANDWIDTHS_HZ):
        radius = np.exp(-np.pi * width / SOUND_RATE_HZ)
        state: Any = np.zeros(2)
        parts = []
        for k, start in enumerate(range(0, len(spoken), block)):
            poles = [1.0, -2 * radius * np.cos(2 * np.pi * formants_hz[k, n] / SOUND_RATE_HZ), radius**2]
            part, state = lfilter([sum(poles)], poles, spoken[start : start + block], zi=state)
            parts.append(part)
        spoken = np.concatenate(parts)
    return spoken
