"""What a net on faces learns from: the faces of clips, or the single faces of FER-2013.

Each says how its faces are cut, since the crop travels with the net.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emofuse.core.types import Track
from emofuse.datasets import Fer2013
from emofuse.datasets.fer2013.dataset import SIZE
from emofuse.errors import DataError
from emofuse.faces.crop import Crop, fer_crop
from emofuse.training import loop as fit
from emofuse.training.face_cache import FaceSource


class Material(Protocol):
    """Faces with labels in parts.

    crop: how a face is cut to look like these. grey: whether they have no colour.
    """

    @property
    def crop(self) -> Crop: ...

    @property
    def grey(self) -> bool: ...

    def examples(self, split: str, say: Callable[[str], None]) -> fit.Examples:
        """The examples of "train" or "validation".

        Raises:
            DataError: there is no such part, or it has no labelled face.
        """
        ...


@dataclass(frozen=True)
class FacesOfClips:
    """The faces of a data set of clips, and the label at each."""

    source: FaceSource
    grey = False

    @property
    def crop(self) -> Crop:
        """That of the source."""
        return self.source.crop

    def examples(self, split: str, say: Callable[[str], None]) -> fit.Examples:
        """Faces are read as they are needed."""
        data, clips = self.source.data, self.source.data.split(split)
        tracks, places, labels = list[Track](), list[tuple[int, int]](), list[int]()
        for clip in clips:
            faces = self.source(clip)
            truth = data.annotation(clip).onto(faces.timeline).labels
            rows = np.flatnonzero(faces.valid & (truth >= 0))
            places += [(len(tracks), int(r)) for r in rows]
            labels += truth[rows].tolist()
            tracks.append(faces)
        if not labels:
            raise DataError(f"{data.path}: none of {len(clips)} clips has a face with a label; run emofuse data check.")
        say(f"{split}: {len(labels)} faces of {len(clips)} clips")
        without = len(clips) - len({track for track, _ in places})
        if without:
            say(f"{split}: {without} of {len(clips)} clips have no face with a label and are left out")
        targets = np.eye(len(data.label_set), dtype=np.float32)[labels]
        return fit.Examples(_Rows(tracks, np.array(places)), targets)


@dataclass(frozen=True)
class FacesOfFer2013:
    """The faces of FER-2013: the public test part is the one that is chosen on, the private one is not looked at.

    votes_weight: the part of FER+ votes in the targets of the training part.
    """

    data: Fer2013
    votes_weight: float = 0.0
    crop: Crop = fer_crop(SIZE)  # noqa: RUF009 (frozen)
    grey = True

    def examples(self, split: str, say: Callable[[str], None]) -> fit.Examples:
        """Faces uint8 [n, 48, 48]."""
        learned = split == "train"
        part = self.data.images("train" if learned else "public-test")
        say(f"{split}: {len(part)} faces of FER-2013")
        return fit.Examples(part.faces, part.targets(votes_weight=self.votes_weight if learned else 0.0))


@dataclass(frozen=True, eq=False)
class _Rows:
    """Faces of many clips as rows, read as they are needed."""

    tracks: Sequence[Track]
    places: NDArray[np.int64]  # [n, 2]: track and row in it

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        return np.stack([self.tracks[t].values[int(r)] for t, r in self.places[rows]])
