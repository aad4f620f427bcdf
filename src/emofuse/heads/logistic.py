"""Multinomial logistic regression on standardised features, where some rows rule out some classes.

Corpora lack classes: a row is compared with the classes of its corpus alone, so that a class which its corpus lacks is
not learned as absent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from emofuse.errors import ShapeError

Floats = NDArray[np.float32]
_RULED_OUT = -1e4  # logit of a class that a row rules out
_LEAST_DEVIATION = 1e-6
_STEPS = 300


@dataclass(frozen=True, eq=False)
class LogisticRegression:
    """Logits of rows: coefficients @ (features - mean) / deviation + intercepts.

    mean, deviation: float32 [features]. coefficients: float32 [classes, features]. intercepts: float32 [classes].
    """

    mean: Floats
    deviation: Floats
    coefficients: Floats
    intercepts: Floats

    def __call__(self, features: Floats) -> Floats:
        """Logits float32 [n, classes] of rows float32 [n, features]."""
        return np.asarray((features - self.mean) / self.deviation @ self.coefficients.T + self.intercepts, np.float32)


def fit_logistic(
    features: Floats,
    labels: NDArray[np.int64],
    *,
    weights: NDArray[np.float32],
    possible: NDArray[np.bool_],
    penalty: float,
) -> LogisticRegression:
    """The regression with the least weighted mean cross-entropy plus `penalty` / 2 times the squared coefficients.

    Args:
        features: float32 [n, features], standardised by their own mean and deviation before anything else.
        labels: int [n], class indices.
        weights: of rows, float32 [n].
        possible: bool [n, classes], the classes that each row is compared with.
    Raises:
        ShapeError: there are no rows, a feature is not finite, or a label is ruled out.

    >>> rows, labels = np.float32([[0.0], [0.1], [1.0], [1.1]]), np.array([0, 0, 1, 1])
    >>> both = np.ones((4, 2), bool)
    >>> fit_logistic(rows, labels, weights=np.ones(4, np.float32), possible=both, penalty=0.1)(rows).argmax(axis=1)
    array([0, 0, 1, 1])
    """
    n, classes = possible.shape
    if not (n and len(features) == len(labels) == len(weights) == n):
        raise ShapeError(
            f"logistic regression: {len(features)} rows, {len(labels)} labels, {len(weights)} weights and {n} rows of "
            "possible classes; give as many of each, at least one."
        )
    if not np.isfinite(features).all():
        raise ShapeError("logistic regression: a feature is not finite; correct the features.")
    rows = np.arange(n)
    if not possible[rows, labels].all():
        raise ShapeError("logistic regression: a row rules out its own label; correct the possible classes.")
    mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), _LEAST_DEVIATION)
    scaled = (features - mean) / deviation
    offsets = np.where(possible, np.float32(0), np.float32(_RULED_OUT))
    share = (weights / weights.sum()).astype(np.float32)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        table = parameters.reshape(classes, -1)
        coefficients, intercepts = table[:, :-1], table[:, -1]
        logits = scaled @ coefficients.T.astype(np.float32) + intercepts.astype(np.float32) + offsets
        logits -= logits.max(axis=1, keepdims=True)
        powers = np.exp(logits)
        sums = powers.sum(axis=1)
        entropy = float(share @ (np.log(sums) - logits[rows, labels]))
        residuals = powers / sums[:, None]
        residuals[rows, labels] -= 1
        residuals *= share[:, None]
        gradient = np.hstack([residuals.T @ scaled + penalty * coefficients, residuals.sum(axis=0)[:, None]])
        return entropy + penalty / 2 * float(np.square(coefficients).sum()), gradient.ravel().astype(np.float64)

    start = np.zeros(classes * (features.shape[1] + 1))
    solution = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    found = solution.x.reshape(classes, -1).astype(np.float32)
    return LogisticRegression(mean, deviation, found[:, :-1].copy(), found[:, -1].copy())
