"""Class weights: the paper's logarithmic rule, and what `fit` of a head understands by `class_weight`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emofuse.core.class_weights import checked_counts, log_weights
from emofuse.core.registry import nearest
from emofuse.errors import SettingsError

Doubles = NDArray[np.float64]
ClassWeight = str | Mapping[Any, float] | None

_STEP = 0.01
_RULES = ("log", "balanced")


def largest_mu(counts: ArrayLike) -> float:
    """The largest multiple of 0.01 as mu that keeps the commonest class at weight 1: the rule of the authors' SVM.

    Errors as in `log_weights`.

    >>> largest_mu([900, 90, 10, 0])
    2.44
    >>> float(log_weights([900, 90, 10, 0], 2.44)[0]), float(log_weights([900, 90, 10, 0], 2.45)[0]) > 1
    (1.0, True)
    """
    occurs = checked_counts(counts)
    # At most e times the share of the commonest class, which is above 0.01 with fewer than 271 classes.
    steps = int(np.floor(np.e * occurs.max() / occurs.sum() / _STEP))
    return max(steps, 1) / round(1 / _STEP)


def class_weights(classes: NDArray[Any], counts: ArrayLike, class_weight: ClassWeight, mu: float | None) -> Doubles:
    """The weight of each class, float64 [classes].

    Args:
        classes: [classes], their names or indices.
        counts: [classes], how often each occurs.
        class_weight: None (1 each), "log" (`log_weights`), "balanced" (N / (classes * n_c)), or a weight for some
            classes by name, 1 for the others.
        mu: for "log"; None for `largest_mu`. Otherwise unused.
    Raises:
        SettingsError: an unknown rule, a class that does not occur, or a weight that is not above 0.
    """
    occurs = checked_counts(counts)
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, Mapping):
        return _named(classes, class_weight)
    if class_weight not in _RULES:
        guess = nearest(str(class_weight), _RULES)
        raise SettingsError(f"class_weight {class_weight!r}: unknown{guess}; give None, {', '.join(_RULES)} or a dict.")
    if class_weight == "balanced":
        return np.asarray(occurs.sum() / (len(occurs) * np.maximum(occurs, 1)))
    return log_weights(occurs, largest_mu(occurs) if mu is None else mu)


def _named(classes: NDArray[Any], given: Mapping[Any, float]) -> Doubles:
    known = classes.tolist()
    for name, weight in given.items():
        if name not in known:
            raise SettingsError(f"class_weight: class {name!r} does not occur; the labels hold {known}.")
        if not (np.isfinite(weight) and weight > 0):
            raise SettingsError(f"class_weight: class {name!r} weighs {weight}; give numbers above 0.")
    return np.array([given.get(name, 1.0) for name in known], np.float64)
