"""Examples for a network on faces: the labelled faces of the clips of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.types import Track
from emofuse.errors import DataError
from emofuse.training import loop as fit
from emofuse.training.face_cache import FaceSource


def face_examples(
    source: FaceSource, split: str, *, votes_weight: float = 0.0, report: Callable[[str], None] = lambda _: None
) -> fit.Examples:
    """The labelled faces of a split, which are read as they are needed.

    Args:
        votes_weight: weight of the annotators' votes in the targets; faces without votes keep their label alone.
    Raises:
        DataError: there is no such split, or it has no labelled face.
    """
    data, clips = source.data, source.data.split(split)
    tracks, places, labels, votes = list[Track](), list[tuple[int, int]](), list[int](), list[NDArray[np.float32]]()
    for clip in clips:
        faces = source(clip)
        truth = data.annotation(clip).onto(faces.timeline).labels
        rows = np.flatnonzero(faces.valid & (truth >= 0))
        places += [(len(tracks), int(r)) for r in rows]
        labels += truth[rows].tolist()
        tracks.append(faces)
        if votes_weight:
            given = data.votes(clip)
            votes.append(np.zeros((len(rows), len(data.label_set)), np.float32) if given is None else given[rows])
    if not labels:
        raise DataError(f"{data.path}: none of {len(clips)} clips has a face with a label; run emofuse data check.")
    report(f"{split}: {len(labels)} faces of {len(clips)} clips")
    without = len(clips) - len({track for track, _ in places})
    if without:
        report(f"{split}: {without} of {len(clips)} clips have no face with a label and are left out")
    targets = np.eye(len(data.label_set), dtype=np.float32)[labels]
    if votes_weight:
        counts = np.concatenate(votes)
        total = counts.sum(axis=1, keepdims=True)
        soft = np.where(total > 0, counts / np.maximum(total, 1), targets)
        targets = ((1 - votes_weight) * targets + votes_weight * soft).astype(np.float32)
    return fit.Examples(_FaceRows(tracks, np.array(places)), targets)


@dataclass(frozen=True, eq=False)
class _FaceRows:
    """Faces of many clips as rows, read on access."""

    tracks: Sequence[Track]
    places: NDArray[np.int64]  # [n, 2]: track and row in it

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        return np.stack([self.tracks[t].values[int(r)] for t, r in self.places[rows]])
