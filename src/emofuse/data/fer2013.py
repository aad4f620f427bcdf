"""FER-2013 with the FER+ votes: 35,887 grey faces of 48x48, labels in Aff-Wild2 order.

Identical images occur in more than one part of FER-2013; training rows whose duplicate group
also occurs in a test part are dropped, so that no test image is ever trained on.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import AFFWILD2, FERPLUS, to_affwild2
from emofuse.errors import DataError

PARTS = ("train", "public-test", "private-test")
SIZE = 48


@dataclass(frozen=True)
class FaceImages:
    """Faces with two opinions on their emotion.

    faces: uint8 [n, 48, 48]; labels: int64 [n], AFFWILD2 index (the original FER-2013 labels);
    votes: float32 [n, 7], FER+ votes for AFFWILD2 names (a row of zeros where FER+ has none).
    """

    faces: NDArray[np.uint8]
    labels: NDArray[np.int64]
    votes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    def targets(self, *, votes_share: float) -> NDArray[np.float32]:
        """Soft targets float32 [n, 7]: (1 - share) one-hot original label + share FER+ vote shares.

        A row without FER+ votes keeps its original label alone.
        """
        hard = np.eye(len(AFFWILD2), dtype=np.float32)[self.labels]
        total = self.votes.sum(axis=1, keepdims=True)
        soft = np.where(total > 0, self.votes / np.maximum(total, 1), hard)
        return ((1 - votes_share) * hard + votes_share * soft).astype(np.float32)


def load_fer2013(path: str | Path, part: str) -> FaceImages:
    """One part ("train", "public-test", "private-test") of the FER-2013 npz file.

    Raises:
        DataError: the file is missing, lacks an array, or has no such part.
    """
    if part not in PARTS:
        raise DataError(f"FER-2013: no part {part!r}; there are {', '.join(PARTS)}.")
    try:
        # Opened here, since np.load leaves a damaged file open.
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            images, emotion, usage, votes, group = (
                file[k] for k in ("images", "emotion", "usage", "ferplus_votes", "duplicate_group")
            )
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; give the path of fer2013.npz.") from None
    except (KeyError, ValueError, TypeError, OSError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a FER-2013 npz file ({error}).") from None
    wanted = usage == PARTS.index(part)
    if part == "train":
        wanted &= ~np.isin(group, group[usage != PARTS.index("train")])
    return FaceImages(images[wanted], emotion[wanted].astype(np.int64), _seven(votes[wanted]))


def _seven(votes: NDArray[np.int8]) -> NDArray[np.float32]:
    table = to_affwild2(FERPLUS)
    seven = np.zeros((len(votes), len(AFFWILD2)), np.float32)
    for column, target in enumerate(table):
        if target >= 0:
            seven[:, target] += np.maximum(votes[:, column], 0)
    return seven
