"""Data sets in one form, whatever their files look like: clips in parts, their clock, their labels, their faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from emofuse.core.files import printable
from emofuse.core.labels import LabelSet
from emofuse.core.time import Timeline
from emofuse.core.types import Annotation, Clip
from emofuse.datasets.affwild2.dataset import AffWild2
from emofuse.datasets.affwild2.layout import find_layout
from emofuse.datasets.clip_list import ClipList
from emofuse.datasets.clip_list_rows import header_of
from emofuse.datasets.fer2013.dataset import Fer2013, find_fer2013
from emofuse.datasets.problems import KINDS, Level, Problem
from emofuse.datasets.splits import ClipStatistics, SplitStatistics, split_statistics
from emofuse.errors import DataError

__all__ = [
    "KINDS",
    "ClipStatistics",
    "DataSet",
    "DataReport",
    "Fer2013",
    "Level",
    "SplitStatistics",
    "Problem",
    "check_data",
    "open_data",
    "open_training_data",
]


class DataSet(Protocol):
    """What every data set offers.

    name: for tables and records. root: its folder. label_set: the classes of its annotations.
    clips: all of them, with their part in `split` ("train", "validation", "test" or None).
    """

    @property
    def name(self) -> str: ...

    @property
    def root(self) -> Path: ...

    @property
    def label_set(self) -> LabelSet: ...

    @property
    def clips(self) -> tuple[Clip, ...]: ...

    def split(self, name: str | None) -> list[Clip]:
        """The clips of a part; a DataError tells which parts there are."""
        ...

    def annotation(self, clip: Clip) -> Annotation:
        """The labels of a clip; a DataError tells why there are none."""
        ...

    def timeline(self, clip: Clip) -> Timeline:
        """When each frame of a clip is shown, from its timestamps."""
        ...

    def survey(self) -> Iterator[Problem | ClipStatistics]:
        """All problems and the figures of all readable clips, in one pass over the files."""
        ...

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong, as it is found; nothing stops it."""
        ...


@dataclass(frozen=True)
class DataReport:
    """What a whole data set holds and what is wrong with it: problems sorted by level, the gravest first."""

    name: str
    root: Path
    label_set: LabelSet
    splits: tuple[SplitStatistics, ...]
    problems: tuple[Problem, ...]

    def count(self, level: Level) -> int:
        """How many problems there are of a level."""
        return sum(problem.level is level for problem in self.problems)

    def as_dict(self) -> Mapping[str, Any]:
        """The same as JSON values."""
        return {
            "name": self.name,
            "root": str(self.root),
            "labels": list(self.label_set.names),
            "splits": [asdict(split) for split in self.splits],
            "problems": [problem.as_dict() for problem in self.problems],
        }


def check_data(data: DataSet, *, on_clip: Callable[[Clip], None] | None = None) -> DataReport:
    """Reads a data set once, from end to end.

    Args:
        on_clip: called after each clip that could be read, as for a progress bar.
    """
    problems: list[Problem] = []
    facts: list[ClipStatistics] = []
    for found in data.survey():
        if isinstance(found, Problem):
            problems.append(found)
            continue
        facts.append(found)
        if on_clip is not None:
            on_clip(found.clip)
    problems.sort(key=lambda problem: list(Level).index(problem.level))
    return DataReport(
        data.name, data.root, data.label_set, split_statistics(facts, data.clips, data.label_set), tuple(problems)
    )


def open_data(path: str | Path, *, edition: str | None = None) -> AffWild2 | ClipList:
    """The data set at a path: an Aff-Wild2 folder, a manifest (.csv), or a folder that holds one manifest.

    Args:
        edition: of Aff-Wild2, "2020" or "2022", needed where annotations of both are there.
    Raises:
        DataError: there is no data set, or more than one; or it is one of single faces.
    """
    path = Path(path)
    if path.exists() and find_fer2013(path) is not None:
        raise DataError(
            f"{printable(path)}: FER-2013, single faces without clips and time; `emofuse train` takes it. Give "
            "a folder of data, or the CSV file of your clips."
        )
    if path.is_file():
        if path.suffix.lower() == ".csv":
            return ClipList(path)
        raise DataError(
            f"{printable(path)}: a file, but no .csv; give a folder of data, or the CSV file of your clips."
        )
    if not path.is_dir():
        raise DataError(f"{printable(path)}: there is no such file or folder; give a folder of data, or a CSV file.")
    if find_layout(path, edition) is not None:
        return AffWild2(path, edition=edition)
    tables = sorted(p for p in path.iterdir() if p.suffix.lower() == ".csv" and p.is_file())
    manifests = [p for p in tables if {"path", "label"} <= header_of(p).keys()]
    if len(manifests) == 1:
        return ClipList(manifests[0])
    if manifests:
        names = ", ".join(p.name for p in manifests)
        raise DataError(f"{printable(path)}: {len(manifests)} tables of clips, {names}; give the path of one of them.")
    raise DataError(
        f"{printable(path)}: no data set. Looked for annotations/EXPR_Set (or a later EXPR_... folder), for videos "
        f"with cropped_aligned, and for a .csv with the columns path and label; found {_content(path)}. "
        "Give the folder that holds one of them."
    )


def open_training_data(path: str | Path) -> AffWild2 | ClipList | Fer2013:
    """What a net can learn from at a path: a data set of clips, or FER-2013, whose faces have none.

    Raises:
        DataError: there is no data set, or more than one, or FER-2013 is not as it should be.
    """
    return Fer2013(path) if Path(path).exists() and find_fer2013(path) is not None else open_data(path)


def _content(folder: Path) -> str:
    names = sorted(p.name + "/" * p.is_dir() for p in folder.iterdir() if not p.name.startswith("."))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more if names else "an empty folder"
