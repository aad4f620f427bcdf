"""Sources of scores: tables of scores, folders of them as `emofuse predict` writes, and submissions."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from emofuse.core.files import printable
from emofuse.core.labels import UNLABELLED, LabelSet
from emofuse.core.time import Timeline
from emofuse.core.types import Clip, Scores
from emofuse.datasets.affwild2.label_files import rename
from emofuse.datasets.records import header_of
from emofuse.datasets.tables import START_COLUMNS
from emofuse.errors import DataError
from emofuse.evaluation.score_tables import clip_scores
from emofuse.evaluation.submission_formats import EntryLabels, read_folder, read_single
from emofuse.export.reader import listed_table
from emofuse.export.tables import CLIP_COLUMNS, read_table
from emofuse.media.container import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from emofuse.media.images import IMAGE_SUFFIXES

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".tsv", ".xlsx", ".parquet", ".json")
_MAX_LISTED = 3  # names that a message lists


class Source(Protocol):
    """The scores of one system."""

    @property
    def system(self) -> str: ...

    def scores(self, clip: Clip, frames: Timeline, label_set: LabelSet) -> Scores | None:
        """Scores of a clip with this timeline, or None if the source has none of it.

        Raises:
            DataError: its scores of the clip cannot be used.
        """
        ...

    def content(self) -> str:
        """The clips that it names, for the message about one that it lacks."""
        ...


def open_source(given: str | Path) -> Source:
    """The source at `PATH` or `NAME=PATH`: a table, a folder of tables, or a submission.

    Raises:
        DataError: the path does not exist, or holds nothing that can be read.
    """
    name, _, rest = str(given).rpartition("=")
    named = bool(name) and not Path(given).exists()
    path = Path(os.path.expanduser(rest if named else given))
    system = name if named else (path.name if path.is_dir() else path.stem)
    if path.is_file() and path.suffix.lower() == ".txt" and not _is_table(path):
        return SubmittedClasses(system, path, read_single(path))
    if path.is_file() and path.suffix.lower() in (*TABLES, ".txt"):
        return ClipTable(system, path)
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if p.is_file() and p.name != "summary.json"]
        if tables := [p for p in files if p.suffix.lower() in TABLES]:
            return TableFolder(system, path, tables)
        if any(p.suffix.lower() == ".txt" for p in files):
            return SubmittedClasses(system, path, read_folder(path))
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give a table of scores, a folder of them, or NAME=PATH.")
    raise DataError(f"{path}: holds no scores; expected {', '.join(TABLES)} tables or .txt submissions.")


def _is_table(path: Path) -> bool:
    """Whether a text file is a table of scores and not a submission: it has times."""
    return bool({"frame", *START_COLUMNS} & set(header_of(path)))


@dataclass(frozen=True)
class ClipTable:
    """One table with the scores of many clips, which a column `clip` (or `file`, `filename`, `path`) names."""

    system: str
    path: Path

    @cached_property
    def _clips(self) -> Mapping[str, pd.DataFrame]:
        table = read_table(self.path)
        column = self._column(table)
        if not len(table):
            raise DataError(f"{self.path}: a table without rows; write one for each moment of each clip.")
        if column is None:
            return {self.path.stem: table}
        if (missing := int(table[column].isna().sum())) > 0:
            raise DataError(f"{self.path}: {missing} of {len(table)} rows name no {column}; fill the column.")
        return {str(name): rows for name, rows in table.groupby(column, sort=False)}

    def _column(self, table: pd.DataFrame) -> str | None:
        return next((c for c in CLIP_COLUMNS if c in table.columns), None)

    def scores(self, clip: Clip, frames: Timeline, label_set: LabelSet) -> Scores | None:
        name = next((n for n in _names(clip) if n in self._clips), None) or self._by_path(clip)
        return None if name is None else clip_scores(self._clips[name], self.path, self.system, clip, frames, label_set)

    def content(self) -> str:
        table = next(iter(self._clips.values()))
        if self._column(table) is not None:
            return f"{self.path} has {_listed(self._clips)}"
        columns = ", ".join(map(str, table.columns))
        return f"{self.path} has no column clip, and so only the clip {self.path.stem}; its columns are {columns}"

    def _by_path(self, clip: Clip) -> str | None:
        """The name that is a path to the file of the clip, in other folders or with other separators.

        Raises:
            DataError: several names are.
        """
        found = [name for name in self._clips if _is_path_of(name, clip)]
        if len(found) > 1:
            raise DataError(f"{self.path}: {found[0]} and {found[1]} are both {clip.id}; keep one of them.")
        return found[0] if found else None


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
        """Entries of summary.json by their video."""
        try:
            entries = json.loads((self.path / "summary.json").read_text("utf-8"))["files"]
            return {Path(e["file"]).absolute(): e for e in entries}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def scores(self, clip: Clip, frames: Timeline, label_set: LabelSet) -> Scores | None:
        entry = self._summary.get((clip.video or clip.audio or Path()).absolute(), {})
        if entry.get("error"):
            raise DataError(f"{self.path}: the prediction of this file failed: {entry['error']}")
        named = (self._by_name[n] for n in _names(clip) if n in self._by_name)
        path = listed_table(self.path, entry) if entry else next(named, None)
        if path is None:
            return None
        persons = entry.get("persons", [])
        face_x = {p["person"]: p["face_centre"][0] for p in persons if p.get("face_centre")}
        face_height = {p["person"]: p["face_height"] for p in persons if p.get("face_height")}
        table = read_table(path)
        if self.modality:
            prefix = f"{self.modality.replace('-', '_')}_"
            table = table.drop(columns=list(label_set.names), errors="ignore")
            table = table.rename(columns={f"{prefix}{name}": name for name in label_set.names})
        return clip_scores(table, path, self.system, clip, frames, label_set, face_x=face_x, face_height=face_height)

    def content(self) -> str:
        return f"{self.path} has {_listed(self._by_name)}"


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(map(printable, list(names)[:_MAX_LISTED]))
    return f"the clips {shown}{', ...' if len(names) > _MAX_LISTED else ''}" if names else "no clips"


def _is_path_of(name: str, clip: Clip) -> bool:
    """Whether a path ends with the id of a clip, or the path of its file ends with it; suffixes do not count."""
    given = _parts(name)
    file = clip.video or clip.audio
    own = [_parts(clip.id), *([_parts(str(file.absolute()))] if file else [])]
    return any(given and (given[-len(o) :] == o or o[-len(given) :] == given) for o in own)


def _parts(path: str) -> list[str]:
    """The parts of a path without the suffix of a recording or photograph."""
    parts = posixpath.normpath(path.strip().replace("\\", "/")).split("/")
    stem, suffix = posixpath.splitext(parts[-1])
    is_recording = suffix.lower() in VIDEO_SUFFIXES | AUDIO_SUFFIXES | IMAGE_SUFFIXES
    return [part for part in (*parts[:-1], stem if is_recording else parts[-1]) if part]


def _names(clip: Clip) -> list[str]:
    """Names that a table may use for a clip: its id, the name of its file, and that without the suffix."""
    file = clip.video or clip.audio
    names = [clip.id, Path(clip.id).name, *([file.name, file.stem] if file else [])]
    return list(dict.fromkeys(names))


@dataclass(frozen=True)
class SubmittedClasses:
    """A submission: one class for each frame, as a score of 1."""

    system: str
    path: Path
    entries: Mapping[str, EntryLabels] = field(repr=False)

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

    def content(self) -> str:
        return f"{self.path} has {_listed(self.entries)}"
