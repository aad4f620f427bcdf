"""Groups of persons compared, with bootstrap intervals over persons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.analysis.person_rows import Doubles
from emofuse.core.registry import nearest
from emofuse.errors import SettingsError

if TYPE_CHECKING:
    import pandas as pd

_RESAMPLES, _TAIL = 2000, 0.025


def compare(table: pd.DataFrame, by: str, *, seed: int = 0) -> pd.DataFrame:
    """The mean of each group, and its difference from the first group, with 95 % percentile bootstrap intervals.

    A person is who has one name, or else one number in one file, and counts once in a group with the mean of its rows.
    Persons are resampled among those who are in the same groups, so that a person who is in several groups is in each
    of them in every resample. Changes from the baseline are compared if there are any, and means otherwise.

    Args:
        table: as `describe` returns it.
        by: the column whose values are the groups. If every event is in several groups, each event is compared.
    Returns:
        One row per (event,) emotion and group, in the order of the table.
    Raises:
        SettingsError: there is no such column.
    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.
    """
    import pandas as pd

    columns = table.columns[: table.columns.get_loc("emotion")]
    if by not in columns:
        raise SettingsError(f"--by {by}: no such column{nearest(by, columns)}; choose {', '.join(columns)}.")
    value = "mean_change" if "mean_change" in table else "mean"
    rows = table.assign(unit=_units(table)).dropna(subset=[by, value])
    per_event = by != "event" and all(len(part[by].unique()) > 1 for _, part in rows.groupby("event"))
    keys = ["event", "emotion"] if per_event else ["emotion"]
    compared = []
    for key, part in rows.groupby(keys, sort=False):
        values = part.pivot_table(value, "unit", by, aggfunc="mean", sort=False)[list(part[by].unique())]
        rows_of = _compared(values.to_numpy(np.float64), np.random.default_rng(seed))
        about = dict(zip(keys, key, strict=True))
        compared += [[*about.values(), group, *row] for group, row in zip(values.columns, rows_of, strict=True)]
    names = [*keys, by, "persons", value, "low", "high", "difference", "difference_low", "difference_high"]
    return pd.DataFrame(compared, columns=names)


def _units(table: pd.DataFrame) -> pd.Series[Any]:
    """Who is one person."""
    number = table["file"].astype("string") + "/" + table["person"].astype("string").fillna("")
    return table["name"].astype("string").radd("name:").fillna(number)


def _compared(values: Doubles, rng: np.random.Generator) -> Iterator[tuple[float, ...]]:
    """For each group its size, mean and interval, and the difference from the first group and its interval.

    values: float64 [persons, groups], NaN where a person is not in a group.
    """
    persons, means = (~np.isnan(values)).sum(axis=0), np.nanmean(values, axis=0)
    resampled = _resampled_means(values, rng)
    for n, count in enumerate(persons):
        enough = min(count, persons[0]) > 1
        difference = (means[n] - means[0], *_interval(resampled[:, n] - resampled[:, 0], enough))
        yield (int(count), means[n], *_interval(resampled[:, n], count > 1), *(difference if n else (np.nan,) * 3))


def _resampled_means(values: Doubles, rng: np.random.Generator) -> Doubles:
    """Means of the groups over resampled persons, float64 [resamples, groups].

    Persons are drawn among those who are in the same groups: in each resample all groups have their size.
    """
    known = ~np.isnan(values)
    totals = np.zeros((_RESAMPLES, values.shape[1]))
    for pattern in np.unique(known, axis=0):
        alike = np.nan_to_num(values[(known == pattern).all(axis=1)])
        weights = rng.multinomial(len(alike), np.full(len(alike), 1 / len(alike)), size=_RESAMPLES)
        totals += weights @ alike
    return np.asarray(totals / known.sum(axis=0))


def _interval(resampled: Doubles, enough: bool) -> tuple[float, float]:
    """The middle 95 % of resampled values; NaN if there are not enough persons."""
    low, high = np.quantile(resampled, [_TAIL, 1 - _TAIL]) if enough else (np.nan, np.nan)
    return float(low), float(high)
