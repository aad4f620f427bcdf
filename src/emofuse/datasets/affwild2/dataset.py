"""Aff-Wild2 as its organisers hand it out: annotations, videos and cropped faces of one folder, on one clock.

Label i and image i + 1 belong to frame i of the video, counted over all frames of the stream, and have its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2, AFFWILD2_8, UNLABELLED, LabelSet
from emofuse.core.registry import nearest
from emofuse.core.time import Ints, Timeline
from emofuse.core.types import Annotation, Clip, Track
from emofuse.datasets.affwild2.checks import check_images, check_labels, image_folder, survey
from emofuse.datasets.affwild2.entries import Choice, Entries, Entry, Marks, choose_video, person_of, read_entries
from emofuse.datasets.affwild2.label_files import SETS, rename, scan_labels
from emofuse.datasets.affwild2.layout import Layout, find_layout, numbered
from emofuse.datasets.problems import Level, Problem, refusal
from emofuse.datasets.recordings import Recordings
from emofuse.datasets.splits import ClipStatistics, clips_of_split
from emofuse.errors import DataError, LabelError
from emofuse.media.images import ImageRows, read_image


@dataclass(frozen=True, eq=False)
class NumberedFiles(Sequence[Path | None]):
    """Files of one folder as paths that are made when asked for: 3 million of them fit into memory.

    names: str [n], "" where there is no file.
    """

    folder: Path
    names: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return NumberedFiles(self.folder, self.names[row])
        return self.folder / str(self.names[row]) if self.names[row] else None


class AffWild2:
    """An Aff-Wild2 folder of 2020 (seven classes) or of 2022 and later (eight).

    Opening it lists folders; label files and videos are read when they are asked for, each video once. Clips are
    entries, one person of one video each, in the order train, validation, test. A clip has no video where there is
    none or it cannot be told which; its timeline and annotation are refused.

    Args:
        root: the folder that holds annotations, videos and images, at most three levels below.
        edition: "2020" or "2022", needed where annotations of both are there.
        label_set: `AFFWILD2` to use eight classes as seven ("other" is then not labelled); None keeps the edition's.
    Raises:
        DataError: this is no Aff-Wild2 folder, it has no videos, or its editions or test list are not clear.
        LabelError: another label set.
    """

    def __init__(self, root: str | Path, *, edition: str | None = None, label_set: LabelSet | None = None) -> None:
        if label_set not in (None, *SETS):
            raise LabelError("AffWild2: its labels can be had as AFFWILD2 or AFFWILD2_8 alone.")
        self.root = Path(root)
        if not self.root.is_dir():
            raise DataError(f"{printable(self.root)}: there is no such folder; give the one that holds Aff-Wild2.")
        layout = find_layout(self.root, edition)
        if layout is None:
            raise DataError(
                f"{printable(self.root)}: no Aff-Wild2: found neither annotations/EXPR_Set nor a later edition."
            )
        if not layout.videos:
            raise DataError(
                f"{printable(self.root)}: annotations, but no videos; labels have no time without them. Put the folder "
                "videos beside the annotations."
            )
        self.layout: Layout = layout
        self.name = f"affwild2-{layout.edition}" if layout.edition else "affwild2"
        self.label_set = label_set or (AFFWILD2_8 if layout.edition == "2022" else AFFWILD2)
        self.entries: Entries = read_entries(self.root, layout)
        self.recordings = Recordings()

    @cached_property
    def choices(self) -> dict[str, Choice]:
        """The video of each entry. Only where several have its name, these and its labels are read."""
        return {
            name: choose_video(entry, self.layout, self.root, frames=self._frames, marks=partial(self._marks, entry))
            for name, entry in self.entries.by_name.items()
        }

    @cached_property
    def clips(self) -> tuple[Clip, ...]:
        """A clip for each entry; who the person is, is unknown."""
        return tuple(
            Clip(name, video=self.choices[name].video, split=entry.split)
            for name, entry in self.entries.by_name.items()
        )

    def split(self, name: str | None) -> list[Clip]:
        """The clips of "train", "validation" or "test".

        Raises:
            DataError: there is no such part, or it is empty.
        """
        return clips_of_split(self.clips, name, data=printable(self.root))

    def timeline(self, clip: Clip) -> Timeline:
        """When each frame of the clip's video is shown.

        Raises:
            DataError: the clip has no video, or it cannot be read.
        """
        if clip.video is None and (problem := self.choices[self._entry(clip).name].problem):
            raise refusal([problem], self.root)
        return self.recordings.of(clip).timeline

    def annotation(self, clip: Clip) -> Annotation:
        """The label of each frame of the clip's video.

        A label too many is dropped; where one is missing at the end, the last frame is not labelled.

        Raises:
            DataError: the clip has no annotation, its file has a fault, its video cannot be read, or there are at
                least two labels more or less than frames.
        """
        entry = self._entry(clip)
        if entry.labels is None:
            raise DataError(f"{entry.name}: a test entry, it has no annotation; take a clip of another part.")
        timeline = self.timeline(clip)
        file = scan_labels(entry.labels)
        errors = [p for p in check_labels(file, len(timeline)) if p.level is Level.ERROR]
        if errors or file.label_set is None:
            raise refusal(errors, self.root)
        labels = rename(file.labels, file.label_set, self.label_set)
        return Annotation(fitted(labels, len(timeline)), timeline, self.label_set)

    def faces(self, clip: Clip, folder: str = "cropped_aligned") -> Track:
        """The organisers' face images over the whole timeline of the clip's video; they are read when asked for.

        Args:
            folder: "cropped_aligned" or "cropped", which is looser.
        Returns:
            A track whose values are `ImageRows` uint8 [frames, height, width, 3], not valid where a frame has no image.
        Raises:
            DataError: there are no images of this clip, their numbers do not fit the video, or it cannot be read.
        """
        entry, timeline = self._entry(clip), self.timeline(clip)
        place = image_folder(self.layout, entry.name, folder, clip.video)
        if isinstance(place, Problem):
            raise refusal([place], self.root)
        files = numbered(place) if place else {}
        if place is None or not files:
            there = [kind for kind, found in self.layout.images.items() if entry.name in found and kind != folder]
            do = f"there are some in {there[0]}" if there else "cut its faces from the video"
            raise DataError(f"{entry.name}: no images of it in {printable(self.root)}, folder {folder}; {do}.")
        errors = [p for p in check_images(entry.name, place, files, len(timeline)) if p.level is Level.ERROR]
        if errors:
            raise refusal(errors, self.root)
        names = np.zeros(len(timeline), f"U{max(map(len, files.values()))}")
        for number, name in files.items():
            if number <= len(timeline):
                names[number - 1] = name
        height, width = read_image(place / files[min(files)]).shape[:2]
        rows: Any = ImageRows(NumberedFiles(place, names), (height, width))
        return Track(rows, timeline, names != "", entry.name, person_of(entry.name))

    def survey(self) -> Iterator[Problem | ClipStatistics]:
        """Everything that is wrong, and the figures of each clip that can be read, in one pass."""
        return survey(self)

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong, as it is found."""
        return (found for found in self.survey() if isinstance(found, Problem))

    def _entry(self, clip: Clip) -> Entry:
        entries = self.entries.by_name
        if clip.id not in entries:
            raise DataError(f"{printable(self.root)}: no entry {clip.id!r}{nearest(clip.id, entries)}.")
        return entries[clip.id]

    def _frames(self, video: Path) -> int | None:
        try:
            return self.recordings.video(video).frames
        except DataError:
            return None

    def _marks(self, entry: Entry) -> Marks:
        folders = [p for found in self.layout.images.values() for p in found.get(entry.name, ())[:1]]
        last = max((number for folder in folders[:1] for number in numbered(folder)), default=0)
        return Marks(len(scan_labels(entry.labels).labels) if entry.labels else None, last)


def fitted(labels: Ints, frames: int) -> Ints:
    """As many labels as frames: one too many is dropped, one too few is -1.

    >>> fitted(np.array([3, 4]), 3)
    array([ 3,  4, -1])
    """
    return np.append(labels, np.full(max(frames - len(labels), 0), UNLABELLED, np.int64))[:frames]
