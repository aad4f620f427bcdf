"""The subjects of a synthetic corpus, random by number: appearance, resting face, expressiveness and voice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import AFFWILD2
from emofuse.synthetic.render import EXPRESSIONS, Colour, Expression, Identity, Light
from emofuse.synthetic.speech import Speaker

Floats = NDArray[Any]

_SKINS = np.array([(240, 205, 185), (226, 178, 150), (205, 158, 124), (172, 122, 92), (138, 94, 70), (112, 74, 54)])
_HAIRS = np.array([(24, 20, 20), (48, 34, 28), (74, 48, 33), (120, 80, 48), (188, 150, 96), (120, 118, 116)])
_IRISES = np.array([(58, 38, 26), (86, 96, 70), (92, 116, 140), (110, 84, 50)])
_MOVES = tuple(Expression.__dataclass_fields__)
# Standard deviations between subjects: of the resting face, and of the gain of each movement.
_REST_SPREAD = {"mouth_corner": 0.16, "brow_inner": 0.14, "brow_outer": 0.12, "brow_furrow": 0.14, "lid_upper": 0.1,
                "lid_lower": 0.1, "cheek": 0.08, "mouth_open": 0.03, "lip_press": 0.1, "chin": 0.08}  # fmt: skip
_GAIN_SPREAD = 0.25


@dataclass(frozen=True, eq=False)
class Subject:
    """A synthetic person.

    rest: float [fields of Expression], the resting face. expressions: float [emotions, fields of Expression], the
    movements added at full intensity of each emotion. loudness: gain of the voice.
    """

    identity: Identity
    rest: Floats
    expressions: Floats
    speaker: Speaker
    loudness: float


def subject(number: int, *, seed: int) -> Subject:
    """The subject with a number, the same in all videos of a corpus.

    >>> subject(3, seed=0).identity == subject(3, seed=0).identity
    True
    """
    rng = np.random.default_rng([seed, 1, number])
    child, woman = rng.random() < 0.12, rng.random() < 0.5
    rest = np.array([rng.normal(0, _REST_SPREAD.get(name, 0.0)) for name in _MOVES])
    full = np.array([[getattr(EXPRESSIONS[name], move) for move in _MOVES] for name in AFFWILD2.names])
    gains = np.clip(rng.normal(1, _GAIN_SPREAD, full.shape), 0.4, 1.5)
    return Subject(
        _appearance(rng, woman), rest, full * gains, _voice(rng, child, woman), float(10 ** rng.uniform(-0.2, 0.2))
    )


def lighting(number: int, *, seed: int) -> tuple[Light, Colour]:
    """The light and the wall colour of a video."""
    rng = np.random.default_rng([seed, 2, number])
    light = Light(
        x=float(rng.uniform(-0.6, 0.6)),
        y=float(rng.uniform(-0.8, -0.3)),
        z=float(rng.uniform(0.8, 1.1)),
        lamp=float(rng.uniform(0.55, 0.85)),
        room=float(rng.uniform(0.34, 0.52)),
    )
    grey = rng.uniform(110, 215)
    red, green, blue = np.clip(grey + rng.uniform(-22, 22, 3), 60, 235).tolist()
    return light, (red, green, blue)


def _appearance(rng: np.random.Generator, woman: bool) -> Identity:
    skin = _SKINS[rng.integers(len(_SKINS))] * rng.uniform(0.94, 1.04)
    lips = skin * (0.84, 0.56, 0.62) * rng.uniform(0.9, 1.1)
    return Identity(
        skin=_rgb(skin),
        hair=_rgb(_HAIRS[rng.integers(len(_HAIRS))] * rng.uniform(0.85, 1.15)),
        iris=_rgb(_IRISES[rng.integers(len(_IRISES))]),
        lips=_rgb(lips),
        shirt=_rgb(rng.uniform(40, 200, 3)),
        face_width=float(rng.uniform(0.94, 1.07)),
        face_height=float(rng.uniform(0.96, 1.04)),
        jaw_width=float(rng.uniform(0.9, 1.0) if woman else rng.uniform(0.97, 1.1)),
        eye_spacing=float(rng.uniform(0.41, 0.45)),
        eye_size=float(rng.uniform(0.9, 1.12)),
        brow_thickness=float(rng.uniform(0.7, 1.05) if woman else rng.uniform(0.95, 1.4)),
        nose_width=float(rng.uniform(0.88, 1.18)),
        mouth_width=float(rng.uniform(0.9, 1.1)),
        lip_fullness=float(rng.uniform(0.8, 1.3)),
        hair_length=float(rng.uniform(0.2, 1.0) if woman else rng.uniform(0.1, 0.35)),
        hairline=float(rng.uniform(-0.04, 0.1)),
    )


def _rgb(values: Floats) -> Colour:
    red, green, blue = np.clip(values, 0, 255).round().tolist()
    return red, green, blue


def _voice(rng: np.random.Generator, child: bool, woman: bool) -> Speaker:
    if child:
        pitch, tract = rng.uniform(1.4, 1.65), rng.uniform(1.22, 1.3)
    elif woman:
        pitch, tract = rng.uniform(1.05, 1.35), rng.uniform(1.1, 1.2)
    else:
        pitch, tract = rng.uniform(0.58, 0.82), rng.uniform(0.94, 1.06)
    return Speaker(
        pitch=float(pitch),
        tract=float(tract),
        pace=float(rng.uniform(0.85, 1.18)),
        swing=float(rng.uniform(0.75, 1.3)),
        breath=float(rng.uniform(0.0, 0.05)),
        tilt_db=float(rng.uniform(-4, 4)),
        tilt_scale=float(rng.uniform(0.6, 1.1)),
    )
