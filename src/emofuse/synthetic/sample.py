"""A film to try things on: one drawn person who talks, feels this and that, and once leaves the picture.

No footage of real people may ship with the package. The loudness of the voice moves the lips, its pitch and pace
follow the emotion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.errors import SettingsError
from emofuse.media.encode import write_video
from emofuse.synthetic.actor import Liveliness, alive, ease, mouth_openings
from emofuse.synthetic.formants import SOUND_RATE_HZ, block_times, speak, tone_rows
from emofuse.synthetic.render import EXPRESSIONS, Expression, FaceRenderer, Identity, Light, Pose

Floats = NDArray[Any]
Moment = tuple[float, float, str]

AWAY = "away"
_SHORTEST_SECONDS = 6.0
_AWAY_SECONDS = 1.0
_FADE_SECONDS = 0.4  # from one expression to the next, half before and half after the border
_WALK_SECONDS = 0.55  # out of the picture, and back in
# Parts of the time that is not spent away; the person leaves after the first three.
_PARTS = (("neutral", 0.19), ("happiness", 0.21), ("surprise", 0.18), ("sadness", 0.21), ("anger", 0.21))
_AWAY_AFTER = 3


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
    mouth = mouth_openings(sound, count)
    renderer = FaceRenderer(Identity(), Light(), size=size, seed=face_seed)
    rng = np.random.default_rng(move_seed)
    moves = Liveliness.of(seconds, rng)
    frames = _frames(renderer, story, mouth, moves, rate_hz)
    write_video(path, frames, rate_hz=rate_hz, audio=sound, audio_rate_hz=SOUND_RATE_HZ)
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


def _frames(
    renderer: FaceRenderer, story: Sequence[Moment], mouth: Floats, moves: Liveliness, rate_hz: Fraction
) -> Iterator[NDArray[np.uint8]]:
    for n, opening in enumerate(mouth):
        time = float((n + Fraction(1, 2)) / rate_hz)
        face = _expression(story, time)
        face = alive(face, opening=opening, shut=moves.shut(time))
        yield renderer.frame(face, _pose(story, time, moves))


def _expression(story: Sequence[Moment], time: float) -> Expression:
    """Of the moment; around a border the two sides mix smoothly."""
    faces = [EXPRESSIONS["neutral" if name == AWAY else name] for _, _, name in story]
    mixed = faces[0]
    for (start, _, _), face in zip(story[1:], faces[1:], strict=True):
        mixed = mixed.towards(face, ease((time - start) / _FADE_SECONDS + 0.5))
    return mixed


def _pose(story: Sequence[Moment], time: float, moves: Liveliness) -> Pose:
    left, back = next((start, end) for start, end, name in story if name == AWAY)
    # Entirely outside from `left` to `back`; the walk itself belongs to the moments before and after.
    gone = ease((time - left) / _WALK_SECONDS + 1) * ease((back - time) / _WALK_SECONDS + 1)
    turn = ease((time - left) / _WALK_SECONDS + 1.6) * ease((back - time) / _WALK_SECONDS + 1.6)
    sorrow = sum(ease((time - s) / 0.6) * ease((u - time) / 0.6) for s, u, name in story if name == "sadness")
    place = Pose(x=0.5 + 0.95 * gone, y=0.43 + 0.02 * gone, yaw=24.0)
    return moves.pose(time, place, sorrow=sorrow, turn=turn)


# -- sound ----------------------------------------------------------------------------------------------------


def synthetic_voice(story: Sequence[Moment], samples: int, *, rng: np.random.Generator) -> NDArray[np.float32]:
    """A voice without words, float32 [samples] at 48 kHz; it follows the emotions of the story."""
    starts = [start for start, _, _ in story]
    rows = tone_rows(["neutral" if name == AWAY else name for _, _, name in story])
    spoken = speak(rows[np.searchsorted(starts, block_times(samples), side="right") - 1], samples, rng=rng)
    return (0.5 * spoken / max(float(np.abs(spoken).max()), 1e-9)).astype(np.float32)
