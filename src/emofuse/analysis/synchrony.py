"""Synchrony of two persons: windowed cross-correlation over lags, compared with shuffled windows.

The windows of one person are correlated with windows of the other one that begin earlier or later by a lag. Synchrony
is the mean of |Fisher's z| over windows and lags; the baseline is the same for windows of different times, which have
all that two people share by chance. Source: Boker et al. 2002, Psychological Methods 7; Ramseyer and Tschacher 2011,
Journal of Personality and Social Psychology 101.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emofuse.analysis.person_rows import VALENCE, Doubles, PersonRows, person_rows
from emofuse.core.registry import nearest
from emofuse.errors import SettingsError
from emofuse.export import ResultTable

if TYPE_CHECKING:
    import pandas as pd

_LEAST_VALID = 0.8  # fraction of a window; the other rows take its mean
_LARGEST_R = 0.999999  # a correlation of 1 has no finite z
_LEAST_ROWS = 5  # of a window
_LEAST_SHUFFLED = 6  # windows; fewer have too few orders
PAIR_COLUMNS = (
    "file",
    "person_a",
    "person_b",
    "measure",
    "windows",
    "synchrony",
    "shuffled",
    "shuffled_sd",
    "effect",
    "p",
)
WINDOW_COLUMNS = ("file", "person_a", "person_b", "measure", "start", "end", "correlation", "peak", "peak_lag")


@dataclass(frozen=True)
class SynchronySettings:
    """How two persons are compared.

    measure: an emotion, or valence. window_seconds: length of the windows, which follow one another.
    lag_seconds: the largest lag to either side. shuffles: number of shuffled series.

    Raises:
        SettingsError: a value is out of range.
    """

    measure: str = VALENCE
    window_seconds: float = 10.0
    lag_seconds: float = 2.0
    shuffles: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.window_seconds < math.inf:
            raise SettingsError(f"--window {self.window_seconds:g}: give a number of seconds above 0.")
        if not 0 <= self.lag_seconds < self.window_seconds:
            raise SettingsError(f"--max-lag {self.lag_seconds:g}: give seconds from 0 to less than --window.")

    def __str__(self) -> str:
        """The settings in words."""
        return f"{self.measure} in windows of {self.window_seconds:g} s, lags up to {self.lag_seconds:g} s"


class Synchrony(NamedTuple):
    """Tables of synchrony: one row per pair, with the columns `PAIR_COLUMNS`, and one per window of each pair."""

    pairs: pd.DataFrame
    windows: pd.DataFrame


def synchrony(results: Sequence[ResultTable], settings: SynchronySettings | None = None) -> Synchrony:
    """The synchrony of every two persons of each result, as in docs/commands.md.

    A positive `peak_lag` means that person b follows person a. `p` is the fraction of shuffled series that are at least
    as synchronous; `effect` the distance from their mean in standard deviations.

    Raises:
        SettingsError: a result lacks the measure.
    """
    import pandas as pd

    settings = settings or SynchronySettings()
    pairs: list[tuple[Any, ...]] = []
    windows: list[tuple[Any, ...]] = []
    for _, group in groupby(person_rows(results), key=lambda person: person.shown):
        persons = list(group)
        for person in persons:
            _check_measure(person, settings.measure)
        for a, b in combinations(persons, 2):
            about = (a.shown, a.person, b.person, settings.measure)
            pair, rows = _pair(a, b, settings)
            pairs.append((*about, *pair))
            windows += [(*about, *row) for row in rows]
    return Synchrony(pd.DataFrame(pairs, columns=PAIR_COLUMNS), pd.DataFrame(windows, columns=WINDOW_COLUMNS))


def _pair(
    a: PersonRows, b: PersonRows, settings: SynchronySettings
) -> tuple[tuple[float, ...], list[tuple[float, ...]]]:
    step = float(np.median(a.end - a.start)) if len(a.start) else 0.0
    if step <= 0:
        return (0, *(math.nan,) * 5), []
    width, most = max(round(settings.window_seconds / step), _LEAST_ROWS), round(settings.lag_seconds / step)
    series = [_at_rate(person, settings.measure, step) for person in (a, b)]
    first = _windows(series[0], width, 0)
    lags = np.arange(-most, most + 1)
    r = np.full((len(lags), len(first)), np.nan)  # of windows of the same time
    strength, known = np.zeros((len(first),) * 2), np.zeros((len(first),) * 2)
    for n, lag in enumerate(lags):
        each = np.clip(first @ _windows(series[1], width, int(lag)).T, -_LARGEST_R, _LARGEST_R)
        r[n] = np.diagonal(each)
        z = np.abs(np.arctanh(each))
        strength += np.nan_to_num(z)
        known += ~np.isnan(z)
    usable = np.flatnonzero(~np.isnan(r).all(axis=0))
    mean = np.divide(strength, known, out=np.full_like(strength, np.nan), where=known > 0)[np.ix_(usable, usable)]
    return _against_shuffled(mean, settings), list(_rows(r, usable, (lags * step).astype(np.float64), width * step))


def _at_rate(person: PersonRows, measure: str, step: float) -> Doubles:
    """A measure at a constant rate: at each step the row that contains it, NaN where there is none with scores."""
    times = (np.arange(math.ceil(round(person.end.max(initial=0.0) / step, 6))) + 0.5) * step
    row = np.searchsorted(person.start, times, side="right") - 1
    values = person.values[row, person.measures.index(measure)]
    return np.where((row >= 0) & (times < person.end[row]), values, np.nan)


def _check_measure(person: PersonRows, measure: str) -> None:
    if measure not in person.measures:
        problem = f"{person.shown} has no such measure{nearest(measure, person.measures)}"
        raise SettingsError(f"--synchrony {measure}: {problem}; choose {', '.join(person.measures)}.")


def _windows(series: Doubles, width: int, lag: int) -> Doubles:
    """Windows one after another, later by `lag` rows, each with mean 0 and norm 1, [windows, width].

    NaN where a window has too few values, is constant, or is not all in the series.
    """
    count = len(series) // width
    index = np.arange(count)[:, None] * width + np.arange(width) + lag
    inside = (index >= 0) & (index < len(series))
    values = np.where(inside, series[np.clip(index, 0, len(series) - 1)], np.nan)
    known = ~np.isnan(values)
    enough = known.mean(axis=1, keepdims=True) >= _LEAST_VALID if count else np.zeros((0, 1), bool)
    mean = np.nan_to_num(values).sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    centred = np.where(known, values - mean, 0.0)
    norm = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    return np.where(enough & (norm > 1e-9), centred / np.maximum(norm, 1e-9), np.nan)


def _rows(r: Doubles, usable: Any, lags: Doubles, width: float) -> Iterator[tuple[float, ...]]:
    """Start, end, correlation without lag, the highest one and its lag, of each window."""
    for n in usable:
        peak = int(np.nanargmax(r[:, n]))
        yield n * width, (n + 1) * width, r[len(lags) // 2, n], r[peak, n], lags[peak]


def _against_shuffled(mean: Doubles, settings: SynchronySettings) -> tuple[float, ...]:
    """Windows, synchrony, its mean and deviation in shuffled series, effect size, and p.

    mean: float64 [windows, windows], mean |z| of every window of one person with every one of the other.
    """
    count = len(mean)
    observed = float(np.nanmean(np.diagonal(mean))) if count else math.nan
    if count < _LEAST_SHUFFLED:
        return (count, observed, *(math.nan,) * 4)
    rng, rows = np.random.default_rng(settings.seed), np.arange(count)
    shuffled = np.array([np.nanmean(mean[rows, _moved(rng, count)]) for _ in range(settings.shuffles)])
    deviation = float(shuffled.std(ddof=1))
    effect = (observed - float(shuffled.mean())) / deviation if deviation else math.nan
    p = float((1 + (shuffled >= observed).sum()) / (1 + settings.shuffles))
    return count, observed, float(shuffled.mean()), deviation, effect, p


def _moved(rng: np.random.Generator, count: int) -> Any:
    """A random order in which no window is in its place (Sattolo's algorithm)."""
    order = np.arange(count)
    for n in range(count - 1, 0, -1):
        other = int(rng.integers(n))
        order[n], order[other] = order[other], order[n]
    return order
