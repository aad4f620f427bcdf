"""Metrics of predictions, as fractions in [0, 1]; only reports print percent.

Functions of labels take truth and guess int [frames]; frames with truth -1 (unlabelled) are ignored everywhere.
Functions of counts, named `..._of`, take confusion matrices [..., classes, classes] (row truth, column guess) with any
leading axes, for searches and bootstraps; the metric of an empty matrix is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emofuse.errors import ShapeError

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]
Measure = Callable[[NDArray[Any]], Doubles]

F1_WEIGHT, ACCURACY_WEIGHT = 0.67, 0.33


def confusion(truth: ArrayLike, guess: ArrayLike, *, classes: int = 7) -> Ints:
    """Confusion matrix int64 [classes, classes]: row is the truth, column the guess.

    Args:
        truth: int [frames], class index, or -1 if unlabelled.
        guess: int [frames], class index; ignored where truth is -1.
    Raises:
        ShapeError: the lengths differ, or a labelled frame has an index outside the classes.

    >>> confusion(np.array([0, 0, 1, -1]), np.array([0, 1, 1, 0]), classes=2)
    array([[1, 1],
           [0, 1]])
    """
    labels, guesses = np.asarray(truth), np.asarray(guess)
    if labels.shape != guesses.shape or labels.ndim != 1:
        raise ShapeError(
            f"truth has {_size(labels)}, guess has {_size(guesses)}. "
            "Bring the scores onto the annotation first: scores.onto(annotation.timeline)."
        )
    labelled = labels != -1
    labels, guesses = labels[labelled], guesses[labelled]
    for name, indices in (("truth", labels), ("guess", guesses)):
        if indices.size and indices.dtype.kind not in "iu":
            raise ShapeError(f"{name} has type {indices.dtype}; give class indices.")
        if indices.size and (indices.min() < 0 or indices.max() >= classes):
            raise ShapeError(
                f"{name} runs from {indices.min()} to {indices.max()} where frames are labelled; "
                f"allowed are 0 to {classes - 1}. Frames without a score need one first: scores.filled()."
            )
    cells = labels.astype(np.int64) * classes + guesses
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def confusion_of_each(truth: ArrayLike, guess: ArrayLike, *, classes: int = 7) -> Ints:
    """Confusion matrix of each row, int64 [n, classes, classes], for a bootstrap of rows; errors as in `confusion`.

    >>> confusion_of_each(np.array([1, -1]), np.array([0, 1]), classes=2).tolist()
    [[[0, 0], [1, 0]], [[0, 0], [0, 0]]]
    """
    confusion(truth, guess, classes=classes)  # validates
    labels, guesses = np.asarray(truth), np.asarray(guess)
    counts = np.zeros((len(labels), classes, classes), np.int64)
    rows = np.flatnonzero(labels != -1)
    counts[rows, labels[rows], guesses[rows]] = 1
    return counts


def _size(values: NDArray[Any]) -> str:
    return f"{len(values)} frames" if values.ndim == 1 else f"the shape {values.shape}"


# -- of counts ------------------------------------------------------------------------------------------------


def accuracy_of(counts: NDArray[Any]) -> Doubles:
    """Fraction of the counts on the diagonal, float64 [...]."""
    return _ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def recalls_of(counts: NDArray[Any]) -> Doubles:
    """Recall of each class, float64 [..., classes]; NaN for a class that does not occur in the truth."""
    return _ratio(_diagonal(counts), counts.sum(axis=-1))


def precisions_of(counts: NDArray[Any]) -> Doubles:
    """Precision of each class, float64 [..., classes]; NaN for a class that is never predicted."""
    return _ratio(_diagonal(counts), counts.sum(axis=-2))


def f1_of(counts: NDArray[Any]) -> Doubles:
    """F1 of each class, float64 [..., classes]; NaN for a class that occurs neither in truth nor in guess."""
    return _ratio(2 * _diagonal(counts), counts.sum(axis=-1) + counts.sum(axis=-2))


def macro_f1_of(counts: NDArray[Any]) -> Doubles:
    """Mean F1 over the classes that occur in truth or guess, float64 [...]."""
    return _mean(f1_of(counts))


def weighted_f1_of(counts: NDArray[Any]) -> Doubles:
    """Mean F1 weighted by the frequency of each class in the truth, float64 [...]."""
    occurs = counts.sum(axis=-1)
    return _ratio((np.nan_to_num(f1_of(counts)) * occurs).sum(axis=-1), occurs.sum(axis=-1))


def uar_of(counts: NDArray[Any]) -> Doubles:
    """Unweighted average recall over the classes that occur in the truth, float64 [...]."""
    return _mean(recalls_of(counts))


def cpm_of(counts: NDArray[Any]) -> Doubles:
    """Challenge performance measure, 0.67 macro F1 + 0.33 accuracy, float64 [...]."""
    return np.asarray(F1_WEIGHT * macro_f1_of(counts) + ACCURACY_WEIGHT * accuracy_of(counts))


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "cpm": cpm_of,
        "macro_f1": macro_f1_of,
        "weighted_f1": weighted_f1_of,
        "accuracy": accuracy_of,
        "uar": uar_of,
    }
)


def _diagonal(counts: NDArray[Any]) -> NDArray[Any]:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Doubles:
    ratios = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=ratios, where=np.asarray(denominator) > 0)
    return ratios


def _mean(values: Doubles) -> Doubles:
    """Mean over the last axis, ignoring NaN; NaN where all are."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))


