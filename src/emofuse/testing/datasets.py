"""The contract of data sets (`emofuse.datasets.DataFormat` and `DataSet`)."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.core.labels import LabelSet
from emofuse.core.time import Timeline
from emofuse.core.types import Annotation, Clip
from emofuse.datasets import DataFormat, DataSet
from emofuse.datasets.problems import Problem
from emofuse.datasets.statistics import SPLITS, ClipStatistics
from emofuse.errors import DataError

UNKNOWN_SPLIT = "no such split"


def check_dataset(data_format: DataFormat, path: str | Path, **options: Any) -> None:
    """Hold a format of data sets to its contract, with a small data set of the format.

    The format recognises the data set and not an empty folder, and opening it twice gives the same clips. Clip ids are
    unique, and an unknown split is a DataError. Each clip has a timeline in order of time, labels of the label set, and
    faces and votes that fit them, or None. The survey reports each clip once, with the number of its labels.

    Args:
        path: a data set in which all clips are readable, and at least one is labelled.
        options: for opening it, such as edition="2022".
    Raises:
        AssertionError: a part of the contract that is not kept, and what was found.
    """
    path = Path(path)
    assert data_format.recognises(path), f"{path} is not recognised; recognises() must accept the data set."
    with tempfile.TemporaryDirectory() as empty:
        assert not data_format.recognises(Path(empty)), "an empty folder is recognised; look for files of the format."
    assert data_format.layout, "layout is empty; describe what identifies the format."
    data = data_format.open(path, **options)
    assert data.name, "name is empty; give the data set a name."
    assert isinstance(data.label_set, LabelSet), f"label_set is {data.label_set!r}; give a LabelSet."
    again = data_format.open(path, **options).clips
    assert again == data.clips, "opening the data set twice gave different clips; sort the listings of folders."
    _check_splits(data)
    labels = {clip.id: _check_clip(data, clip) for clip in data.clips}
    assert any(labels.values()), "no clip has a label; check_dataset needs a data set with at least one labelled clip."
    _check_survey(data, labels)


def _check_splits(data: DataSet) -> None:
    twice = [name for name, count in Counter(clip.id for clip in data.clips).items() if count > 1]
    assert not twice, f"several clips have the id {twice[0]!r}; make the ids unique." if twice else ""
    assert data.clips, "the data set has no clips."
    for split in {clip.split for clip in data.clips}:
        assert split in (*SPLITS, None), f"a clip is in the split {split!r}; use train, validation, test or None."
        members = [clip for clip in data.clips if clip.split == split]
        assert data.split(split) == members, f"split({split!r}) differs from the clips with that split, or their order."
    try:
        data.split(UNKNOWN_SPLIT)
    except DataError:
        return
    raise AssertionError("an unknown split raises no error; raise a DataError that lists the splits.")


def _check_clip(data: DataSet, clip: Clip) -> int:
    """The number of labels of a clip, 0 if it is not annotated."""
    timeline = data.timeline(clip)
    assert len(timeline), f"{clip.id}: the timeline is empty."
    assert (np.diff(timeline.start) >= 0).all(), f"{clip.id}: the timeline is not in order of time."
    _check_faces(data, clip, timeline)
    try:
        annotation = data.annotation(clip)
    except DataError:
        assert clip.split in ("test", None), f"{clip.id}: a clip of {clip.split} has no annotation."
        return 0
    _check_annotation(data, clip, annotation)
    return len(annotation)


def _check_annotation(data: DataSet, clip: Clip, annotation: Annotation) -> None:
    assert annotation.label_set == data.label_set, (
        f"{clip.id}: the annotation has the labels {annotation.label_set.names}; convert them to those of the data set."
    )
    end = int(data.timeline(clip).end.max())
    assert (annotation.timeline.start < end).all(), f"{clip.id}: a label begins after the end of the clip."
    votes = data.votes(clip)
    if votes is not None:
        expected = (len(annotation), len(data.label_set))
        assert votes.shape == expected, f"{clip.id}: votes have the shape {votes.shape}, expected {expected}."
        assert (votes >= 0).all(), f"{clip.id}: a number of votes is negative."


def _check_faces(data: DataSet, clip: Clip, timeline: Timeline) -> None:
    faces = data.faces(clip)
    if faces is None:
        return
    assert data.face_crop is not None, "there are face images, but no face_crop; name the crop that frames them."
    assert faces.timeline == timeline, f"{clip.id}: the faces have another timeline than the clip."
    assert faces.clip == clip.id, f"{clip.id}: the faces are of the clip {faces.clip!r}."
    assert faces.valid.any(), f"{clip.id}: no face is valid; return None for a clip without face images."
    image = np.asarray(faces.values[int(np.flatnonzero(faces.valid)[0])])
    assert image.dtype == np.uint8, f"{clip.id}: face images are {image.dtype}, expected uint8."
    assert image.ndim == 2 or image.shape[2:] == (3,), (
        f"{clip.id}: a face image has the shape {image.shape}, expected [height, width, 3], or [height, width] if grey."
    )


def _check_survey(data: DataSet, labels: dict[str, int]) -> None:
    surveyed: dict[str, ClipStatistics] = {}
    for found in data.survey():
        assert isinstance(found, ClipStatistics | Problem), f"the survey yields {found!r}."
        if isinstance(found, ClipStatistics):
            assert found.clip.id not in surveyed, f"{found.clip.id}: surveyed twice."
            surveyed[found.clip.id] = found
    missing = [name for name in labels if name not in surveyed]
    assert not missing, f"{missing[0]}: readable, but not in the survey." if missing else ""
    for name, found in surveyed.items():
        assert found.labels.shape == (len(data.label_set),), f"{name}: the survey counts {found.labels.shape} classes."
        count = int(found.labels.sum()) + found.unlabelled
        assert labels[name] in (0, count), (
            f"{name}: the survey counts {count} labels, the annotation has {labels[name]}."
        )
