"""A prediction as rows: the columns of the table of one person, and the files that tables are written to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import atomic, write_bytes
from emofuse.core.time import TICKS_PER_SECOND, Ints
from emofuse.core.types import Scores

if TYPE_CHECKING:
    import pandas as pd

    from emofuse.inference.prediction import Prediction


def block(prediction: Prediction, person: int) -> pd.DataFrame:
    """The rows of one person, with the columns of each modality if the prediction is to show them."""
    import pandas as pd

    n, scores = len(prediction.timeline), prediction.scores.get(person)
    shares = _shares(scores, n, len(prediction.label_set))
    columns: dict[str, Any] = {
        "file": pd.Series([prediction.file] * n, dtype="str"),
        "person": pd.array([person or None] * n, dtype="Int64"),
        "start": _rounded(prediction.timeline.start),
        "end": _rounded(prediction.timeline.end),
        "frame": pd.Series(prediction.frames, dtype="Int64").where(prediction.frames >= 0),
        "status": pd.Series(prediction.statuses(person).tolist(), dtype="str"),
        **_named("", prediction, shares),
        "emotion": pd.Series(prediction.emotions(person), dtype="str"),
        "confidence": shares.max(axis=1) if n else np.empty(0),
    }
    if prediction.per_modality:
        for modality in prediction.modality_names:
            said = prediction.modalities.get(person, {}).get(modality)
            columns |= _named(f"{modality.replace('-', '_')}_", prediction, _shares(said, n, len(prediction.label_set)))
    return pd.DataFrame(columns)


def _named(prefix: str, prediction: Prediction, shares: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {f"{prefix}{name}": shares[:, k] for k, name in enumerate(prediction.label_set.names)}


def _shares(scores: Scores | None, rows: int, classes: int) -> NDArray[np.float64]:
    """Rounded probabilities, NaN where there are none."""
    if scores is None:
        return np.full((rows, classes), np.nan)
    return np.where(scores.valid[:, None], np.round(scores.probabilities().astype(np.float64), 6), np.nan)


def _rounded(time: Ints) -> NDArray[np.float64]:
    return np.round(time / TICKS_PER_SECOND, 6)


def _csv(prediction: Prediction, path: Path) -> None:
    with atomic(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        for n, rows in enumerate(prediction.blocks()):
            rows.to_csv(file, index=False, header=n == 0, lineterminator="\n")


def _parquet(prediction: Prediction, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    blocks = prediction.blocks()
    first = pa.Table.from_pandas(next(blocks), preserve_index=False)
    with atomic(path) as partial, pq.ParquetWriter(partial, first.schema) as writer:
        writer.write_table(first)
        for rows in blocks:
            writer.write_table(pa.Table.from_pandas(rows, schema=first.schema, preserve_index=False))


def _json(prediction: Prediction, path: Path) -> None:
    rows = [row for block in prediction.blocks() for row in json.loads(block.to_json(orient="records"))]
    content = {"file": prediction.file, **prediction.metadata, "labels": prediction.label_set.names, "rows": rows}
    write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


FORMATS: dict[str, Callable[[Prediction, Path], None]] = {"csv": _csv, "parquet": _parquet, "json": _json}
