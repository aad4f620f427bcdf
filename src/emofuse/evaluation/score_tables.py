"""Tables of scores: read as `Scores` on a clip's own clock, and written with exact times.

Tables name their classes, and classes are bound by name; times are ticks, seconds or numbers of frames. Seconds are
rounded in tables, so a time within two microseconds of a frame's start is that start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

SNAP = TICKS_PER_SECOND // 500_000


def read_table(path: Path) -> pd.DataFrame:
    """A table in a file, .csv, .parquet or .json.

    Raises:
        DataError: it cannot be read as what its name says.
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
    places: Mapping[int, float] | None = None,
) -> Scores:
    """The rows of one clip as scores, classes by name, in the order of their time.

    Args:
        places: where each person's face is, from left to right; tells `_left` from `_right`.
    Raises:
        DataError: a column is missing, or a value makes no sense.
    """
    table = _person(table, path, clip, places or {})
    columns = {str(c).strip().lower(): c for c in table.columns}
    missing = [n for n in label_set.names if n not in columns and n != "other"]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}. "
            "Name one column after each class of the data set."
        )
    timeline, order = _times(table, columns, path, frames)
    values = np.zeros((len(table), len(label_set)), np.float32)
    try:
        for k, name in enumerate(label_set.names):
            if name in columns:
                values[:, k] = table[columns[name]].to_numpy(np.float64, na_value=np.nan)
        valid = np.isfinite(values).all(axis=1) & _said(table, columns)
        return Scores(values[order], timeline, label_set, valid[order], system)
    except EmofuseError as error:
        raise DataError(f"{path}: {clip.id}: {error}") from None
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: {clip.id}: a score is no number ({error}).") from None


def _said(table: pd.DataFrame, columns: Mapping[str, Any]) -> NDArray[np.bool_]:
    if "status" in columns:
        return np.asarray(table[columns["status"]].isin(SCORED), np.bool_)
    if "valid" in columns:
        return np.asarray(table[columns["valid"]], np.bool_)
    return np.ones(len(table), bool)


def _person(table: pd.DataFrame, path: Path, clip: Clip, places: Mapping[int, float]) -> pd.DataFrame:
    """Rows of the person that the clip is about: the one seen most, or of the two seen most the left or right one."""
    if "person" not in table.columns or table["person"].nunique() == 0:
        return table
    seen = table[table["status"] == OK] if "status" in table.columns else table
    often = seen["person"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index.tolist()
    file = clip.video or clip.audio
    side = clip.id.rpartition("_")[2] if file is not None and clip.id != file.stem else ""
    if side not in ("left", "right") or not often:
        person = often[0] if often else table["person"].dropna().iloc[0]
    else:
        two = often[:2]
        unplaced = [p for p in two if int(p) not in places]
        if unplaced:
            raise DataError(
                f"{path}: does not say which person is {clip.id}; predict again (summary.json tells where each face "
                "is), or give a table with a column `clip` that names it."
            )
        ordered = sorted(two, key=lambda p: places[int(p)])
        if len(ordered) == 1 and (places[int(ordered[0])] < 0.5) != (side == "left"):
            return table.assign(status="no_face") if "status" in table.columns else table.iloc[:0]
        person = ordered[0] if side == "left" else ordered[-1]
    rows: pd.DataFrame = table[table["person"] == person]
    return rows


def _times(
    table: pd.DataFrame, columns: Mapping[str, Any], path: Path, frames: Timeline
) -> tuple[Timeline, NDArray[np.intp]]:
    try:
        if "start_ticks" in columns and "end_ticks" in columns:
            start, end = (table[columns[c]].to_numpy(np.int64) for c in ("start_ticks", "end_ticks"))
        elif "start" in columns and "end" in columns:
            start, end = (_snapped(table[columns[c]].to_numpy(np.float64), frames) for c in ("start", "end"))
        elif "frame" in columns:
            row = table[columns["frame"]].to_numpy(np.int64)
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
    except (ValueError, TypeError) as error:  # of ours, and of pandas
        raise DataError(f"{path}: times make no sense ({error})") from None


def _snapped(seconds: NDArray[np.float64], frames: Timeline) -> Ints:
    times = np.rint(seconds * TICKS_PER_SECOND).astype(np.int64)
    bounds = np.append(frames.start, frames.end[-1:])
    if not len(bounds):
        return times
    after = np.clip(np.searchsorted(bounds, times), 1, len(bounds) - 1) if len(bounds) > 1 else np.zeros_like(times)
    before = np.maximum(after - 1, 0)
    near = np.where(times - bounds[before] < bounds[after] - times, bounds[before], bounds[after])
    return np.where(np.abs(near - times) <= SNAP, near, times)


def write_scores(path: str | Path, clips: Mapping[str, Scores]) -> None:
    """Scores of one system over many clips as a Parquet table with exact times: clip, start_ticks, end_ticks, valid
    and one column for each class. Written whole or not at all; `open_source` reads it."""
    import pandas as pd

    parts = [
        pd.DataFrame(
            {"clip": name, "start_ticks": s.timeline.start, "end_ticks": s.timeline.end, "valid": s.valid}
            | {label: np.asarray(s.values)[:, k] for k, label in enumerate(s.label_set.names)}
        )
        for name, s in clips.items()
    ]
    with atomic(path) as partial:
        pd.concat(parts, ignore_index=True).to_parquet(partial, index=False)
