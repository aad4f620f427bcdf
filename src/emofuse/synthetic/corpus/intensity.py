"""The intensity of each emotion over time: fades between segments and slow waves within them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import AFFWILD2
from emofuse.synthetic.corpus.plan import ScriptSegment

Floats = NDArray[Any]
Channel = Callable[[ScriptSegment], tuple[str | None, float]]

_FADE_SECONDS = 0.5  # half before and half after the border of two segments
_WAVE_DEPTH, _WAVE_HZ = 0.3, (0.12, 0.35)


def face_of(segment: ScriptSegment) -> tuple[str | None, float]:
    """The emotion that the face expresses in a segment, and its strength."""
    return segment.face, segment.face_strength


def voice_of(segment: ScriptSegment) -> tuple[str | None, float]:
    """The emotion that the voice expresses in a segment, None without speech, and its strength."""
    return segment.voice, segment.voice_strength


def intensities(
    segments: Sequence[ScriptSegment], times: Floats, channel: Channel, *, rng: np.random.Generator
) -> Floats:
    """The weight of each emotion, float64 [times, emotions of AFFWILD2]; rows sum to 1, the remainder is neutral.

    Args:
        times: [times] in seconds, ascending.
        channel: `face_of` or `voice_of`.

    >>> calm = [ScriptSegment(0.0, 2.0)]
    >>> intensities(calm, np.array([1.0]), face_of, rng=np.random.default_rng(0)).round(3).tolist()
    [[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    weights = np.zeros((len(times), len(AFFWILD2)))
    for n, segment in enumerate(segments):
        name, strength = channel(segment)
        speed, phase = rng.uniform(*_WAVE_HZ), rng.uniform(0, 2 * np.pi)
        if name in (None, "neutral"):
            continue
        # The first and the last segment do not fade at the ends of the video.
        start = -np.inf if n == 0 else segment.start
        end = np.inf if n == len(segments) - 1 else segment.end
        rows = slice(*np.searchsorted(times, [start - _FADE_SECONDS, end + _FADE_SECONDS]).tolist())
        seconds = times[rows]
        fade = _ease((seconds - start) / _FADE_SECONDS + 0.5) * _ease((end - seconds) / _FADE_SECONDS + 0.5)
        wave = 1 - _WAVE_DEPTH * (0.5 + 0.5 * np.sin(2 * np.pi * speed * seconds + phase))
        weights[rows, AFFWILD2.index(str(name))] += strength * fade * wave
    weights[:, 0] = 1 - weights[:, 1:].sum(axis=1)
    return weights


def _ease(progress: Floats) -> Floats:
    """`actor.ease` for arrays; with its scalars as NumPy ones, rendered frames would differ in the last bits."""
    progress = np.clip(progress, 0.0, 1.0)
    return np.asarray(progress * progress * (3 - 2 * progress))