# -- of labels ------------------------------------------------------------------------------------------------


def cpm(truth: ArrayLike, guess: ArrayLike, *, classes: int = 7) -> float:
    """Challenge performance measure: 0.67 macro F1 + 0.33 accuracy.

    Args:
        truth: int [frames], class index, or -1 if unlabelled.
        guess: int [frames], class index.
    Raises:
        ShapeError: the lengths differ, an index is outside the classes, or no frame is labelled.
    Source: paper, eq. 1; macro F1 as in the official protocol (docs/deviations.md).

    >>> round(cpm(np.array([0, 0, 1, -1]), np.array([0, 1, 1, 0]), classes=2), 4)
    0.6667
    """
    return _of_labels(cpm_of, truth, guess, classes)


def macro_f1(truth: ArrayLike, guess: ArrayLike, *, classes: int = 7) -> float:
    """Mean F1 over the classes that occur in truth or guess; arguments and errors as in `cpm`."""
    return _of_labels(macro_f1_of, truth, guess, classes)


def weighted_f1(truth: ArrayLike, guess: ArrayLike, *, classes: int = 7) -> float:
    """Mean F1 weighted by the frequency of each class in the truth; arguments and errors as in `cpm`."""
    return _of_labels(weighted_f1_of, truth, guess, classes)


def accuracy(truth: ArrayLike, guess: ArrayLike, *, classes: int = 7) -> float:
    """Fraction of labelled frames that are predicted correctly; arguments and errors as in `cpm`."""
    return _of_labels(accuracy_of, truth, guess, classes)


def uar(truth: ArrayLike, guess: ArrayLike, *, classes: int = 7) -> float:
    """Unweighted average recall over the classes that occur in the truth; arguments and errors as in `cpm`."""
    return _of_labels(uar_of, truth, guess, classes)


def _of_labels(measure: Measure, truth: ArrayLike, guess: ArrayLike, classes: int) -> float:
    counts = confusion(truth, guess, classes=classes)
    if not counts.any():
        raise ShapeError("no frame is labelled (all truth is -1), so there is nothing to score.")
    return float(measure(counts))


# -- confidence intervals -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A metric with its confidence interval; low and high are NaN for a single clip."""

    value: float
    low: float
    high: float


