"""Normalisation of features in steps, with parameters fitted on training rows and kept as arrays.

A name is steps joined by "+", applied from left to right: "none", "znorm", "znorm+power+l2" (the authors' cascade).
scikit-learn's scalers round minmax and l2 differently; here float32 stays float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.registry import find
from emofuse.errors import ShapeError

Array = NDArray[Any]

NONE = "none"


def _range(features: Array) -> Array:
    low, high = features.min(axis=0).astype(np.float64), features.max(axis=0).astype(np.float64)
    return np.stack([low, np.where(high > low, high - low, 1.0)])


def _moments(features: Array) -> Array:
    mean, std = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    return np.stack([mean, np.where(std > 0, std, 1.0)])


def _scaled(features: Array, parameters: Array) -> Array:
    shift, scale = parameters.astype(features.dtype)
    return np.asarray((features - shift) / scale)


def _no_parameters(features: Array) -> Array:
    return np.zeros((2, 0))


def _power(features: Array, parameters: Array) -> Array:
    return np.copysign(np.sqrt(np.abs(features)), features)


def _unit(features: Array, parameters: Array) -> Array:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(norms > 0, norms, 1).astype(features.dtype))


Step = tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]
"""Fits parameters float64 [2, d] or [2, 0] on rows, and applies them to rows."""

STEPS: Mapping[str, Step] = MappingProxyType(
    {
        "minmax": (_range, _scaled),  # 0 to 1 on the training rows; others may be outside
        "znorm": (_moments, _scaled),  # mean 0, population std 1
        "power": (_no_parameters, _power),  # signed square root
        "l2": (_no_parameters, _unit),  # rows of length 1
    }
)


def steps(name: str) -> tuple[str, ...]:
    """The steps of a normalisation; none for "none".

    Raises:
        SettingsError: a step is unknown.

    >>> steps("znorm+power+l2"), steps("none")
    (('znorm', 'power', 'l2'), ())
    """
    names = tuple(step.strip() for step in str(name).split("+")) if name != NONE else ()
    for step in names:
        find(step, {**STEPS, NONE: None}, "normalisation", remedy=f"choose {NONE}, {', '.join(STEPS)}, or a+b.")
    return names


@dataclass(frozen=True, eq=False)
class Normaliser:
    """A fitted normalisation; parameters: for each step float64 [2, d] (shift and scale), or [2, 0].

    Raises:
        ShapeError: there is not one array for each step, or one has the wrong shape.

    >>> fitted, rows = Normaliser.fit(np.array([[0.0, 1.0], [4.0, 1.0]]), "minmax")
    >>> rows.tolist(), fitted(np.array([[2.0, 3.0]])).tolist()
    ([[0.0, 0.0], [1.0, 0.0]], [[0.5, 2.0]])
    """

    name: str
    parameters: tuple[Array, ...]

    def __post_init__(self) -> None:
        for values in self.parameters:
            if values.ndim != 2 or len(values) != 2 or not np.isfinite(values).all():
                raise ShapeError(f"normalisation {self.name}: parameters {values.shape}; expected finite [2, d].")
        if len(self.parameters) != len(steps(self.name)):
            raise ShapeError(f"normalisation {self.name}: {len(self.parameters)} steps were saved; fit the head again.")

    @classmethod
    def fit(cls, features: Array, name: str) -> tuple[Normaliser, Array]:
        """The normaliser fitted on rows [n, d], and these rows normalised, in their precision."""
        parameters = []
        for step in steps(name):
            fit, apply = STEPS[step]
            parameters.append(fit(features))
            features = apply(features, parameters[-1])
        return cls(name, tuple(parameters)), features

    def __call__(self, features: Array) -> Array:
        """Rows [n, d] normalised, in their precision."""
        for step, parameters in zip(steps(self.name), self.parameters, strict=True):
            features = STEPS[step][1](features, parameters)
        return features
