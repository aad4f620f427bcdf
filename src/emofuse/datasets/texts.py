"""Sentences with their emotions, as GoEmotions has them: a folder with train.csv and validation.csv.

Each table has the columns `text` and `labels`; several labels of a sentence are joined by "+".
Source: Demszky et al. 2020, GoEmotions: A Dataset of Fine-Grained Emotions (its Ekman grouping).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2
from emofuse.core.types import Bools
from emofuse.datasets.records import column_name, read_records
from emofuse.errors import DataError

_REMEDY = "give a folder with train.csv and validation.csv, of the columns text and labels"


@dataclass(frozen=True, eq=False)
class Texts:
    """Sentences, and which classes of `AFFWILD2` each of them has, bool [n, 7]."""

    texts: list[str]
    labels: Bools


def read_texts(folder: Path, split: str) -> Texts:
    """The sentences of "train" or "validation".

    Raises:
        DataError: the table cannot be read, is empty, or has another label.
    """
    path = folder / f"{split}.csv"
    records = list(read_records(path, remedy=_REMEDY))
    header = [column_name(cell) for cell in records[0][1]] if records else []
    if header[:2] != ["text", "labels"]:
        found = ", ".join(header) or "nothing"
        raise DataError(f"{printable(path)}: its columns are not text and labels but {found}; {_REMEDY}.")
    texts, labels = list[str](), np.zeros((len(records) - 1, len(AFFWILD2)), bool)
    for row, (line, cells) in zip(labels, records[1:], strict=True):
        names = cells[1].split("+") if len(cells) == 2 else []
        if not names or not set(names) <= set(AFFWILD2.names):
            known = ", ".join(AFFWILD2.names)
            raise DataError(f"{printable(path)}: line {line}: needs a text and labels of {known}, joined by '+'.")
        texts.append(cells[0])
        row[[AFFWILD2.index(name) for name in names]] = True
    if not texts:
        raise DataError(f"{printable(path)}: has no sentences; {_REMEDY}.")
    return Texts(texts, labels)
