"""What may be wrong with an Aff-Wild2 folder: checks of label files, images and videos against each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emofuse.core.labels import UNLABELLED
from emofuse.core.time import Ints, seconds
from emofuse.core.types import Clip
from emofuse.datasets.affwild2.entries import Entry
from emofuse.datasets.affwild2.label_files import LEFT_OUT, LabelFile, rename, scan_labels
from emofuse.datasets.affwild2.layout import Layout, numbered
from emofuse.datasets.checks import absent_classes, check_recording
from emofuse.datasets.problems import Level, Problem
from emofuse.datasets.recordings import Recording, without_path
from emofuse.datasets.splits import ClipStatistics
from emofuse.errors import DataError

if TYPE_CHECKING:
    from emofuse.datasets.affwild2.dataset import AffWild2


def survey(data: AffWild2) -> Iterator[Problem | ClipStatistics]:
    """Every problem, and the figures of each clip that can be read; each file is read once."""
    yield from data.entries.problems
    if not data.layout.images:
        found, means = "no folder cropped_aligned or cropped", "faces will be cut from the videos"
        yield Problem(Level.WARNING, "no-images", data.name, data.root, None, found, means)
    seen: set[Path] = set()
    counts: defaultdict[str, Ints] = defaultdict(lambda: np.zeros(len(data.label_set), np.int64))
    for clip in data.clips:
        for found_here in _survey_clip(data, clip, first=clip.video not in seen):
            if isinstance(found_here, ClipStatistics):
                counts[clip.split or ""] += found_here.labels
            yield found_here
        if clip.video is not None:
            seen.add(clip.video)
    yield from _shared_videos(data)
    for split, folder in data.layout.folders.items():
        if data.layout.annotations[split]:
            yield from absent_classes(split, folder, counts[split], data.label_set)


def check_labels(file: LabelFile, frames: int | None) -> Iterator[Problem]:
    """What is wrong with a label file for a video of so many frames; None if the video cannot be read."""
    yield from file.problems
    where, path, count = file.path.stem, file.path, len(file.labels)
    if frames is not None:
        # An empty line may be a label that is missing or a line that should not be there.
        apart = min((n - frames for n in (count, count - file.blank)), key=abs)
        if abs(apart) > 1:
            found = f"{count} labels, but the video has {frames} frames"
            means = "it cannot be told which frame a label belongs to; the entry is left out"
            yield Problem(Level.ERROR, "count", where, path, None, found, means)
        elif apart and not file.problems:
            found = f"{count} labels, but the video has {frames} frames"
            means = "the last label is dropped" if apart > 0 else "the last frame is not labelled"
            yield Problem(Level.WARNING, "off-by-one", where, path, None, found, means)
    rows = np.flatnonzero((file.labels == UNLABELLED)[:frames] & ~file.wrong[:frames])
    if len(rows) and len(rows) == len(file.labels[:frames]):
        found, means = f"all {len(rows)} labels are -1", "there is nothing to learn from or to judge"
        yield Problem(Level.WARNING, "empty", where, path, None, found, means)
    elif len(rows):
        first = file.first_line + int(rows[0])
        found = f"{len(rows)} of {count} labels are -1, the first in line {first}"
        means = "these frames are neither learned from nor judged"
        yield Problem(Level.NOTE, "unlabelled", where, path, first, found, means)


def check_images(entry: str, folder: Path, files: Mapping[int, str], frames: int) -> Iterator[Problem]:
    """What is wrong with the numbers of an entry's images for a video of so many frames."""
    if 0 in files:
        found, means = (
            f"an image {files[0]}, but the first frame is number 1",
            "images may be a frame late; " + LEFT_OUT,
        )
        yield Problem(Level.ERROR, "count", entry, folder, None, found, means)
    last = max(files)
    if last > frames:
        found = f"images up to number {last}, but the video has {frames} frames"
        if last > frames + 1:
            means = "it cannot be told which frame an image belongs to; the entry is left out"
            yield Problem(Level.ERROR, "count", entry, folder, None, found, means)
        else:
            yield Problem(Level.WARNING, "off-by-one", entry, folder, None, found, "the last image is dropped")
    gaps = np.setdiff1d(np.arange(1, frames + 1), np.fromiter(files, np.int64, len(files)))
    if len(gaps):
        breaks = np.flatnonzero(np.diff(gaps) != 1)
        end = int(gaps[breaks[0]]) if len(breaks) else int(gaps[-1])
        run = f"{gaps[0]} to {end}" if end > gaps[0] else f"{gaps[0]}"
        found = f"{len(gaps)} of {frames} frames have no image, the first are {run}"
        means = "no face was found there; scores are carried over from the frames before"
        yield Problem(Level.NOTE, "no-face", entry, folder, None, found, means)


