"""How strongly each emotion is shown at each moment: soft borders between segments, and slow waves within them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import AFFWILD2
from emofuse.synthetic.plan import Segment

Floats = NDArray[Any]
Shown = Callable[[Segment], tuple[str | None, float]]

_FADE_SECONDS = 0.5  # half before and half after the border of two segments
_WAVE_DEPTH, _WAVE_HZ = 0.3, (0.12, 0.35)


def face_of(segment: Segment) -> tuple[str | None, float]:
    """What the face shows in a segment, and how strongly."""
    return segment.face, segment.face_strength


def voice_of(segment: Segment) -> tuple[str | None, float]:
    """What the voice shows in a segment, and how strongly; None while the person does not speak."""
    return segment.voice, segment.voice_strength


def intensities(segments: Sequence[Segment], times: Floats, shown: Shown, *, rng: np.random.Generator) -> Floats:
    """The part of each emotion in what is shown, float64 [times, emotions of AFFWILD2]; neutral is the rest to 1.

    Args:
        times: [times] in seconds, in rising order.
        shown: `face_of` or `voice_of`.

    >>> calm = [Segment(0.0, 2.0)]
    >>> intensities(calm, np.array([1.0]), face_of, rng=np.random.default_rng(0)).round(3).tolist()
    [[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    parts = np.zeros((len(times), len(AFFWILD2)))
    for n, segment in enumerate(segments):
        name, strength = shown(segment)
        speed, phase = rng.uniform(*_WAVE_HZ), rng.uniform(0, 2 * np.pi)
        if name in (None, "neutral"):
            continue
        # The first and the last segment do not fade at the ends of the film.
        start = -np.inf if n == 0 else segment.start
        end = np.inf if n == len(segments) - 1 else segment.end
        rows = slice(*np.searchsorted(times, [start - _FADE_SECONDS, end + _FADE_SECONDS]).tolist())
        at = times[rows]
        fade = _ease((at - start) / _FADE_SECONDS + 0.5) * _ease((end - at) / _FADE_SECONDS + 0.5)
        wave = 1 - _WAVE_DEPTH * (0.5 + 0.5 * np.sin(2 * np.pi * speed * at + phase))
        parts[rows, AFFWILD2.index(str(name))] += strength * fade * wave
    parts[:, 0] = 1 - parts[:, 1:].sum(axis=1)
    return parts


def _ease(part: Floats) -> Floats:
    """0 below 0, 1 above 1, smooth between."""
    part = np.clip(part, 0.0, 1.0)
    return np.asarray(part * part * (3 - 2 * part))
