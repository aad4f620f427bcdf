"""Cards dealt over the segments of a split: which emotion, and whether face, voice or both show it.

The shares follow Aff-Wild2: neutral a bit above half, fear, disgust and anger rare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHARES = {"disgust": 0.04, "fear": 0.045, "anger": 0.055, "surprise": 0.07, "sadness": 0.10, "happiness": 0.125}
EVEN = dict.fromkeys(SHARES, 1 / (len(SHARES) + 1))
# Of seven segments in which somebody speaks; with those who only listen, about half of the time shows both.
_SPOKEN = ("both", "voice", "both", "face", "both", "voice", "both")
_ROOM = 10  # segments, below which there is not one for each class


def draw_emotion(rng: np.random.Generator) -> str:
    """One emotion by the shares of the classes."""
    shares = [*SHARES.values(), 1 - sum(SHARES.values())]
    return [*SHARES, "neutral"][int(rng.choice(len(shares), p=shares))]


def deal_emotions(
    frames: NDArray[Any], rng: np.random.Generator, *, shares: Mapping[str, float] = MappingProxyType(SHARES)
) -> list[str]:
    """An emotion for each segment, so that the frames come near the shares and every class occurs where there is room.

    Args:
        frames: [segments], how many frames each has; need not be whole.
        shares: of all emotions but neutral, the rarest first.

    >>> sorted(set(deal_emotions(np.full(20, 60.0), np.random.default_rng(0))))
    ['anger', 'disgust', 'fear', 'happiness', 'neutral', 'sadness', 'surprise']
    """
    emotions = ["neutral"] * len(frames)
    free: list[int] = rng.permutation(len(frames)).tolist()
    if len(frames) < _ROOM:
        for name in list(shares)[::-1][: len(frames) // 2]:
            emotions[free.pop()] = name
        return emotions
    for name, share in shares.items():
        missing = share * float(frames.sum())
        while True:
            fitting = [n for n in free if frames[n] <= 1.5 * missing]
            if not fitting and name in emotions:
                break
            chosen = fitting[0] if fitting else min(free, key=lambda n: float(frames[n]))
            free.remove(chosen)
            emotions[chosen] = name
            missing -= float(frames[chosen])
    return emotions


def deal_modes(emotions: Sequence[str], heard: Sequence[bool], rng: np.random.Generator) -> list[str]:
    """What shows the emotion of each segment, "both", "face" or "voice", class by class in turn.

    Where nothing is heard it is the face; neutral segments are not looked at.

    >>> deal_modes(["fear", "fear", "fear"], [True, True, False], np.random.default_rng(1))
    ['both', 'voice', 'face']
    """
    modes = ["face"] * len(emotions)
    turn = 0
    for name in SHARES:
        spoken = [n for n in range(len(emotions)) if emotions[n] == name and heard[n]]
        for n in rng.permutation(spoken).tolist():
            modes[n] = _SPOKEN[turn % len(_SPOKEN)]
            turn += 1
    return modes
