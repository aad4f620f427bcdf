"""Aff-Wild2 as distributed by its organisers: annotations, videos and cropped faces in one folder.

Label i and image i + 1 belong to frame i of the video, counted over all frames of the stream, and have its time.
"""

from __future__ import annotations

from collections import defaultdict
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
from emofuse.core.time import Ints, Timeline, seconds
from emofuse.core.types import Annotation, Clip, Track
from emofuse.datasets.affwild2.checks import check_image_files, check_images, check_labels
from emofuse.datasets.affwild2.entries import Entry, Evidence, VideoMatch, find_entries, match_video, person_of
from emofuse.datasets.affwild2.label_files import LABEL_SETS, rename, scan_labels
from emofuse.datasets.affwild2.layout import image_folder, is_affwild2, numbered_images, read_layout
from emofuse.datasets.dataset import DATASETS, DataFormat, DataSet
from emofuse.datasets.problems import Level, Problem, error_for
from emofuse.datasets.recordings import Recording, Recordings, check_recording, without_path
from emofuse.datasets.statistics import ClipStatistics, absent_classes
from emofuse.errors import DataError, LabelError
from emofuse.faces.crop import identity_crop
from emofuse.media.images import ImageRows, read_image


@dataclass(frozen=True, eq=False)
class NumberedFiles(Sequence[Path | None]):
    """Files of one folder whose paths are built on access, so that 3 million of them fit into memory.

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


class AffWild2(DataSet):
    """An Aff-Wild2 folder of the 2020 edition (seven classes) or of 2022 and later (eight classes).

    Opening it only lists folders; label files and videos are read on demand, each video once. Its clips are entries,
    each one person of one video, in the order train, validation, test. A clip has no video if none is found or if
    several match; its timeline and annotation are then refused.

    Args:
        path: the folder that holds annotations, videos and images, at most three levels below.
        edition: "2020" or "2022", required if the folder has annotations of both.
        label_set: `AFFWILD2` to use eight classes as seven ("other" becomes unlabelled); default: that of the edition.
    Raises:
        DataError: not an Aff-Wild2 folder, no videos, or it is unclear which edition or test list applies.
        LabelError: another label set.
    """

    def __init__(self, path: str | Path, *, edition: str | None = None, label_set: LabelSet | None = None) -> None:
        if label_set not in (None, *LABEL_SETS):
            raise LabelError("AffWild2: label_set must be AFFWILD2 or AFFWILD2_8.")
        self.path = Path(path)
        self.layout = read_layout(self.path, edition)
        self.name = f"affwild2-{self.layout.edition}" if self.layout.edition else "affwild2"
        self.label_set = label_set or (AFFWILD2_8 if self.layout.edition == "2022" else AFFWILD2)
        self.face_crop = identity_crop() if self.layout.images else None
        self.entries, self._entry_problems = find_entries(self.path, self.layout)
        self.recordings = Recordings()

    @cached_property
    def videos(self) -> dict[str, VideoMatch]:
        """The video of each entry; frames and labels are counted only where several videos have its name."""
        return {
            name: match_video(
                entry, self.layout, self.path, frames=self._frames, evidence=partial(self._evidence, entry)
            )
            for name, entry in self.entries.items()
        }

    @cached_property
    def clips(self) -> tuple[Clip, ...]:  # type: ignore[override]
        """One clip per entry; subjects are unknown."""
        return tuple(
            Clip(name, video=self.videos[name].video, split=entry.split) for name, entry in self.entries.items()
        )

    def timeline(self, clip: Clip) -> Timeline:
        """The interval of each frame of the clip's video.

        Raises:
            DataError: the clip has no video, or it cannot be read.
        """
        if clip.video is None and (problem := self.videos[self._entry(clip).name].problem):
            raise error_for([problem], self.path)
        return self.recordings.of(clip).timeline

    def annotation(self, clip: Clip) -> Annotation:
        """The label of each frame of the clip's video.

        A surplus label is dropped; if one is missing, the last frame is not labelled.

        Raises:
            DataError: the clip has no annotation, its label file is faulty, its video cannot be read, or the numbers of
                labels and frames differ by two or more.
        """
        entry = self._entry(clip)
        if entry.labels is None:
            raise DataError(f"{entry.name}: a test entry without an annotation; choose a clip of another split.")
        timeline = self.timeline(clip)
        file = scan_labels(entry.labels)
        errors = [p for p in check_labels(file, len(timeline)) if p.level is Level.ERROR]
        if errors or file.label_set is None:
            raise error_for(errors, self.path)
        labels = rename(file.labels, file.label_set, self.label_set)
        missing = np.full(max(len(timeline) - len(labels), 0), UNLABELLED, np.int64)
        return Annotation(np.append(labels, missing)[: len(timeline)], timeline, self.label_set)

    def faces(self, clip: Clip, folder: str = "cropped_aligned") -> Track | None:
        """The organisers' face images over the timeline of the clip's video, None if the clip has none.

        Args:
            folder: "cropped_aligned", or "cropped" for the looser crops.
        Returns:
            A track whose values are `ImageRows` uint8 [frames, height, width, 3], which read files on access; rows
            without an image are not valid.
        Raises:
            DataError: there are several folders of images, their numbers do not fit the video, or it cannot be read.
        """
        entry, timeline = self._entry(clip), self.timeline(clip)
        found = image_folder(self.layout, entry.name, folder, clip.video)
        if isinstance(found, Problem):
            raise error_for([found], self.path)
        files = numbered_images(found) if found else {}
        if found is None or not files:
            return None
        errors = [p for p in check_images(entry.name, found, files, len(timeline)) if p.level is Level.ERROR]
        if errors:
            raise error_for(errors, self.path)
        names = np.zeros(len(timeline), f"U{max(map(len, files.values()))}")
        for number, name in files.items():
            if number <= len(timeline):
                names[number - 1] = name
        height, width = read_image(found / files[min(files)]).shape[:2]
        rows: Any = ImageRows(NumberedFiles(found, names), (height, width))
        return Track(rows, timeline, names != "", entry.name, person_of(entry.name))

    def survey(self) -> Iterator[Problem | ClipStatistics]:
        """All problems, and the statistics of each readable clip; each file is read once."""
        yield from self._entry_problems
        if not self.layout.images:
            found, consequence = "no folder cropped_aligned or cropped", "faces will be cut from the videos"
            yield Problem(Level.WARNING, "missing-images", self.name, self.path, None, found, consequence)
        checked: set[Path | None] = {None}
        counts: defaultdict[str, Ints] = defaultdict(lambda: np.zeros(len(self.label_set), np.int64))
        for clip in self.clips:
            for result in self._survey_clip(clip, is_first=clip.video not in checked):
                if isinstance(result, ClipStatistics):
                    counts[clip.split or ""] += result.labels
                yield result
            checked.add(clip.video)
        yield from self._leaking_videos()
        for split, folder in self.layout.folders.items():
            if self.layout.annotations[split]:
                yield from absent_classes(split, folder, counts[split], self.label_set)

    def _survey_clip(self, clip: Clip, *, is_first: bool) -> Iterator[Problem | ClipStatistics]:
        """is_first: whether this is the first clip of its video, which reports the problems of the video."""
        entry = self.entries[clip.id]
        if problem := self.videos[clip.id].problem:
            yield problem
        recording: Recording | None = None
        if clip.video is not None:
            try:
                recording = self.recordings.video(clip.video)
            except DataError as error:
                if is_first:
                    found, consequence = without_path(error, clip.video), "its entries are left out"
                    yield Problem(Level.ERROR, "unreadable-file", clip.video.stem, clip.video, None, found, consequence)
            else:
                yield from check_recording(clip.video, recording) if is_first else ()
        labels, is_faulty = np.empty(0, np.int64), recording is None
        if entry.labels is not None:
            file = scan_labels(entry.labels)
            problems = list(check_labels(file, recording.frames if recording else None))
            yield from problems
            is_faulty |= any(p.level is Level.ERROR for p in problems)
            if file.label_set:
                labels = rename(file.labels, file.label_set, self.label_set)
        problems, faces = self._survey_images(entry, clip.video, recording)
        yield from problems
        if recording and not is_faulty:
            labels = labels[: recording.frames]
            counts = np.bincount(labels[labels != UNLABELLED], minlength=len(self.label_set))
            unlabelled = int((labels == UNLABELLED).sum())
            yield ClipStatistics(clip, recording.frames, seconds(recording.end), counts, unlabelled, faces)

    def _survey_images(
        self, entry: Entry, video: Path | None, recording: Recording | None
    ) -> tuple[list[Problem], int | None]:
        """Problems, and the number of frames with an image in the first folder that has images."""
        problems: list[Problem] = []
        by_kind: dict[str, dict[int, str]] = {}
        for kind in self.layout.images:
            folder = image_folder(self.layout, entry.name, kind, video)
            if isinstance(folder, Problem):
                problems.append(folder)
                continue
            try:
                files = numbered_images(folder) if folder else {}
            except DataError as error:
                path = folder or self.path
                found, consequence = without_path(error, path), "its images are left out"
                problems.append(Problem(Level.ERROR, "unreadable-file", entry.name, path, None, found, consequence))
                continue
            # A second folder with the same numbers would only repeat the same problems.
            if folder and files and recording and all(files.keys() != other.keys() for other in by_kind.values()):
                problems += check_images(entry.name, folder, files, recording.frames)
            if folder and files:
                problems += check_image_files(entry.name, folder, files)
            by_kind[kind] = files
        empty = [kind for kind, files in by_kind.items() if not files]
        if empty and entry.labels is not None:
            found = f"{entry.name} has no images in {' and '.join(empty)}"
            consequence = "its faces will be cut from the video"
            problems.append(Problem(Level.WARNING, "missing-images", entry.name, self.path, None, found, consequence))
        files = next((files for files in by_kind.values() if files), {})
        if recording is None or not files:
            return problems, None
        return problems, sum(1 <= number <= recording.frames for number in files)

    def _leaking_videos(self) -> Iterator[Problem]:
        """Videos whose entries are in different splits."""
        sharing: defaultdict[Path, list[Clip]] = defaultdict(list)
        for clip in self.clips:
            if clip.video is not None and not self.entries[clip.id].presumed_test:
                sharing[clip.video].append(clip)
        for video, clips in sharing.items():
            if len({clip.split for clip in clips}) > 1:
                found = f"its entries are in different splits: {', '.join(f'{c.id} in {c.split}' for c in clips)}"
                consequence = "they share the audio, so results of voice systems come out too high"
                yield Problem(Level.WARNING, "split-leak", video.stem, video, None, found, consequence)

    def _entry(self, clip: Clip) -> Entry:
        if clip.id not in self.entries:
            raise DataError(f"{printable(self.path)}: no entry {clip.id!r}{nearest(clip.id, self.entries)}.")
        return self.entries[clip.id]

    def _frames(self, video: Path) -> int | None:
        try:
            return self.recordings.video(video).frames
        except DataError:
            return None

    def _evidence(self, entry: Entry) -> Evidence:
        folders = [p for found in self.layout.images.values() for p in found.get(entry.name, ())[:1]]
        last = max((number for folder in folders[:1] for number in numbered_images(folder)), default=0)
        return Evidence(len(scan_labels(entry.labels).labels) if entry.labels else None, last)


DATASETS.add(
    "affwild2",
    DataFormat(
        is_affwild2,
        AffWild2,
        "Aff-Wild2 (annotations/EXPR_Set or a later EXPR_... folder, or videos with cropped_aligned)",
    ),
)
