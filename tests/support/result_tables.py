"""Results with given probabilities, as they are read from tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emofuse.export import ResultTable

LABELS = ("happiness", "anger", "sadness")


def result(
    persons: Mapping[int | None, Sequence[Sequence[float] | None]],
    *,
    file: str = "talk.mp4",
    step: float = 1.0,
    names: Mapping[int, str] | None = None,
    media: Path | None = None,
    **metadata: Any,
) -> ResultTable:
    """A result of persons, each with one row of probabilities (of `LABELS`) or None per step."""
    blocks = [_block(file, number, rows, step, (names or {}).get(number or 0)) for number, rows in persons.items()]
    return ResultTable(file, LABELS, metadata, blocks, media)


def _block(file: str, person: int | None, rows: Sequence[Any], step: float, name: str | None) -> pd.DataFrame:
    values = np.array([[np.nan] * 3 if row is None else row for row in rows], np.float64).reshape(-1, 3)
    n, scored = len(values), ~np.isnan(values[:, 0])
    emotions = [LABELS[row.argmax()] if ok else None for row, ok in zip(values, scored, strict=True)]
    named = {} if name is None else {"name": pd.Series([name] * n, dtype="str")}
    return pd.DataFrame(
        {
            "file": pd.Series([file] * n, dtype="str"),
            "person": pd.array([person] * n, dtype="Int64"),
            **named,
            "start": np.arange(n) * step,
            "end": (np.arange(n) + 1) * step,
            "frame": np.arange(n),
            "status": pd.Series(np.where(scored, "ok", "no_face"), dtype="str"),
            **dict(zip(LABELS, values.T, strict=True)),
            "emotion": pd.Series(emotions, dtype="str"),
            "confidence": values.max(axis=1, initial=0) if n else np.empty(0),
        }
    )
