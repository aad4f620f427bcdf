"""The interface of data sets, the registry of their formats, and opening one by its path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from emofuse.core.files import printable
from emofuse.core.labels import LabelSet
from emofuse.core.registry import Registry, nearest
from emofuse.core.time import Timeline
from emofuse.core.types import Annotation, Clip, Floats, Track
from emofuse.datasets.problems import Problem
from emofuse.datasets.statistics import SPLITS, ClipStatistics
from emofuse.errors import DataError
from emofuse.faces.crop import Crop


class DataSet(Protocol):
    """Clips in splits, with their timelines and labels. A subclass inherits every method that has a body here.

    name: for tables and records. path: the folder or file that it was opened from. label_set: the classes of its
    annotations. clips: all clips; `Clip.split` is "train", "validation", "test" or None.
    face_crop: the crop that frames faces as the data set's own face images do, None if it has none.
    still_images: whether its clips are single images, without time or audio.
    terms: the terms of use that bundles trained on it must state, None if there are none.
    """

    name: str
    path: Path
    label_set: LabelSet
    clips: tuple[Clip, ...]
    face_crop: Crop | None = None
    still_images: bool = False
    terms: str | None = None

    def split(self, name: str | None) -> list[Clip]:
        """The clips of "train", "validation" or "test"; None selects those without a split.

        Raises:
            DataError: the data set has no clip in this split; the message lists the splits that it has.
        """
        chosen = [clip for clip in self.clips if clip.split == name]
        if chosen:
            return chosen
        present = [s for s in (*SPLITS, None) if any(clip.split == s for clip in self.clips)]
        splits = ", ".join(s or "clips without a split (None)" for s in present) or "no clips at all"
        hint = nearest(name, [s for s in present if s]) if name else ""
        found = f"{printable(self.path)}: no split {name or None!r}{hint}; there are {splits}"
        raise DataError(f"{found}. --split all takes every clip.")

    def timeline(self, clip: Clip) -> Timeline:
        """The interval of each frame of a clip; a single interval for an audio file or an image.

        Raises:
            DataError: the clip has no file, or it cannot be read.
        """
        ...

    def annotation(self, clip: Clip) -> Annotation:
        """The labels of a clip.

        Raises:
            DataError: the clip is not labelled, or its labels are faulty.
        """
        ...

    def faces(self, clip: Clip) -> Track | None:
        """The data set's own face images of a clip, None if it has none and faces are to be cut from the video.

        Returns:
            A track with the timeline of the clip and values uint8 [n, height, width, 3], or [n, height, width] if grey.
        """
        return None

    def votes(self, clip: Clip) -> Floats | None:
        """The annotators' votes behind each label, float32 [labels, classes]; None if they are not known."""
        return None

    def survey(self) -> Iterator[Problem | ClipStatistics]:
        """All problems, and the statistics of each readable clip, in one pass over the files."""
        ...

    def problems(self) -> Iterator[Problem]:
        """All problems, one after another as they are found; none ends the survey."""
        return (found for found in self.survey() if isinstance(found, Problem))


@dataclass(frozen=True)
class DataFormat:
    """A format of data sets on disk.

    recognises: whether an existing file or folder holds such a data set, by names and first lines only.
    open: the data set at such a path; keyword arguments are options of the format, such as `edition` of Aff-Wild2.
    layout: what identifies it, for the message of `open_data`.
    """

    recognises: Callable[[Path], bool]
    open: Callable[..., DataSet]
    layout: str


DATASETS: Registry[DataFormat] = Registry("data set format", "emofuse.datasets")


def open_data(path: str | Path, *, still_images: bool = False, **options: str) -> DataSet:
    """The data set at a path, in the first registered format that recognises it.

    Args:
        still_images: whether data sets of single images, without time or audio, are accepted.
        options: of the format, such as edition="2022" for Aff-Wild2.
    Raises:
        DataError: no format recognises the path, the data set is faulty, or it has only still images.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{printable(path)}: there is no such file or folder; give a folder of data, or a CSV file.")
    data_format = next((f for f in DATASETS.values() if f.recognises(path)), None)
    if data_format is None:
        layouts = "; ".join(f.layout for f in DATASETS.values())
        raise DataError(
            f"{printable(path)}: not a data set. Looked for {layouts}; found {_content(path)}. "
            "Give the file or folder that holds one of them."
        )
    data = data_format.open(path, **options)
    if data.still_images and not still_images:
        raise DataError(
            f"{printable(path)}: {data.name} has single images without time or audio, but this "
            "command needs clips. Give an Aff-Wild2 folder, or the CSV file of your clips."
        )
    return data


def _content(path: Path) -> str:
    if path.is_file():
        return "a file of another kind"
    names = sorted(p.name + "/" * p.is_dir() for p in path.iterdir() if not p.name.startswith("."))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more if names else "an empty folder"
