"""FER-2013: 35,887 grey faces of 48x48 pixels, labels in Aff-Wild2 order, and FER+ votes if the file has them.

Some images occur several times, in several splits. Training rows whose image also occurs in another split are dropped,
so that no image used in evaluation is trained on; the other splits are complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2, FERPLUS, to_affwild2
from emofuse.core.registry import nearest
from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Annotation, Clip, Track
from emofuse.datasets.dataset import DATASETS, DataFormat, DataSet
from emofuse.datasets.fer2013.files import (
    SIZE,
    USAGES,
    FerRows,
    image_root,
    is_table,
    read_images,
    read_npz,
    read_table,
)
from emofuse.datasets.problems import Problem
from emofuse.datasets.statistics import SPLITS, ClipStatistics, absent_classes
from emofuse.errors import DataError
from emofuse.faces.crop import fer_crop

__all__ = ["FERPLUS_RULES", "SIZE", "USAGES", "FaceImages", "Fer2013", "find_fer2013"]

_FILES = ("fer2013.npz", "fer2013.csv", "icml_face_data.csv")
_ONE_INTERVAL = Timeline.steps(1, end=ticks(1))  # of a still image, which has no time of its own


@dataclass(frozen=True)
class FaceImages:
    """Faces with two sets of labels.

    faces: uint8 [n, 48, 48]; labels: int64 [n], AFFWILD2 index (the original FER-2013 labels);
    votes: float32 [n, 7], FER+ votes for AFFWILD2 names (zeros where FER+ has none);
    other_votes: float32 [n, 3], FER+ votes for contempt, unknown and not a face.
    """

    faces: NDArray[np.uint8]
    labels: NDArray[np.int64]
    votes: NDArray[np.float32]
    other_votes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> FaceImages:
        """The faces of some rows, selected by a slice or an index array."""
        return FaceImages(self.faces[rows], self.labels[rows], self.votes[rows], self.other_votes[rows])

    @property
    def is_clear(self) -> NDArray[np.bool_]:
        """bool [n], whether at least half of the FER+ votes are for one of the seven names, or there are none."""
        return np.asarray(self.votes.sum(axis=1) >= self.other_votes.sum(axis=1), np.bool_)

    @property
    def plurality(self) -> NDArray[np.int64]:
        """int64 [n], the name with more FER+ votes than any other and than contempt, unknown and no face; else -1."""
        ordered = np.sort(self.votes, axis=1)
        decided = (ordered[:, -1] > ordered[:, -2]) & (ordered[:, -1] > self.other_votes.sum(axis=1))
        return np.where(decided, self.votes.argmax(axis=1), -1)

    @property
    def majority(self) -> NDArray[np.int64]:
        """int64 [n], the name with more than half of the FER+ votes; else -1.

        FER+'s authors drop single votes first: `faces.without_single_votes().majority`.
        """
        most, votes = self.votes.max(axis=1), self.votes.sum(axis=1) + self.other_votes.sum(axis=1)
        return np.where(2 * most > votes, self.votes.argmax(axis=1), -1)

    def without_single_votes(self) -> FaceImages:
        """The same faces without the votes that only one annotator gave.

        Source: Barsoum et al. 2016, and their code (microsoft/FERPlus, src/ferplus.py).
        """
        votes, other_votes = (np.where(counts > 1, counts, 0) for counts in (self.votes, self.other_votes))
        return replace(self, votes=votes, other_votes=other_votes)

    def targets(self, *, votes_weight: float) -> NDArray[np.float32]:
        """Soft targets float32 [n, 7]: (1 - weight) one-hot original label + weight * normalised FER+ votes.

        A row without FER+ votes keeps its original label alone.
        """
        hard = np.eye(len(AFFWILD2), dtype=np.float32)[self.labels]
        total = self.votes.sum(axis=1, keepdims=True)
        soft = np.where(total > 0, self.votes / np.maximum(total, 1), hard)
        return ((1 - votes_weight) * hard + votes_weight * soft).astype(np.float32)


# How FER+'s votes become a label; the last rule is that of FER+'s authors.
FERPLUS_RULES: Mapping[str, Callable[[FaceImages], NDArray[np.int64]]] = MappingProxyType(
    {
        "plurality": lambda faces: faces.plurality,
        "majority": lambda faces: faces.majority,
        "majority, single votes dropped": lambda faces: faces.without_single_votes().majority,
    }
)


class Fer2013(DataSet):
    """FER-2013 in one of the forms in which it is distributed. Each of its clips is a single image.

    The validation split is FER-2013's public test set, the test split its private test set. The file is read on first
    use.

    Args:
        path: fer2013.npz, Kaggle's fer2013.csv or icml_face_data.csv, Kaggle's folders of images, or a folder that
            holds one of these files.
    """

    name = "fer2013"
    label_set = AFFWILD2
    face_crop = fer_crop(SIZE)
    still_images = True
    terms = "FER-2013 is for research use"

    def __init__(self, path: str | Path) -> None:
        self.path = find_fer2013(path) or Path(path)

    def images(self, usage: str) -> FaceImages:
        """The faces of "train", "public-test" or "private-test".

        Raises:
            DataError: unknown usage, no such faces, or the file is faulty.
        """
        if usage not in USAGES:
            raise DataError(f"FER-2013: unknown usage {usage!r}{nearest(usage, USAGES)}; choose {', '.join(USAGES)}.")
        rows = np.flatnonzero(self._is_kept & (self._rows.usages == USAGES.index(usage)))
        if not len(rows):
            count = Counter(USAGES[u] for u in self._rows.usages.tolist())
            found = ", ".join(f"{name} ({count[name]})" for name in USAGES if count[name])
            raise DataError(
                f"{printable(self.path)}: no faces of {usage}, found {found}; get all of FER-2013 (in folders, "
                "public-test is validation/, or file names that begin with PublicTest in test/)."
            )
        return self._faces[rows]

    def split(self, name: str | None) -> list[Clip]:
        """The images of a split.

        Raises:
            DataError: there is none; the message states where its images are expected.
        """
        if name in SPLITS:
            self.images(USAGES[SPLITS.index(name)])
        return super().split(name)

    @cached_property
    def clips(self) -> tuple[Clip, ...]:  # type: ignore[override]
        """One clip per image, named after its usage and row."""
        return tuple(
            Clip(f"{USAGES[usage]}-{row:05d}", split=SPLITS[usage])
            for usage in range(len(USAGES))
            for row in np.flatnonzero(self._is_kept & (self._rows.usages == usage)).tolist()
        )

    def timeline(self, clip: Clip) -> Timeline:
        """A single interval, since an image has no time."""
        return _ONE_INTERVAL

    def annotation(self, clip: Clip) -> Annotation:
        """The original label of an image."""
        return Annotation(self._face(clip).labels, _ONE_INTERVAL, self.label_set)

    def faces(self, clip: Clip) -> Track:
        """An image, uint8 [1, 48, 48]."""
        return Track(self._face(clip).faces, _ONE_INTERVAL, np.ones(1, np.bool_), clip.id)

    def votes(self, clip: Clip) -> NDArray[np.float32] | None:
        """The FER+ votes for the seven names, float32 [1, 7]; None if the file has no votes."""
        return None if self._rows.votes is None else self._face(clip).votes

    def survey(self) -> Iterator[Problem | ClipStatistics]:
        """The statistics of each image, and classes without an image; a faulty file raises an error instead."""
        one_hot = np.eye(len(self.label_set), dtype=np.int64)
        counts = {split: np.zeros(len(self.label_set), np.int64) for split in SPLITS}
        for clip in self.clips:
            labels = one_hot[self._face(clip).labels[0]]
            counts[clip.split or ""] += labels
            yield ClipStatistics(clip, 1, 0.0, labels, 0, faces=1)
        for split, count in counts.items():
            if count.any():
                yield from absent_classes(split, self.path, count, self.label_set)

    @cached_property
    def _rows(self) -> FerRows:
        if self.path.is_dir():
            return read_images(self.path)
        return read_table(self.path) if self.path.suffix.lower() == ".csv" else read_npz(self.path)

    @cached_property
    def _faces(self) -> FaceImages:
        votes = self._rows.votes
        if votes is None:
            votes = np.zeros((len(self._rows.labels), len(FERPLUS)), np.int8)
        counts = np.maximum(votes, 0).astype(np.float32)
        classes = to_affwild2(FERPLUS)
        seven = np.zeros((len(counts), len(AFFWILD2)), np.float32)
        seven[:, classes[classes >= 0]] = counts[:, classes >= 0]
        return FaceImages(self._rows.images, self._rows.labels, seven, counts[:, classes < 0])

    @cached_property
    def _is_kept(self) -> NDArray[np.bool_]:
        """bool [rows], false for training rows whose image occurs in another split."""
        groups = self._rows.groups
        if groups is None:
            numbers: dict[bytes, int] = {}
            digests = (blake2b(image).digest() for image in self._rows.images)
            groups = np.array([numbers.setdefault(digest, len(numbers)) for digest in digests], np.int64)
        is_train = self._rows.usages == USAGES.index("train")
        return np.asarray(~is_train | ~np.isin(groups, groups[~is_train]), np.bool_)

    def _face(self, clip: Clip) -> FaceImages:
        row = int(clip.id.rpartition("-")[2])
        return self._faces[row : row + 1]


def find_fer2013(path: str | Path) -> Path | None:
    """The file or the folder of images that holds FER-2013 at a path, None if there is none.

    Tables are recognised by their header, folders by `train/<emotion>` or a file with one of the usual names in them.
    """
    path = Path(path)
    if path.is_dir():
        files = [path / name for name in _FILES if (path / name).is_file()]
        return image_root(path) or next(iter(files), None)
    return path if path.suffix.lower() == ".npz" or is_table(path) else None


DATASETS.add(
    "fer2013",
    DataFormat(
        lambda path: find_fer2013(path) is not None,
        Fer2013,
        "FER-2013 (fer2013.npz, fer2013.csv or folders train/<emotion>)",
    ),
)
