"""A sample video: a synthetic subject who talks, expresses several emotions, and leaves the frame once.

The package cannot include footage of real people. The loudness of the voice moves the lips; pitch and pace follow the
emotion.
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
from emofuse.synthetic.actor import IdleMotion, animate, ease, mouth_openings
from emofuse.synthetic.render import EXPRESSIONS, Expression, FaceRenderer, Identity, Light, Pose
from emofuse.synthetic.speech import SPEECH_RATE_HZ, block_times, prosody_rows, synthesise

Floats = NDArray[Any]
Moment = tuple[float, float, str]

AWAY = "away"
_SHORTEST_SECONDS = 6.0
_AWAY_SECONDS = 1.0
_FADE_SECONDS = 0.4  # from one expression to the next, half before and half after the border
_WALK_SECONDS = 0.55  # out of the frame, and back in
# Fractions of the time that is not spent away; the subject leaves after the first three.
_SECTIONS = (("neutral", 0.19), ("happiness", 0.21), ("surprise", 0.18), ("sadness", 0.21), ("anger", 0.21))
_AWAY_AFTER = 3


def make_sample(
    path: str | Path,
    *,
    seconds: float = 12.0,
    size: tuple[int, int] = (1280, 720),
    rate_hz: Fraction = Fraction(30),
    seed: int = 0,
) -> list[Moment]:
    """Write the sample video; the same arguments give the same bytes.

    Args:
        seconds: length, rounded to whole frames; at least 6.
        size: width and height in pixels, both even.
    Returns:
        Its script: (start, end, emotion) in seconds, without gaps. While the emotion is "away", there is no face in the
        frame and the voice continues.
    Raises:
        SettingsError: the video would be too short, or a side is odd.
        OutputError: the file cannot be written.
    """
    rate_hz = Fraction(rate_hz)
    if seconds < _SHORTEST_SECONDS:
        raise SettingsError(
            f"a sample of {seconds:g} s: give at least {_SHORTEST_SECONDS:g} s, which its script needs."
        )
    if size[0] % 2 or size[1] % 2 or min(size) < 64:
        raise SettingsError(f"a sample of {size[0]}x{size[1]} pixels: give even sides of at least 64.")
    count = round(Fraction(seconds) * rate_hz)
    samples = round(count / rate_hz * SPEECH_RATE_HZ)
    script = sample_script(count, rate_hz)
    face_seed, voice_seed, move_seed = np.random.SeedSequence(seed).generate_state(3).tolist()
    audio = synthetic_voice(script, samples, rng=np.random.default_rng(voice_seed))
    mouth = mouth_openings(audio, count)
    renderer = FaceRenderer(Identity(), Light(), size=size, seed=face_seed)
    rng = np.random.default_rng(move_seed)
    motion = IdleMotion.random(seconds, rng)
    frames = _frames(renderer, script, mouth, motion, rate_hz)
    write_video(path, frames, rate_hz=rate_hz, audio=audio, audio_rate_hz=SPEECH_RATE_HZ)
    return script


def sample_script(count: int, rate_hz: Fraction) -> list[Moment]:
    """The script of a sample with `count` frames; it changes at frame boundaries.

    >>> [name for _, _, name in sample_script(360, Fraction(30))]
    ['neutral', 'happiness', 'surprise', 'away', 'sadness', 'anger']
    """
    away = round(_AWAY_SECONDS * rate_hz)
    sections: list[tuple[str, float]] = [(name, fraction * (count - away)) for name, fraction in _SECTIONS]
    sections.insert(_AWAY_AFTER, (AWAY, away))
    ends = np.rint(np.cumsum([frames for _, frames in sections])).astype(int)
    starts = np.concatenate([[0], ends[:-1]])
    times = [(float(int(a) / rate_hz), float(int(b) / rate_hz)) for a, b in zip(starts, ends, strict=True)]
    return [(a, b, name) for (a, b), (name, _) in zip(times, sections, strict=True)]


# -- frames ---------------------------------------------------------------------------------------------------


def _frames(
    renderer: FaceRenderer, script: Sequence[Moment], mouth: Floats, motion: IdleMotion, rate_hz: Fraction
) -> Iterator[NDArray[np.uint8]]:
    for n, opening in enumerate(mouth):
        time = float((n + Fraction(1, 2)) / rate_hz)
        face = _expression(script, time)
        face = animate(face, mouth=opening, blink=motion.blink(time))
        yield renderer.frame(face, _pose(script, time, motion))


def _expression(script: Sequence[Moment], time: float) -> Expression:
    """The expression at a time; around a change, the two expressions are blended."""
    faces = [EXPRESSIONS["neutral" if name == AWAY else name] for _, _, name in script]
    mixed = faces[0]
    for (start, _, _), face in zip(script[1:], faces[1:], strict=True):
        mixed = mixed.towards(face, ease((time - start) / _FADE_SECONDS + 0.5))
    return mixed


def _pose(script: Sequence[Moment], time: float, motion: IdleMotion) -> Pose:
    left, back = next((start, end) for start, end, name in script if name == AWAY)
    # Out of the frame from `left` to `back`; the walk itself belongs to the script before and after.
    gone = ease((time - left) / _WALK_SECONDS + 1) * ease((back - time) / _WALK_SECONDS + 1)
    turn = ease((time - left) / _WALK_SECONDS + 1.6) * ease((back - time) / _WALK_SECONDS + 1.6)
    droop = sum(ease((time - s) / 0.6) * ease((u - time) / 0.6) for s, u, name in script if name == "sadness")
    body = Pose(x=0.5 + 0.95 * gone, y=0.43 + 0.02 * gone, yaw=24.0)
    return motion.pose(time, body, droop=droop, turn=turn)


# -- audio ----------------------------------------------------------------------------------------------------


def synthetic_voice(script: Sequence[Moment], samples: int, *, rng: np.random.Generator) -> NDArray[np.float32]:
    """A voice without words, float32 [samples] at 48 kHz, that follows the emotions of the script."""
    starts = [start for start, _, _ in script]
    rows = prosody_rows(["neutral" if name == AWAY else name for _, _, name in script])
    voice = synthesise(rows[np.searchsorted(starts, block_times(samples), side="right") - 1], samples, rng=rng)
    return (0.5 * voice / max(float(np.abs(voice).max()), 1e-9)).astype(np.float32)
