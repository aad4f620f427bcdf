"""Validation of the input of heads, with error messages of one line where scikit-learn's have several."""

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
class TrainingRows:
    """Input of `fit`: features [n, d] in float32 or float64, class indices [n], and the number of rows of each class.

    groups: int [n]; None where each row is a group of its own.
    """

    features: Array
    codes: Ints
    counts: Ints
    groups: Ints | None


def training_rows(head: BaseEstimator, features: Any, labels: Any, groups: Any) -> TrainingRows:
    """Validated input of `fit`; sets `classes_` and `n_features_in_`.

    Raises:
        ShapeError: not one finite row for each label, fewer than two classes, or groups of another length.
    """
    name = type(head).__name__
    try:
        values, y = validate_data(head, features, labels, dtype=_TYPES, order="C", ensure_min_samples=2)
        check_classification_targets(y)
    except ValueError as error:
        raise ShapeError(_one_line(name, error)) from None
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ShapeError(f"{name}: all {len(y)} labels are of the class {classes.tolist()[0]!r}; give two or more.")
    head.classes_ = classes
    codes = codes.astype(np.int64)
    numbers = None if groups is None else group_numbers(groups, len(codes))
    return TrainingRows(values, codes, np.bincount(codes).astype(np.int64), numbers)


def checked_features(head: BaseEstimator, features: Any) -> Array:
    """Validated rows [n, d] to predict, float32 or float64.

    Raises:
        ShapeError: another number of features than in `fit`, or a feature that is not finite.
    """
    try:
        return np.asarray(validate_data(head, features, reset=False, dtype=_TYPES, order="C"))
    except ValueError as error:
        raise ShapeError(_one_line(type(head).__name__, error)) from None


def check_restored(head: Any, outputs: int) -> None:
    """Check that the restored arrays of a head fit each other and this number of outputs; sets `n_features_in_`.

    Raises:
        ShapeError: they do not.
    """
    name, classes = type(head).__name__, head.classes_
    if classes.ndim != 1 or len(classes) < 2 or (np.diff(classes) <= 0).any():
        raise ShapeError(f"{name}: classes {classes.tolist()}; expected two or more in ascending order.")
    found, biases = len(head.function_.offset), classes if head.calibration_ is None else head.calibration_.bias
    if found != outputs or len(biases) != len(classes):
        raise ShapeError(f"{name}: {found} outputs and {len(biases)} biases do not fit {len(classes)} classes.")
    head.n_features_in_ = head.function_.vectors.shape[1]


def _one_line(name: str, error: ValueError) -> str:
    text = str(error)
    if text.startswith("The feature names"):  # a list, which scikit-learn's estimator checks require
        return text
    lines = text.strip().splitlines()
    advice = [line for line in lines[1:] if line.startswith("Reshape your data")]
    first = ". ".join(line.rstrip(".:") for line in (lines[0], *advice))
    return f"{first}." if name in first else f"{name}: {first}."
