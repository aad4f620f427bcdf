"""Tables of scores: read as `Scores` on the clip's timeline, and written with exact times.

Classes are bound by the names of columns, in any spelling that labels may have; times are in ticks, seconds (or
mm:ss) or frame numbers. Seconds in tables are rounded,
so a time within two microseconds of a frame's start is that start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import atomic
from emofuse.core.labels import LabelSet
from emofuse.core.statuses import OK, SCORED
from emofuse.core.time import TICKS_PER_SECOND, Ints, Timeline
from emofuse.core.types import Clip, Scores
from emofuse.datasets.records import MISSING, seconds_of
from emofuse.datasets.tables import END_COLUMNS, START_COLUMNS, label_index, label_indices
from emofuse.errors import DataError, EmofuseError

if TYPE_CHECKING:
    import pandas as pd

_SNAP = TICKS_PER_SECOND // 500_000
_LARGEST = float(np.finfo(np.float32).max)
_LATEST = 10**9  # seconds


def clip_scores(
    table: pd.DataFrame,
    path: Path,
    system: str,
    clip: Clip,
    frames: Timeline,
    label_set: LabelSet,
    *,
    face_x: Mapping[int, float] | None = None,
    face_height: Mapping[int, float] | None = None,
) -> Scores:
    """The rows of one clip as scores, in the order of time.

    Args:
        face_x: horizontal position of each person's face, 0 to 1; distinguishes `_left` from `_right`.
        face_height: height of each person's face; of several equally frequent persons the largest one counts.
    Raises:
        DataError: a column is missing, or a value is invalid.
    """
    table = _person(table, path, clip, face_x or {}, face_height or {})
    columns = class_columns(table, path, label_set)
    missing = [n for n in label_set.names if n not in columns and n != "other"]
    if missing:
        found = ", ".join(map(str, table.columns))
        raise DataError(
            f"{path}: no column {', '.join(missing)}; it has {found}. Name one column after each class of the data set."
        )
    timeline, order = _times(table, path, frames)
    values = np.zeros((len(table), len(label_set)))
    try:
        for k, name in enumerate(label_set.names):
            if name in columns:
                values[:, k] = _numbers(table[columns[name]])
        valid = np.asarray(~np.isnan(values).any(axis=1))
        if "status" in table.columns:
            valid &= np.asarray(table["status"].isin(SCORED), np.bool_)
        elif "valid" in table.columns:
            valid &= _flags(table["valid"])
        values[~valid] = 0
        if values.size and np.abs(values).max() > _LARGEST:
            raise DataError(f"a score is {np.abs(values).max():g}; give probabilities.")
        return Scores(values[order].astype(np.float32), timeline, label_set, valid[order], system)
    except EmofuseError as error:
        raise DataError(f"{path}: {clip.id}: {error}") from None
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: {clip.id}: a score is not a number ({error}).") from None


def class_columns(table: pd.DataFrame, path: Path, label_set: LabelSet) -> dict[str, str]:
    """The column of each class, by its name or a synonym of it.

    Raises:
        DataError: two columns are of one class.
    """
    indices, found = label_indices(label_set), dict[str, str]()
    for column in table.columns:
        index = label_index(str(column), indices)
        if index is None or index < 0:
            continue
        other = found.setdefault(label_set.names[index], column)
        if other != column:
            raise DataError(
                f"{path}: columns {other} and {column} are both of the class {label_set.names[index]}; keep one of "
                "them, or their sum."
            )
    return found


def _numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    """A column as numbers, with decimal points or commas; NaN where a value is missing."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column):
        text = column.astype("string").str.strip().str.replace(",", ".", regex=False)
        column = pd.to_numeric(text.mask(text.str.casefold().isin(("", *MISSING))))
    return column.to_numpy(np.float64, na_value=np.nan)


def _flags(column: pd.Series[Any]) -> NDArray[np.bool_]:
    text = column.astype("string").str.strip().str.casefold()
    return np.asarray(text.isin(("true", "1", "1.0", "yes")), np.bool_)