def bootstrap(
    counts: NDArray[Any], measure: Measure = cpm_of, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """A metric of all clips together, with its percentile bootstrap interval over clips.

    Frames of one clip are correlated, so clips are resampled and not frames; to resample subjects, sum the counts of
    each subject.

    Args:
        counts: int [clips, classes, classes], one confusion matrix for each clip.
        measure: a function of counts, such as `cpm_of`.
        level: fraction of the resamples inside the interval.
    Raises:
        ShapeError: the counts have another shape.
    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.

    >>> bootstrap(np.tile([[3, 1], [1, 3]], (4, 1, 1)), accuracy_of)
    Estimate(value=0.75, low=0.75, high=0.75)
    """
    return bootstraps(counts, {"": measure}, resamples=resamples, level=level, seed=seed)[""]


def bootstraps(
    counts: NDArray[Any],
    measures: Mapping[str, Measure] = MEASURES,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """`bootstrap` of several metrics by name, all on the same resamples."""
    counts = np.asarray(counts)
    if counts.ndim != 3 or counts.shape[1] != counts.shape[2]:
        raise ShapeError(f"bootstrap: counts have shape {counts.shape}; give [clips, classes, classes].")
    value = {name: float(measure(counts.sum(axis=0))) for name, measure in measures.items()}
    if len(counts) < 2:
        return {name: Estimate(v, float("nan"), float("nan")) for name, v in value.items()}
    totals = _totals(counts, resamples, seed)
    return {name: Estimate(value[name], *_interval(measure(totals), level)) for name, measure in measures.items()}


def gain(
    counts: NDArray[Any],
    over: NDArray[Any],
    measure: Measure,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Difference of a metric between two systems, with a paired bootstrap interval over clips.

    Args:
        counts, over: int [clips, classes, classes] of the two systems on the same clips.
    Raises:
        ShapeError: the shapes differ.

    >>> right, wrong = np.array([[[2, 0], [0, 2]]] * 3), np.array([[[0, 2], [2, 0]]] * 3)
    >>> gain(right, wrong, accuracy_of)
    Estimate(value=1.0, low=1.0, high=1.0)
    """
    if counts.shape != over.shape:
        raise ShapeError(f"gain: counts have shapes {counts.shape} and {over.shape}; give the same clips and classes.")
    value = float(measure(counts.sum(axis=0)) - measure(over.sum(axis=0)))
    if len(counts) < 2:
        return Estimate(value, float("nan"), float("nan"))
    resampled = [measure(_totals(c, resamples, seed)) for c in (counts, over)]
    return Estimate(value, *_interval(resampled[0] - resampled[1], level))


def _totals(counts: NDArray[Any], resamples: int, seed: int) -> Doubles:
    """Counts of resampled clips, float64 [resamples, classes, classes]."""
    clips = len(counts)
    draws = np.random.default_rng(seed).multinomial(clips, np.full(clips, 1 / clips), size=resamples)
    totals = draws.astype(np.float64) @ counts.reshape(clips, -1).astype(np.float64)
    return totals.reshape(resamples, *counts.shape[1:])


def _interval(resampled: Doubles, level: float) -> tuple[float, float]:
    # A resample of unlabelled clips only is NaN; where nothing is labelled, all are.
    known, tail = resampled[~np.isnan(resampled)], (1 - level) / 2
    low, high = np.quantile(known, [tail, 1 - tail]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def calibration_error(truth: Ints, probabilities: NDArray[np.float32], *, bins: int = 15) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over equal-width bins.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks.
    """
    labelled = truth >= 0
    confidence = probabilities[labelled].max(axis=1).astype(np.float64)
    correct = probabilities[labelled].argmax(axis=1) == truth[labelled]
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.abs(np.bincount(bin_of, correct, bins) - np.bincount(bin_of, confidence, bins))
    return float(gap.sum() / max(labelled.sum(), 1))


# -- JSON ---------------------------------------------------------------------------------------------------------


def to_json(value: Any, *, digits: int | None = None) -> Any:
    """Metrics as JSON values: an `Estimate` is [value, low, high], an array a list, NaN null.

    Args:
        digits: to round to; default: not rounded.

    >>> to_json({"uar": Estimate(0.51234, 0.4, 0.6), "f1": np.array([0.5, np.nan])}, digits=3)
    {'uar': [0.512, 0.4, 0.6], 'f1': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {name: to_json(v, digits=digits) for name, v in value.items()}
    if isinstance(value, Estimate):
        return to_json([value.value, value.low, value.high], digits=digits)
    if isinstance(value, np.ndarray | np.generic):
        return to_json(value.tolist(), digits=digits)
    if isinstance(value, list | tuple):
        return [to_json(v, digits=digits) for v in value]
    if isinstance(value, float):
        return None if np.isnan(value) else value if digits is None else round(value, digits)
    return value


def card_metrics(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Metrics for the card of a bundle, to four digits: each by name, and under `interval` those that have one."""
    values = to_json({name: e.value for name, e in estimates.items()}, digits=4)
    intervals = {name: [e.low, e.high] for name, e in estimates.items() if not np.isnan(e.low)}
    return {**values, "interval": to_json(intervals, digits=4)}
