"""The rows of one person of a result as arrays, with valence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import AFFWILD2
from emofuse.datasets.tables import label_index, label_indices
from emofuse.export import ResultTable

if TYPE_CHECKING:
    import pandas as pd

Doubles = NDArray[np.float64]
VALENCE = "valence"
_POSITIVE, _NEGATIVE = "happiness", ("anger", "disgust", "fear", "sadness")


@dataclass(frozen=True, eq=False)
class PersonRows:
    """The rows of one person, in the order of time.

    file: name of the video. shown: the same, or with a number if several results have this name. person, name: None
        if unknown.
    measures: the emotions, and valence where it is defined.
    start, end: float64 [n], seconds. values: float64 [n, measures], NaN where there are no scores.
    table: the rows as they were read.
    """

    file: str
    shown: str
    person: int | None
    name: str | None
    labels: tuple[str, ...]
    measures: tuple[str, ...]
    start: Doubles
    end: Doubles
    values: Doubles
    table: pd.DataFrame

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Where there are scores, bool [n]."""
        return ~np.isnan(self.values[:, 0])


def person_rows(results: Sequence[ResultTable]) -> Iterator[PersonRows]:
    """The persons of results, one after another."""
    for name, result in zip(distinct_names(results), results, strict=True):
        for block in result.blocks:
            yield _rows(result, name, block)


def distinct_names(results: Sequence[ResultTable]) -> list[str]:
    """The names of the files; those of different folders that have one name are numbered.

    >>> distinct_names([ResultTable(name, (), {}, []) for name in ("a.mp4", "b.mp4", "a.mp4")])
    ['a.mp4 (1)', 'b.mp4', 'a.mp4 (2)']
    """
    total, numbers = Counter(r.file for r in results), {r.file: count(1) for r in results}
    return [f"{r.file} ({next(numbers[r.file])})" if total[r.file] > 1 else r.file for r in results]


def _rows(result: ResultTable, shown: str, block: pd.DataFrame) -> PersonRows:
    labels = result.labels
    start, end = (block[column].to_numpy(np.float64) for column in ("start", "end"))
    values, measures = block[list(labels)].to_numpy(np.float64), labels
    of_valence = valence(values, labels)
    if of_valence is not None:
        values, measures = np.column_stack([values, of_valence]), (*labels, VALENCE)
    number = next((int(n) for n in block["person"].head(1).dropna()), None)
    name = block["name"].iloc[0] if len(block) and "name" in block else None
    named = name if isinstance(name, str) else None
    return PersonRows(result.file, shown, number, named, labels, measures, start, end, values, block)


def valence(probabilities: Doubles, labels: Sequence[str]) -> Doubles | None:
    """Happiness minus the strongest of anger, disgust, fear and sadness, float64 [n], -1 to 1.

    Args:
        probabilities: float64 [n, classes].
        labels: names of the classes, in any spelling that is known.
    Returns:
        None if the classes lack happiness or all negative emotions.
    Source: Noldus, FaceReader methodology.

    >>> valence(np.array([[0.5, 0.25, 0.125]]), ["happy", "sadness", "anger"])
    array([0.25])
    """
    classes = valence_classes(labels)
    if classes is None:
        return None
    positive, negative = classes
    return np.asarray(probabilities[:, positive] - probabilities[:, negative].max(axis=1))


def valence_classes(labels: Sequence[str]) -> tuple[int, list[int]] | None:
    """The index of happiness, and those of the negative emotions; None if valence is not defined.

    >>> valence_classes(["happy", "sadness", "anger"])
    (0, [2, 1])
    """
    names, known = AFFWILD2.names, label_indices(AFFWILD2)
    indices = [label_index(label, known) for label in labels]
    found = {names[i]: n for n, i in enumerate(indices) if i is not None and i >= 0}
    negative = [found[name] for name in _NEGATIVE if name in found]
    return (found[_POSITIVE], negative) if _POSITIVE in found and negative else None