def _seconds(column: pd.Series[Any]) -> NDArray[np.float64]:
    """A column of times in seconds, or as text that `seconds_of` reads.

    Raises:
        ValueError: one is missing, is not a time, or is too large.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        times = column.to_numpy(np.float64, na_value=np.nan)
    else:
        given = [str(text) for text in column]
        known = [seconds_of(text) for text in given]
        if None in known:
            raise ValueError(f"{given[known.index(None)]!r} is not a time: write seconds, mm:ss or hh:mm:ss")
        times = np.array(known, np.float64)
    if not (np.abs(times) <= _LATEST).all():
        raise ValueError("a time is missing" if np.isnan(times).any() else f"{np.abs(times).max():g} s")
    return times


def _frame_numbers(column: pd.Series[Any], path: Path, count: int) -> NDArray[np.int64]:
    numbers = _numbers(column)
    if numbers.size and not (numbers == np.rint(numbers)).all():
        wrong = numbers[numbers != np.rint(numbers)][0]
        raise ValueError("a frame is missing" if np.isnan(wrong) else f"frame {wrong:g} is not a whole number")
    if numbers.size and (numbers.min() < 0 or numbers.max() >= count):
        low, high = (f"{n:.0f}" if abs(n) < 1e15 else f"{n:g}" for n in (numbers.min(), numbers.max()))
        raise DataError(f"{path}: frames {low} to {high}, but the video has {count}; count them from 0.")
    return numbers.astype(np.int64)


def _person(
    table: pd.DataFrame, path: Path, clip: Clip, face_x: Mapping[int, float], face_height: Mapping[int, float]
) -> pd.DataFrame:
    """Rows of the clip's person: the most frequent one, or the left or right one of the two most frequent."""
    if "person" not in table.columns or table["person"].nunique() == 0:
        return table
    with_face = table[table["status"] == OK] if "status" in table.columns else table
    frequency: dict[Any, int] = with_face["person"].value_counts().sort_index().to_dict()
    persons = sorted(frequency, key=lambda p: (-frequency[p], -face_height.get(int(p), 0.0)))
    file = clip.video or clip.audio
    side = clip.id.rpartition("_")[2] if file is not None and clip.id != file.stem else ""
    if side not in ("left", "right") or not persons:
        person = persons[0] if persons else table["person"].dropna().iloc[0]
    else:
        if any(int(p) not in face_x for p in persons[:2]):
            raise DataError(
                f"{path}: does not say which person is {clip.id}; predict again (summary.json holds the position of "
                "each face), or give a table with a column `clip` that names it."
            )
        from_left = sorted(persons[:2], key=lambda p: face_x[int(p)])
        if len(from_left) == 1 and (face_x[int(from_left[0])] < 0.5) != (side == "left"):
            return table.assign(status="no_face") if "status" in table.columns else table.iloc[:0]
        person = from_left[0] if side == "left" else from_left[-1]
    rows: pd.DataFrame = table[table["person"] == person]
    return rows


def _times(table: pd.DataFrame, path: Path, frames: Timeline) -> tuple[Timeline, NDArray[np.intp]]:
    """The timeline of the rows, and their order by time."""
    bounds = [next((c for c in names if c in table.columns), None) for names in (START_COLUMNS, END_COLUMNS)]
    try:
        if {"start_ticks", "end_ticks"} <= set(table.columns):
            start, end = (table[c].to_numpy(np.int64) for c in ("start_ticks", "end_ticks"))
        elif all(bounds):
            start, end = (_snapped(_seconds(table[column]), frames) for column in bounds)
        elif "frame" in table.columns:
            row = _frame_numbers(table["frame"], path, len(frames))
            start, end = frames.start[row], frames.end[row]
        else:
            raise DataError(f"{path}: no times; give columns start and end (seconds), or frame (from 0).")
        if len(frames) == 1:  # a photograph, whose row ends where it begins
            end = np.where(end == start, frames.end, end)
        order = np.argsort(start, kind="stable")
        return Timeline(start[order], end[order]), order
    except DataError:
        raise
    except (ValueError, TypeError, OverflowError) as error:  # of Timeline, and of pandas
        raise DataError(f"{path}: invalid times ({error}).") from None


def _snapped(seconds: NDArray[np.float64], frames: Timeline) -> Ints:
    times = np.rint(seconds * TICKS_PER_SECOND).astype(np.int64)
    bounds = np.append(frames.start, frames.end[-1:])
    if not len(bounds):
        return times
    after = np.clip(np.searchsorted(bounds, times), 1, len(bounds) - 1) if len(bounds) > 1 else np.zeros_like(times)
    before = np.maximum(after - 1, 0)
    near = np.where(times - bounds[before] < bounds[after] - times, bounds[before], bounds[after])
    return np.where(np.abs(near - times) <= _SNAP, near, times)


def write_scores(path: str | Path, clips: Mapping[str, Scores]) -> None:
    """Write the scores of one system for many clips as a Parquet table that `open_source` reads.

    Columns: clip, start_ticks, end_ticks, valid, and one for each class. Written whole or not at all.
    """
    import pandas as pd

    tables = [
        pd.DataFrame(
            {"clip": name, "start_ticks": s.timeline.start, "end_ticks": s.timeline.end, "valid": s.valid}
            | {label: np.asarray(s.values)[:, k] for k, label in enumerate(s.label_set.names)}
        )
        for name, s in clips.items()
    ]
    with atomic(path) as partial:
        pd.concat(tables, ignore_index=True).to_parquet(partial, index=False)
