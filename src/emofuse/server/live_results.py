"""The rows of a live session as a result: the same table, record and entry of the summary that a file has."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.analysis.person_rows import PersonRows, person_rows
from emofuse.core.files import RECORDS, decoded, file_digest, own_outputs, write_json
from emofuse.core.statuses import VOICE_ONLY
from emofuse.export import WRITERS, ResultTable
from emofuse.inference import summary
from emofuse.inference.predictor import Predictor
from emofuse.inference.stems import claim_stems
from emofuse.server.settings import MEDIA
from emofuse.speech.active_speaker import LEAST_RATE_HZ

if TYPE_CHECKING:
    import pandas as pd

_MUCH = 0.1  # of the time


def write_live_result(
    folder: Path, stem: str, rows: Sequence[pd.DataFrame], predictor: Predictor, warnings: Sequence[str]
) -> None:
    """Write the rows of a session, in the order of persons and time.

    Args:
        stem: the name of the result, which no other has.
    Raises:
        OutputError: the folder cannot be written.
    """
    import pandas as pd

    table = pd.concat(list(rows), ignore_index=True).sort_values(["person", "start"], na_position="first")
    blocks = [block for _, block in table.groupby("person", sort=True, dropna=False)]
    bundle = predictor.bundle
    metadata: dict[str, Any] = {
        "bundle": f"{bundle.name} {bundle.version}",
        "modalities": list(predictor.modalities(words=False)),
    }
    metadata |= {"live": True, "warnings": list(warnings)}
    file, labels = str(table["file"].iloc[0]), bundle.label_set.names
    path = folder / f"{stem}.csv"
    result = ResultTable(file, labels, metadata, blocks)
    with own_outputs([path]):
        WRITERS["csv"].write(result, path)
    entry = {
        "file": decoded(folder / MEDIA / stem),
        "status": "done",
        **described(result, table),
        **metadata,
        "outputs": [path.name],
    }
    record = folder / RECORDS / f"{stem}.json"
    write_json(record, {"digest": secrets.token_hex(32), "entry": entry, "sha256": {path.name: file_digest(path)}})
    claim_stems([record], folder / RECORDS)  # so that no file of this name replaces the result
    summary.write_summary(folder, folder / RECORDS, [entry])


def speaker_warnings(rows: Sequence[pd.DataFrame]) -> list[str]:
    """A warning if for much of the time several persons share a voice since it is not known who speaks."""
    import pandas as pd

    table = pd.concat(list(rows), ignore_index=True)
    if not {"speaking", "voice_weight"} <= set(table.columns):
        return []
    in_view = table[table["voice_weight"].notna() & table["x"].notna()]
    together = in_view.groupby("start")["speaking"]
    known = together.count()[together.size() > 1] > 0
    unknown = 1 - float(known.mean()) if len(known) else 0.0
    if unknown < _MUCH:
        return []
    return [
        f"in {unknown:.0%} of the time with several persons frames came too slowly to show who speaks "
        f"({LEAST_RATE_HZ} per second are needed): the voice is shared among all in view"
    ]


def described(result: ResultTable, table: pd.DataFrame) -> dict[str, Any]:
    """What the entry of a file states, as far as the rows tell."""
    start, end = float(table["start"].min()), float(table["end"].max())
    persons = [_person(person) for person in person_rows([result]) if person.person is not None]
    steps = len(table.drop_duplicates("start"))
    return {"duration_seconds": round(end - start, 6), "steps": steps, "rows": len(table), "persons": persons}


def _person(person: PersonRows) -> dict[str, Any]:
    duration = person.end - person.start
    found = person.table["x"].notna().to_numpy(bool)
    mean = person.values[person.scored].mean(axis=0) if person.scored.any() else None
    fraction = round(float(found.mean()), 4)
    voice_only = round(float(np.mean(person.table["status"].to_numpy() == VOICE_ONLY)), 4)
    return {
        "person": person.person,
        "face_fraction": fraction,
        "face_seconds": round(float(duration[found].sum()), 6),
        "voice_only_fraction": voice_only,
        "mean_probabilities": None
        if mean is None
        else {name: round(float(value), 4) for name, value in zip(person.labels, mean, strict=False)},
    }
