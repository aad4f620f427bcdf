"""Checks of an Aff-Wild2 entry: its labels and images against the number of frames of its video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from emofuse.core.labels import UNLABELLED
from emofuse.datasets.affwild2.label_files import LEFT_OUT, LabelFile
from emofuse.datasets.problems import Level, Problem
from emofuse.media.images import image_size


def check_labels(file: LabelFile, frames: int | None) -> Iterator[Problem]:
    """The problems of a label file for a video with a number of frames, None if the video cannot be read."""
    yield from file.problems
    entry, count = file.path.stem, len(file.labels)
    mismatch = f"{count} labels, but the video has {frames} frames"
    if frames is not None:
        # An empty line may be a missing label, or a line that should not be there.
        surplus = min((n - frames for n in (count, count - file.blank)), key=abs)
        if abs(surplus) > 1:
            consequence = "labels cannot be assigned to frames; the entry is left out"
            yield Problem(Level.ERROR, "count-mismatch", entry, file.path, None, mismatch, consequence)
        elif surplus and not file.problems:
            consequence = "the last label is dropped" if surplus > 0 else "the last frame is not labelled"
            yield Problem(Level.WARNING, "off-by-one", entry, file.path, None, mismatch, consequence)
    rows = np.flatnonzero((file.labels == UNLABELLED)[:frames] & ~file.wrong[:frames])
    if len(rows) and len(rows) == len(file.labels[:frames]):
        found, consequence = f"all {len(rows)} labels are -1", "the entry has no use in training or evaluation"
        yield Problem(Level.WARNING, "no-labels", entry, file.path, None, found, consequence)
    elif len(rows):
        first = file.first_line + int(rows[0])
        found = f"{len(rows)} of {count} labels are -1, the first in line {first}"
        consequence = "these frames are ignored in training and evaluation"
        yield Problem(Level.NOTE, "unlabelled", entry, file.path, first, found, consequence)


def check_images(entry: str, folder: Path, files: Mapping[int, str], frames: int) -> Iterator[Problem]:
    """The problems of the numbers of an entry's images for a video with a number of frames."""
    if 0 in files:
        found = f"an image {files[0]}, but the first frame has number 1"
        consequence = "images may be a frame late; " + LEFT_OUT
        yield Problem(Level.ERROR, "count-mismatch", entry, folder, None, found, consequence)
    last = max(files)
    if last > frames:
        found = f"images up to number {last}, but the video has {frames} frames"
        if last > frames + 1:
            consequence = "images cannot be assigned to frames; the entry is left out"
            yield Problem(Level.ERROR, "count-mismatch", entry, folder, None, found, consequence)
        else:
            yield Problem(Level.WARNING, "off-by-one", entry, folder, None, found, "the last image is dropped")
    gaps = np.setdiff1d(np.arange(1, frames + 1), np.fromiter(files, np.int64, len(files)))
    if len(gaps):
        breaks = np.flatnonzero(np.diff(gaps) != 1)
        end = int(gaps[breaks[0]]) if len(breaks) else int(gaps[-1])
        run = f"{gaps[0]} to {end}" if end > gaps[0] else f"{gaps[0]}"
        found = f"{len(gaps)} of {frames} frames have no image, the first are {run}"
        consequence = "no face was found there; scores are carried over from the frames before"
        yield Problem(Level.NOTE, "no-face", entry, folder, None, found, consequence)


def check_image_files(entry: str, folder: Path, files: Mapping[int, str]) -> Iterator[Problem]:
    """One problem for the images of an entry that cannot be decoded, and one for those of another size.

    Every image is decoded, in threads: about 0.3 ms of a core for 112 x 112 pixels.
    """
    names = [files[number] for number in sorted(files)]
    with ThreadPoolExecutor() as pool:
        sizes = list(pool.map(image_size, [folder / name for name in names]))
    usual = Counter(size for size in sizes if size).most_common(1)
    broken = [name for name, size in zip(names, sizes, strict=True) if size is None]
    others = [name for name, size in zip(names, sizes, strict=True) if size and size != usual[0][0]]
    for found, bad, remedy in (
        ("cannot be decoded", broken, "copy them again, or delete them: then no face was found there"),
        ("have another size", others, "crop all faces of an entry to one size"),
    ):
        if bad:
            listed = ", ".join(bad[:3]) + (", ..." if len(bad) > 3 else "")
            text = f"{len(bad)} of {len(names)} images {found}: {listed}"
            consequence = f"a training stops there; {remedy}"
            yield Problem(Level.ERROR, "damaged-image", entry, folder, None, text, consequence)
