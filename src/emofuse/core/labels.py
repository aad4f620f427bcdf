"""Label sets: ordered class names, the known sets, and mappings between them by name, never by position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emofuse.errors import LabelError

UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Ordered, distinct class names; -1 stands for "not labelled" in arrays of indices.

    Raises:
        LabelError: a name is empty or occurs twice, or there is none.

    >>> LabelSet(("no", "yes")).index("yes")
    1
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if not self.names or any(not isinstance(n, str) or not n.strip() for n in self.names):
            raise LabelError(f"label set {self.names}: give at least one name, none of them empty.")
        if len(set(self.names)) != len(self.names):
            raise LabelError(f"label set {self.names}: a name occurs twice; make the names distinct.")

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Index of a name.

        Raises:
            LabelError: the name is not in the set.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise LabelError(f"label {name!r} is not one of {', '.join(self.names)}.") from None

    def encode(self, names: Iterable[str | None]) -> NDArray[np.int64]:
        """Names to indices, None to -1.

        >>> LabelSet(("no", "yes")).encode(["yes", None, "no"])
        array([ 1, -1,  0])
        """
        return np.array([UNLABELLED if n is None else self.index(n) for n in names], np.int64)

    def decode(self, indices: ArrayLike) -> list[str | None]:
        """Indices to names, -1 to None.

        Raises:
            LabelError: an index is not -1, not in the set, or not an integer.
        """
        flat = np.asarray(indices).ravel()
        if flat.size and flat.dtype.kind not in "iu":
            raise LabelError(f"label indices have type {flat.dtype}; give integers, -1 for unlabelled.")
        if flat.size and (flat.min() < UNLABELLED or flat.max() >= len(self)):
            raise LabelError(
                f"label indices run from {flat.min()} to {flat.max()}, "
                f"but the set has {len(self)} names; give -1 to {len(self) - 1}."
            )
        return [None if i == UNLABELLED else self.names[i] for i in flat]

    def mapping_to(self, other: LabelSet, names: Mapping[str, str | None]) -> NDArray[np.int64]:
        """Index table [len(self)] into `other`; a name that maps to None becomes -1.

        Every name of this set must be in `names`, so that none is dropped by accident.

        >>> small, big = LabelSet(("sad",)), LabelSet(("sadness", "other"))
        >>> small.mapping_to(big, {"sad": "sadness"})
        array([0])
        """
        missing = [n for n in self.names if n not in names]
        if missing:
            raise LabelError(f"mapping of labels: {', '.join(missing)} missing; map every name, to None to drop it.")
        return other.encode(names[n] for n in self.names)


AFFWILD2 = LabelSet(("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"))
AFFWILD2_8 = LabelSet((*AFFWILD2.names, "other"))
FER2013 = LabelSet(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"))
FERPLUS = LabelSet(
    (
        "neutral",
        "happiness",
        "surprise",
        "sadness",
        "anger",
        "disgust",
        "fear",
        "contempt",
        "unknown",
        "not-a-face",
    )
)
RAVDESS = LabelSet(("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"))

# The names of each known set in AFFWILD2; None where there is no counterpart.
TO_AFFWILD2: Mapping[LabelSet, Mapping[str, str | None]] = MappingProxyType(
    {
        AFFWILD2: {n: n for n in AFFWILD2.names},
        AFFWILD2_8: {**{n: n for n in AFFWILD2.names}, "other": None},
        FER2013: {
            "angry": "anger",
            "disgust": "disgust",
            "fear": "fear",
            "happy": "happiness",
            "sad": "sadness",
            "surprise": "surprise",
            "neutral": "neutral",
        },
        FERPLUS: {
            **{n: n for n in AFFWILD2.names},
            "contempt": None,
            "unknown": None,
            "not-a-face": None,
        },
        RAVDESS: {
            "neutral": "neutral",
            "calm": "neutral",
            "happy": "happiness",
            "sad": "sadness",
            "angry": "anger",
            "fearful": "fear",
            "disgust": "disgust",
            "surprised": "surprise",
        },
    }
)

# Further spellings of AFFWILD2's classes in data sets (CREMA-D, IEMOCAP, TESS) and tools (FaceReader); None where
# there is no counterpart. Spaces, hyphens and underscores between words are equal.
SYNONYMS: Mapping[str, str | None] = MappingProxyType(
    {
        **dict.fromkeys(("neu", "neutrality"), "neutral"),
        **dict.fromkeys(("ang", "mad"), "anger"),
        **dict.fromkeys(("dis", "disgusted"), "disgust"),
        **dict.fromkeys(("fea", "scared", "afraid", "frightened"), "fear"),
        **dict.fromkeys(("hap", "joy", "joyful"), "happiness"),
        **dict.fromkeys(("sorrow",), "sadness"),
        **dict.fromkeys(("sur", "ps", "pleasant surprise", "pleasant surprised"), "surprise"),
        **dict.fromkeys(("boredom", "bored", "exc", "excited", "excitement", "fru", "frustrated", "frustration")),
        **dict.fromkeys(("con", "contemptuous", "oth", "xxx")),
    }
)


def to_affwild2(source: LabelSet) -> NDArray[np.int64]:
    """Index table [len(source)] from a known label set into `AFFWILD2`.

    >>> to_affwild2(FER2013)
    array([1, 2, 3, 4, 5, 6, 0])
    """
    if source not in TO_AFFWILD2:
        raise LabelError(f"labels {source.names}: there is no mapping to {AFFWILD2.names}; create one with mapping_to.")
    return source.mapping_to(AFFWILD2, TO_AFFWILD2[source])
