"""FER-2013: 35,887 grey faces of 48x48, labels in Aff-Wild2 order, and FER+ votes where the file has them.

Identical images occur in more than one part of FER-2013; training rows whose image also occurs in another part are
dropped, so that nothing that is judged on is ever trained on. The other parts are never thinned out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2, FERPLUS, LabelSet, to_affwild2
from emofuse.datasets.fer2013.files import PARTS, SIZE, Rows, image_root, is_table, read_images, read_npz, read_table
from emofuse.errors import DataError

__all__ = ["FERPLUS_RULES", "PARTS", "SIZE", "FaceImages", "Fer2013", "find_fer2013", "load_fer2013"]

_FILES = ("fer2013.npz", "fer2013.csv", "icml_face_data.csv")


@dataclass(frozen=True)
class FaceImages:
    """Faces with two opinions on their emotion.

    faces: uint8 [n, 48, 48]; labels: int64 [n], AFFWILD2 index (the original FER-2013 labels);
    votes: float32 [n, 7], FER+ votes for AFFWILD2 names (a row of zeros where FER+ has none).
    others: float32 [n, 3], FER+ votes for what is no such name: contempt, unknown, not a face.
    """

    faces: NDArray[np.uint8]
    labels: NDArray[np.int64]
    votes: NDArray[np.float32]
    others: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def clear(self) -> NDArray[np.bool_]:
        """Where at least half of the FER+ votes are for one of the seven names, or there are none, bool [n]."""
        return np.asarray(self.votes.sum(axis=1) >= self.others.sum(axis=1), np.bool_)

    @property
    def plurality(self) -> NDArray[np.int64]:
        """The name that has more FER+ votes than any other and than all that is no such name, int64 [n]; else -1."""
        ordered = np.sort(self.votes, axis=1)
        decided = (ordered[:, -1] > ordered[:, -2]) & (ordered[:, -1] > self.others.sum(axis=1))
        return np.where(decided, self.votes.argmax(axis=1), -1)

    @property
    def majority(self) -> NDArray[np.int64]:
        """The name that has more than half of the FER+ votes, int64 [n]; else -1.

        FER+'s authors drop single votes first: `faces.without_single_votes().majority`.
        """
        most, votes = self.votes.max(axis=1), self.votes.sum(axis=1) + self.others.sum(axis=1)
        return np.where(2 * most > votes, self.votes.argmax(axis=1), -1)

    def without_single_votes(self) -> FaceImages:
        """The same faces, where what only one annotator saw in a face was seen by none.

        Source: Barsoum et al. 2016, and their code (microsoft/FERPlus, src/ferplus.py).
        """
        votes, others = (np.where(counts > 1, counts, 0) for counts in (self.votes, self.others))
        return replace(self, votes=votes, others=others)

    def some(self, rows: NDArray[Any]) -> FaceImages:
        """Some of them."""
        return FaceImages(self.faces[rows], self.labels[rows], self.votes[rows], self.others[rows])

    def targets(self, *, votes_share: float) -> NDArray[np.float32]:
        """Soft targets float32 [n, 7]: (1 - share) one-hot original label + share FER+ vote shares.

        A row without FER+ votes keeps its original label alone.
        """
        hard = np.eye(len(AFFWILD2), dtype=np.float32)[self.labels]
        total = self.votes.sum(axis=1, keepdims=True)
        soft = np.where(total > 0, self.votes / np.maximum(total, 1), hard)
        return ((1 - votes_share) * hard + votes_share * soft).astype(np.float32)


# When FER+'s votes decide; the last rule is that of FER+'s authors.
FERPLUS_RULES: Mapping[str, Callable[[FaceImages], NDArray[np.int64]]] = MappingProxyType(
    {
        "plurality": lambda faces: faces.plurality,
        "majority": lambda faces: faces.majority,
        "majority, single votes dropped": lambda faces: faces.without_single_votes().majority,
    }
)


class Fer2013:
    """FER-2013 from one of the forms that it comes in: faces without clips or time, in three parts.

    Args:
        path: fer2013.npz, Kaggle's fer2013.csv or icml_face_data.csv, Kaggle's folders of images, or a folder that
            holds one of these files.
    Raises:
        DataError: the file or a row of it is not as it should be.
    """

    name: ClassVar[str] = "fer2013"
    label_set: ClassVar[LabelSet] = AFFWILD2
    terms: ClassVar[str] = "FER-2013 is for research use"

    def __init__(self, path: str | Path) -> None:
        self.root = find_fer2013(path) or Path(path)
        self._rows: Rows = _reader(self.root)(self.root)

    def images(self, part: str) -> FaceImages:
        """The faces of "train", "public-test" or "private-test".

        Raises:
            DataError: there is no such part, or it is empty.
        """
        if part not in PARTS:
            raise DataError(f"FER-2013: no part {part!r}; there are {', '.join(PARTS)}.")
        rows = self._rows
        wanted = rows.parts == PARTS.index(part)
        if not wanted.any():
            count = Counter(PARTS[p] for p in rows.parts.tolist())
            there = ", ".join(f"{name} ({count[name]})" for name in PARTS if count[name])
            raise DataError(
                f"{printable(self.root)}: no faces of the part {part}, found {there}; get all of FER-2013 (in folders, "
                "public-test is validation/, or what begins with PublicTest in test/)."
            )
        if part == "train":
            wanted &= ~np.isin(self._groups, self._groups[rows.parts != PARTS.index("train")])
        votes, others = _seven(np.zeros((len(rows.parts), len(FERPLUS)), np.int8) if rows.votes is None else rows.votes)
        return FaceImages(rows.images, rows.labels, votes, others).some(wanted)

    @cached_property
    def _groups(self) -> NDArray[np.int64]:
        """Equal numbers for identical images."""
        if self._rows.groups is not None:
            return self._rows.groups
        numbers: dict[bytes, int] = {}
        return np.array([numbers.setdefault(blake2b(i).digest(), len(numbers)) for i in self._rows.images], np.int64)


def load_fer2013(path: str | Path, part: str) -> FaceImages:
    """One part ("train", "public-test", "private-test") of FER-2013 in any of its forms.

    Raises:
        DataError: the file is missing or not as it should be, or has no such part.
    """
    return Fer2013(path).images(part)


def find_fer2013(path: str | Path) -> Path | None:
    """What holds FER-2013 at a path: a file, or a folder of images; None where there is nothing of it.

    Tables are known by their header, folders by `train/<emotion>`; a folder may also hold a file of the usual name.
    """
    path = Path(path)
    if path.is_dir():
        files = [path / name for name in _FILES if (path / name).is_file()]
        return image_root(path) or next(iter(files), None)
    return path if path.suffix.lower() == ".npz" or is_table(path) else None


def _reader(path: Path) -> Callable[[Path], Rows]:
    if path.is_dir():
        return read_images
    return read_table if path.suffix.lower() == ".csv" else read_npz


def _seven(votes: NDArray[np.int8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """FER+ votes for the seven names, and for each that is none of them."""
    table, counts = to_affwild2(FERPLUS), np.maximum(votes, 0).astype(np.float32)
    seven = np.zeros((len(votes), len(AFFWILD2)), np.float32)
    for column, target in enumerate(table):
        if target >= 0:
            seven[:, target] += counts[:, column]
    return seven, counts[:, table < 0]
