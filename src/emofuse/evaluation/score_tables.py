"""Tables of scores: read as `Scores` on the clip's timeline, and written with exact times.

Classes are bound by the names of columns; times are in ticks, seconds or frame numbers. Seconds in tables are rounded,
so a time within two microseconds of a frame's start is that start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import atomic
from emofuse.core.labels import LabelSet
from emofuse.core.time import TICKS_PER_SECOND, Ints, Timeline
from emofuse.core.types import Clip, Scores
from emofuse.errors import DataError, EmofuseError
from emofuse.inference.prediction import OK, SCORED

if TYPE_CHECKING:
    import pandas as pd

_SNAP = TICKS_PER_SECOND // 500_000


def read_table(path: Path) -> pd.DataFrame:
    """The table in a .csv, .parquet or .json file.

    Raises:
        DataError: it cannot be read in the format of its suffix.
    """
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        if path.suffix.lower() == ".json":
            content = json.loads(path.read_text("utf-8"))
            return pd.DataFrame(content["rows"] if isinstance(content, dict) else content)
        return pd.read_csv(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as a table ({' '.join(str(error).split())}).") from None


def clip_scores(
    table: pd.DataFrame,
    path: Path,
    system: str,
    clip: Clip,
    frames: Timeline,
    label_set: LabelSet,
    *,
    face_x: Mapping[int, float] | None = None,
) -> Scores:
    """The rows of one clip as scores, in the order of time.

    Args:
        face_x: horizontal position of each person's face, 0 to 1; distinguishes `_left` from `_right`.
    Raises:
        DataError: a column is missing, or a value is invalid.
    """
    table = _person(table, path, clip, face_x or {})
    found = ", ".join(map(str, table.columns))
    table = table.rename(columns=lambda name: str(name).strip().lower())
    missing = [n for n in label_set.names if n not in table.columns and n != "other"]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; it has {found}. Name one column after each class of the data set."
        )
    timeline, order = _times(table, path, frames)
    values = np.zeros((len(table), len(label_set)), np.float32)
    try:
        for k, name in enumerate(label_set.names):
            if name in table.columns:
                values[:, k] = table[name].to_numpy(np.float64, na_value=np.nan)
        valid = np.asarray(np.isfinite(values).all(axis=1))
        if "status" in table.columns:
            valid &= np.asarray(table["status"].isin(SCORED), np.bool_)
        elif "valid" in table.columns:
            valid &= np.asarray(table["valid"], np.bool_)
        return Scores(values[order], timeline, label_set, valid[order], system)
    except EmofuseError as error:
        raise DataError(f"{path}: {clip.id}: {error}") from None
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: {clip.id}: a score is not a number ({error}).") from None


def _person(table: pd.DataFrame, path: Path, clip: Clip, face_x: Mapping[int, float]) -> pd.DataFrame:
    """Rows of the clip's person: the most frequent one, or the left or right one of the two most frequent."""
    if "person" not in table.columns or table["person"].nunique() == 0:
        return table
    with_face = table[table["status"] == OK] if "status" in table.columns else table
    frequency = with_face["person"].value_counts().sort_index()
    persons = frequency.sort_values(ascending=False, kind="stable").index.tolist()
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
    try:
        if {"start_ticks", "end_ticks"} <= set(table.columns):
            start, end = (table[c].to_numpy(np.int64) for c in ("start_ticks", "end_ticks"))
        elif {"start", "end"} <= set(table.columns):
            start, end = (_snapped(table[c].to_numpy(np.float64), frames) for c in ("start", "end"))
        elif "frame" in table.columns:
            row = table["frame"].to_numpy(np.int64)
            if row.size and (row.min() < 0 or row.max() >= len(frames)):
                raise DataError(
                    f"{path}: frames {row.min()} to {row.max()}, but the video has {len(frames)}; count them from 0."
                )
            start, end = frames.start[row], frames.end[row]
        else:
            raise DataError(f"{path}: no times; give columns start and end (seconds), or frame (from 0).")
        order = np.argsort(start, kind="stable")
        return Timeline(start[order], end[order]), order
    except DataError:
        raise
    except (ValueError, TypeError) as error:  # of Timeline, and of pandas
        raise DataError(f"{path}: invalid times ({error})") from None


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
