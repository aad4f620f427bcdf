"""Checks that all data sets share: of a recording, and of the classes of a part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints
from emofuse.datasets.problems import Level, Problem
from emofuse.datasets.recordings import Recording

NO_SOUND = "systems that listen say nothing there, and fusions rest on the face alone"


def absent_classes(split: str, path: Path, counts: Ints, label_set: LabelSet) -> Iterator[Problem]:
    """One problem that names all classes that never occur in a part."""
    absent = [name for name, count in zip(label_set.names, counts, strict=True) if not count]
    if absent:
        found = f"no label {', '.join(absent)} in all of {split}"
        means = "it can be neither learned nor judged there, and each guess of it lowers the mean F1"
        yield Problem(Level.WARNING, "absent-class", split, path, None, found, means)


def check_recording(path: Path, recording: Recording) -> Iterator[Problem]:
    """What is wrong with a video or sound file that can be read."""
    for warning in recording.warnings:
        means = "its times, or what comes after the damage, may be wrong"
        yield Problem(Level.WARNING, "damaged-video", path.stem, path, None, warning, means)
    if not recording.has_sound:
        yield Problem(Level.WARNING, "no-sound", path.stem, path, None, "the video has no sound", NO_SOUND)
