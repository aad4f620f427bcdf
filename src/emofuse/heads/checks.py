"""What `fit` and prediction of a head accept, with errors of one line where scikit-learn's run over several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from emofuse.errors import ShapeError
from emofuse.heads.folds import group_numbers

Array = NDArray[Any]
Ints = NDArray[np.int64]

_TYPES = (np.float64, np.float32)


@dataclass(frozen=True, eq=False)
class Rows:
    """What a head is fitted on: features [n, d] in float32 or float64, class indices [n], how often each class occurs,
    and groups [n], None where each row stands alone."""

    features: Array
    codes: Ints
    counts: Ints
    groups: Ints | None


def training(head: BaseEstimator, features: Any, labels: Any, groups: Any) -> Rows:
    """Checked rows to fit a head on; sets `classes_` and `n_features_in_`.

    Raises:
        ShapeError: other than one finite row for each label, fewer than two classes, or groups that do not fit.
    """
    name = type(head).__name__
    try:
        values, given = validate_data(head, features, labels, dtype=_TYPES, order="C", ensure_min_samples=2)
        check_classification_targets(given)
    except ValueError as error:
        raise ShapeError(_one_line(name, error)) from None
    classes, codes = np.unique(given, return_inverse=True)
    if len(classes) < 2:
        raise ShapeError(f"{name}: all {len(given)} labels are of the class {classes.tolist()[0]!r}; give two or more.")
    head.classes_ = classes
    codes = codes.astype(np.int64)
    together = None if groups is None else group_numbers(groups, len(codes))
    return Rows(values, codes, np.bincount(codes).astype(np.int64), together)


def known(head: BaseEstimator, features: Any) -> Array:
    """Checked rows [n, d] to predict, float32 or float64.

    Raises:
        ShapeError: other features than in `fit`, or one that is not finite.
    """
    try:
        return np.asarray(validate_data(head, features, reset=False, dtype=_TYPES, order="C"))
    except ValueError as error:
        raise ShapeError(_one_line(type(head).__name__, error)) from None


def restored(head: Any, outputs: int) -> None:
    """Check that the restored parts of a head fit each other, with this many sums; sets `n_features_in_`.

    Raises:
        ShapeError: they are not.
    """
    name, classes = type(head).__name__, head.classes_
    if classes.ndim != 1 or len(classes) < 2 or (np.diff(classes) <= 0).any():
        raise ShapeError(f"{name}: classes {classes.tolist()}; expected two or more in order.")
    sums, biases = len(head.expansion_.offset), classes if head.calibration_ is None else head.calibration_.bias
    if sums != outputs or len(biases) != len(classes):
        raise ShapeError(f"{name}: {sums} sums and {len(biases)} biases for {len(classes)} classes do not fit.")
    head.n_features_in_ = head.expansion_.vectors.shape[1]


def _one_line(name: str, error: ValueError) -> str:
    text = str(error)
    if text.startswith("The feature names"):  # a list, and scikit-learn's contract
        return text
    lines = text.strip().splitlines()
    advice = [line for line in lines[1:] if line.startswith("Reshape your data")]
    first = ". ".join(line.rstrip(".:") for line in (lines[0], *advice))
    return f"{first}." if name in first else f"{name}: {first}."
