"""What systems said, read from files: tables of scores, the tables of `emofuse predict`, and submissions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from emofuse.core.labels import UNLABELLED, LabelSet
from emofuse.core.time import Ints, Timeline
from emofuse.core.types import Clip, Scores
from emofuse.datasets.affwild2.label_files import rename
from emofuse.errors import DataError
from emofuse.evaluation.score_tables import clip_scores, read_table
from emofuse.evaluation.submission_formats import read_folder, read_single

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".parquet", ".json")
CLIP_COLUMNS = ("clip", "file")


class Source(Protocol):
    """Where the scores of one system come from."""

    @property
    def system(self) -> str: ...

    def scores(self, clip: Clip, frames: Timeline, label_set: LabelSet) -> Scores | None:
        """Scores of a clip whose frames are known, or None where the source has nothing of it.

        Raises:
            DataError: what it has of the clip cannot be used.
        """
        ...


def open_source(given: str | Path) -> Source:
    """The source behind `PATH` or `NAME=PATH`: a table, a folder of tables, or a submission.

    Raises:
        DataError: there is nothing, or nothing that is known.
    """
    name, _, rest = str(given).rpartition("=")
    path = Path(rest) if name and not Path(given).exists() else Path(given)
    system = name if name and not Path(given).exists() else (path.name if path.is_dir() else path.stem)
    if path.is_file() and path.suffix.lower() == ".txt":
        return Decided(system, path, read_single(path))
    if path.is_file() and path.suffix.lower() in TABLES:
        return OneTable(system, path)
    if path.is_dir():
        found = [p for p in sorted(path.iterdir()) if p.is_file() and p.name != "summary.json"]
        tables = [p for p in found if p.suffix.lower() in TABLES]
        texts = [p for p in found if p.suffix.lower() == ".txt"]
        if texts and not tables:
            return Decided(system, path, read_folder(path))
        if tables:
            return TableFolder(system, path, tables)
    if not path.exists():
        raise DataError(
            f"{path}: there is no such file or folder; give a table of scores, a folder of them, or NAME=PATH."
        )
    raise DataError(f"{path}: no scores in there; looked for {', '.join(TABLES)} tables and .txt submissions.")


# -- tables ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OneTable:
    """One table with the scores of many clips, told apart by a column `clip` (or `file`)."""

    system: str
    path: Path

    @cached_property
    def _clips(self) -> Mapping[str, pd.DataFrame]:
        table = read_table(self.path)
        column = next((c for c in CLIP_COLUMNS if c in table.columns), None)
        if column is None:
            return {self.path.stem: table}
        return {str(name): part for name, part in table.groupby(column, sort=False)}

    def scores(self, clip: Clip, frames: Timeline, label_set: LabelSet) -> Scores | None:
        part = next((self._clips[n] for n in _names(clip) if n in self._clips), None)
        return None if part is None else clip_scores(part, self.path, self.system, clip, frames, label_set)


@dataclass(frozen=True)
class TableFolder:
    """A folder with one table for each clip or video, as `emofuse predict` writes them.

    modality: its columns are read instead of the fused ones (`--per-modality`).
    """

    system: str
    path: Path
    tables: Sequence[Path] = field(repr=False)
    modality: str = ""

    @cached_property
    def _by_name(self) -> Mapping[str, Path]:
        return {p.stem: p for p in self.tables}

    @cached_property
    def _summary(self) -> Mapping[Path, Mapping[str, Any]]:
        """Entries of predict's summary by the video they are about."""
        try:
            entries = json.loads((self.path / "summary.json").read_text("utf-8"))["files"]
            return {Path(e["file"]).absolute(): e for e in entries}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def scores(self, clip: Clip, frames: Timeline, label_set: LabelSet) -> Scores | None:
        entry = self._summary.get((clip.video or clip.audio or Path()).absolute(), {})
        if entry.get("error"):
            raise DataError(f"{self.path}: predicting failed there: {entry['error']}")
        named = (self._by_name[n] for n in _names(clip) if n in self._by_name)
        path = self.path / entry["outputs"][0] if entry else next(named, None)
        if path is None:
            return None
        places = {p["person"]: p["face_centre"][0] for p in entry.get("persons", []) if p.get("face_centre")}
        table = read_table(path)
        if self.modality:
            prefix = f"{self.modality.replace('-', '_')}_"
            table = table.drop(columns=list(label_set.names), errors="ignore")
            table = table.rename(columns={f"{prefix}{name}": name for name in label_set.names})
        return clip_scores(table, path, self.system, clip, frames, label_set, places=places)


def _names(clip: Clip) -> list[str]:
    """What a table may call a clip: its id, then the name of its file, then that without its ending."""
    file = clip.video or clip.audio
    names = [clip.id, Path(clip.id).name, *([file.name, file.stem] if file else [])]
    return list(dict.fromkeys(names))


# -- submissions ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decided:
    """A submission: one class for each frame, which counts as a score of 1."""

    system: str
    path: Path
    entries: Mapping[str, tuple[LabelSet, Ints]] = field(repr=False)

    def scores(self, clip: Clip, frames: Timeline, label_set: LabelSet) -> Scores | None:
        if clip.id not in self.entries:
            return None
        given, labels = self.entries[clip.id]
        if abs(len(labels) - len(frames)) > 1:
            raise DataError(f"{self.path}: {clip.id} has {len(labels)} rows, its video {len(frames)} frames.")
        classes = np.full(len(frames), UNLABELLED, np.int64)
        classes[: len(labels)] = rename(labels, given, label_set)[: len(frames)]
        values = (classes[:, None] == np.arange(len(label_set))).astype(np.float32)
        return Scores(values, frames, label_set, classes >= 0, self.system)
