"""Class weights: the rules by which rare classes count more when networks and heads are trained.

Every rule takes counts [classes] and returns weights float64 [classes]; a class that does not occur weighs 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emofuse.core.registry import find
from emofuse.errors import SettingsError, ShapeError

Doubles = NDArray[np.float64]
ClassWeight = str | Mapping[Any, float] | None

_MU_STEP = 0.01


def log_weights(counts: ArrayLike, mu: float | None = None) -> Doubles:
    """Logarithmic class weights: max(1, ln(mu * N / n_c)).

    Args:
        counts: [classes], number of rows of each class.
        mu: above 0; 0.47 for the paper's SVM, 0.34 for its CNN. Default: `largest_mu`.
    Raises:
        ShapeError: all counts are zero, a count is negative or not finite, or counts is not one-dimensional.
        SettingsError: mu is not above 0.
    Source: paper, sec. 3.1.2 ("logarithmic weighting, r = 0.47"); the formula is in the authors' code.

    >>> log_weights([900, 90, 10, 0], mu=0.47).round(3)
    array([1.   , 1.653, 3.85 , 1.   ])
    """
    n = _checked(counts)
    mu = largest_mu(n) if mu is None else mu
    if not (np.isfinite(mu) and mu > 0):
        raise SettingsError(f"log_weights: mu is {mu}; give a number above 0, such as the paper's 0.47.")
    return np.where(n > 0, np.maximum(1.0, np.log(mu * n.sum() / np.where(n > 0, n, n.sum()))), 1.0)


def largest_mu(counts: ArrayLike) -> float:
    """The largest multiple of 0.01 as mu for which the most frequent class still weighs 1.

    Source: the authors' code for the SVM. Errors as in `log_weights`.

    >>> largest_mu([900, 90, 10, 0])
    2.44
    >>> float(log_weights([900, 90, 10, 0], 2.44)[0]), float(log_weights([900, 90, 10, 0], 2.45)[0]) > 1
    (1.0, True)
    """
    n = _checked(counts)
    # At most e times the fraction of the most frequent class, which is above 0.01 with fewer than 271 classes.
    steps = int(np.floor(np.e * n.max() / n.sum() / _MU_STEP))
    return max(steps, 1) / round(1 / _MU_STEP)


def inverse_weights(counts: ArrayLike) -> Doubles:
    """Inverse frequency: max(n) / n_c. Source: the authors' training of PANN.

    >>> inverse_weights([80, 20, 0])
    array([1., 4., 1.])
    """
    n = _checked(counts)
    return np.asarray(np.divide(n.max(), n, out=np.ones(len(n)), where=n > 0))


def balanced_weights(counts: ArrayLike) -> Doubles:
    """Balanced as in scikit-learn: N / (classes * n_c).

    >>> balanced_weights([30, 10])
    array([0.66666667, 2.        ])
    """
    n = _checked(counts)
    return np.asarray(np.divide(n.sum(), len(n) * n, out=np.ones(len(n)), where=n > 0))


# Name of a rule -> weights from counts and mu, which only `log` uses.
RULES: Mapping[str, Callable[[ArrayLike, float | None], Doubles]] = MappingProxyType(
    {
        "equal": lambda counts, mu: np.ones(len(_checked(counts))),
        "log": log_weights,
        "inverse": lambda counts, mu: inverse_weights(counts),
        "balanced": lambda counts, mu: balanced_weights(counts),
    }
)


def class_weights(
    classes: NDArray[Any], counts: ArrayLike, class_weight: ClassWeight, mu: float | None = None
) -> Doubles:
    """The weight of each class by `class_weight`, as scikit-learn's estimators take it.

    Args:
        classes: [classes], names or indices.
        class_weight: None (1 each), the name of a rule, or the weights of some classes by name (1 for the others).
        mu: for the rule `log`.
    Raises:
        SettingsError: an unknown rule, a class that does not occur, or a weight that is not above 0.
    """
    if isinstance(class_weight, Mapping):
        return _by_name(classes.tolist(), class_weight)
    return find("equal" if class_weight is None else str(class_weight), RULES, "class_weight")(counts, mu)


def _by_name(known: list[Any], weights: Mapping[Any, float]) -> Doubles:
    for name, weight in weights.items():
        if name not in known:
            raise SettingsError(f"class_weight: class {name!r} does not occur; the labels are {known}.")
        if not (np.isfinite(weight) and weight > 0):
            raise SettingsError(f"class_weight: class {name!r} weighs {weight}; give numbers above 0.")
    return np.array([weights.get(name, 1.0) for name in known], np.float64)


def _checked(counts: ArrayLike) -> Doubles:
    n = np.asarray(counts, np.float64)
    if n.ndim != 1 or not np.isfinite(n).all() or (n < 0).any() or not n.sum() > 0:
        raise ShapeError(f"class counts {np.asarray(counts).tolist()}: give one count for each class, not all zero.")
    return n
