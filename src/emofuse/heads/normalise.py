"""Normalisations of features, in any order: what is learned on the training rows is kept as arrays.

A name is steps joined by "+", taken from left to right: "none", "znorm", "znorm+power+l2" (the authors' cascade).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.registry import nearest
from emofuse.errors import SettingsError, ShapeError

Array = NDArray[Any]

NONE = "none"


def _range(features: Array) -> Array:
    low, high = features.min(axis=0).astype(np.float64), features.max(axis=0).astype(np.float64)
    return np.stack([low, np.where(high > low, high - low, 1.0)])


def _moments(features: Array) -> Array:
    mean, std = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    return np.stack([mean, np.where(std > 0, std, 1.0)])


def _scaled(features: Array, numbers: Array) -> Array:
    shift, scale = numbers.astype(features.dtype)
    return np.asarray((features - shift) / scale)


def _nothing(features: Array) -> Array:
    return np.zeros((2, 0))


def _power(features: Array, numbers: Array) -> Array:
    return np.copysign(np.sqrt(np.abs(features)), features)


def _unit(features: Array, numbers: Array) -> Array:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(norms > 0, norms, 1).astype(features.dtype))


Step = tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]
"""What it learns from rows, float64 [2, d] or [2, 0], and what it makes of rows with that."""

STEPS: Mapping[str, Step] = MappingProxyType(
    {
        "minmax": (_range, _scaled),  # to 0..1 on the training rows; others may lie outside
        "znorm": (_moments, _scaled),  # mean 0, population std 1
        "power": (_nothing, _power),  # signed square root
        "l2": (_nothing, _unit),  # rows of length 1
    }
)


def steps(name: str) -> tuple[str, ...]:
    """The steps of a normalisation; none for "none".

    Raises:
        SettingsError: a step is unknown.

    >>> steps("znorm+power+l2"), steps("none")
    (('znorm', 'power', 'l2'), ())
    """
    parts = tuple(part.strip() for part in str(name).split("+")) if name != NONE else ()
    for part in parts:
        if part not in STEPS:
            guess = nearest(part, [*STEPS, NONE])
            raise SettingsError(f"normalisation {part!r}: unknown{guess}; choose {NONE}, {', '.join(STEPS)}, or a+b.")
    return parts


def learns(name: str) -> bool:
    """Whether a normalisation depends on the rows that it is fitted on, so that held-out rows need their own."""
    return any(STEPS[part][1] is _scaled for part in steps(name))


@dataclass(frozen=True, eq=False)
class Normaliser:
    """A fitted normalisation; numbers: float64 [2, d], shift and scale, or [2, 0] for each step.

    Raises:
        ShapeError: there is not one array for each step, or it has the wrong shape.

    >>> fitted, rows = Normaliser.fit(np.array([[0.0, 1.0], [4.0, 1.0]]), "minmax")
    >>> rows.tolist(), fitted(np.array([[2.0, 3.0]])).tolist()
    ([[0.0, 0.0], [1.0, 0.0]], [[0.5, 2.0]])
    """

    name: str
    numbers: tuple[Array, ...]

    def __post_init__(self) -> None:
        for numbers in self.numbers:
            if numbers.ndim != 2 or len(numbers) != 2 or not np.isfinite(numbers).all():
                raise ShapeError(f"normalisation {self.name}: {numbers.shape} numbers; expected finite [2, features].")
        if len(self.numbers) != len(steps(self.name)):
            raise ShapeError(f"normalisation {self.name}: arrays for {len(self.numbers)} steps; fit the head again.")

    @classmethod
    def fit(cls, features: Array, name: str) -> tuple[Normaliser, Array]:
        """Fitted on rows [n, d], and these rows normalised, in their precision."""
        numbers = []
        for part in steps(name):
            learn, apply = STEPS[part]
            numbers.append(learn(features))
            features = apply(features, numbers[-1])
        return cls(name, tuple(numbers)), features

    def __call__(self, features: Array) -> Array:
        """Rows [n, d] normalised, in their precision."""
        for part, numbers in zip(steps(self.name), self.numbers, strict=True):
            features = STEPS[part][1](features, numbers)
        return features