def image_folder(layout: Layout, entry: str, kind: str, video: Path | None) -> Path | Problem | None:
    """The folder of an entry's images; of several the one of the video's batch, else a problem."""
    folders = layout.images.get(kind, {}).get(entry, ())
    same_batch = [p for p in folders if video is not None and p.parent.name == video.parent.name]
    if len(folders) <= 1 or len(same_batch) == 1:
        return next(iter(same_batch if len(folders) > 1 else folders), None)
    found = f"{len(folders)} folders hold images of {entry}: {', '.join(str(p) for p in folders)}"
    means = "its images are left out; keep one of the folders"
    return Problem(Level.ERROR, "ambiguous-stem", entry, folders[0], None, found, means)


def _survey_clip(data: AffWild2, clip: Clip, *, first: bool) -> Iterator[Problem | ClipStatistics]:
    entry, choice = data.entries.by_name[clip.id], data.choices[clip.id]
    if choice.problem:
        yield choice.problem
    recording: Recording | None = None
    if clip.video is not None:
        try:
            recording = data.recordings.video(clip.video)
        except DataError as error:
            if first:
                found, means = without_path(str(error), clip.video), "its entries are left out"
                yield Problem(Level.ERROR, "unreadable", clip.video.stem, clip.video, None, found, means)
        else:
            yield from check_recording(clip.video, recording) if first else ()
    labels, wrong = np.empty(0, np.int64), recording is None
    if entry.labels is not None:
        file = scan_labels(entry.labels)
        problems = list(check_labels(file, recording.frames if recording else None))
        yield from problems
        wrong |= any(p.level is Level.ERROR for p in problems)
        if file.label_set:
            labels = rename(file.labels, file.label_set, data.label_set)
    found_in_images, faces = _survey_images(data, entry, clip.video, recording)
    yield from found_in_images
    if recording and not wrong:
        labels = labels[: recording.frames]
        labelled = np.bincount(labels[labels != UNLABELLED], minlength=len(data.label_set))
        unlabelled = int((labels == UNLABELLED).sum())
        yield ClipStatistics(clip, recording.frames, seconds(recording.end), labelled, unlabelled, faces)


def _survey_images(
    data: AffWild2, entry: Entry, video: Path | None, recording: Recording | None
) -> tuple[list[Problem], int | None]:
    """Problems, and how many frames have an image in the first folder that holds any."""
    problems: list[Problem] = []
    listed: dict[str, dict[int, str]] = {}
    for kind in data.layout.images:
        folder = image_folder(data.layout, entry.name, kind, video)
        if isinstance(folder, Problem):
            problems.append(folder)
            continue
        try:
            files = numbered(folder) if folder else {}
        except DataError as error:
            found, means = without_path(str(error), folder or data.root), "its images are left out"
            problems.append(Problem(Level.ERROR, "unreadable", entry.name, folder or data.root, None, found, means))
            continue
        # A second folder with the same images says nothing new.
        if folder and files and recording and all(files.keys() != known.keys() for known in listed.values()):
            problems += check_images(entry.name, folder, files, recording.frames)
        listed[kind] = files
    missing = [kind for kind, files in listed.items() if not files]
    if missing and entry.labels is not None:
        found, means = f"{entry.name} has no images in {' and '.join(missing)}", "its faces will be cut from the video"
        problems.append(Problem(Level.WARNING, "no-images", entry.name, data.root, None, found, means))
    with_images = next((files for files in listed.values() if files), None)
    if recording is None or with_images is None:
        return problems, None
    return problems, sum(1 <= number <= recording.frames for number in with_images)


def _shared_videos(data: AffWild2) -> Iterator[Problem]:
    """Two persons of one video in different parts."""
    sharing: defaultdict[Path, list[Clip]] = defaultdict(list)
    for clip in data.clips:
        if clip.video is not None and not data.entries.by_name[clip.id].presumed:
            sharing[clip.video].append(clip)
    for video, clips in sharing.items():
        if len({clip.split for clip in clips}) > 1:
            found = f"its persons are in different parts: {', '.join(f'{c.id} in {c.split}' for c in clips)}"
            means = "they share one sound, so scores of systems that listen come out too high"
            yield Problem(Level.WARNING, "leak", video.stem, video, None, found, means)
