"""Fitted heads on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.arrays import ArrayFormat
from emofuse.core.labels import LabelSet
from emofuse.core.types import Floats
from emofuse.errors import LabelError, SettingsError
from emofuse.heads.kelm import KernelELM
from emofuse.heads.svm import SVM

FORMAT = ArrayFormat("head", 1, remedy="fit the head again")
HEADS: Mapping[str, type[SVM] | type[KernelELM]] = MappingProxyType({"svm": SVM, "kelm": KernelELM})

Estimator = SVM | KernelELM


@dataclass(frozen=True, eq=False)
class LabelledHead:
    """A fitted head with the names of its classes, which are indices into `label_set`.

    Raises:
        LabelError: a class of the head is not in the label set.
    """

    head: Estimator
    label_set: LabelSet

    def __post_init__(self) -> None:
        classes = self.head.classes_
        if classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() >= len(self.label_set):
            raise LabelError(
                f"{type(self.head).__name__}: its classes are {classes.tolist()}; fit it on indices from 0 to "
                f"{len(self.label_set) - 1}, for {', '.join(self.label_set.names)}."
            )

    def probabilities(self, features: NDArray[Any]) -> Floats:
        """float32 [n, labels], rows summing to one; 0 for a label that the head was not fitted on.

        Raises:
            ShapeError: other features than the head was fitted on.
            SettingsError: the head was fitted without probabilities.
        """
        if not self.head.probability:
            raise SettingsError(f"{type(self.head).__name__}: has no probabilities; fit it with probability=True.")
        values = np.zeros((len(features), len(self.label_set)), np.float32)
        values[:, self.head.classes_] = self.head.predict_proba(features)
        return values


def save(path: str | Path, head: Estimator, *, label_set: LabelSet) -> None:
    """Write a fitted head, whole or not at all, without the training rows that it does not need.

    Raises:
        LabelError: its classes are not indices into the label set.
        OutputError: the folder cannot be written, or the disk is full.
    """
    arrays = head.arrays()
    LabelledHead(head, label_set)
    names = {kind: name for name, kind in HEADS.items()}
    params = {key: value.item() if isinstance(value, np.generic) else value for key, value in head.get_params().items()}
    if isinstance(params["class_weight"], Mapping):  # JSON has no mapping from numbers
        params["class_weight"] = [[int(name), float(weight)] for name, weight in params["class_weight"].items()]
    FORMAT.write(path, arrays, {"head": names[type(head)], "params": params, "labels": label_set.names})


def load(path: str | Path) -> LabelledHead:
    """Read a fitted head; it predicts the same bits as the one that was saved.

    Raises:
        BundleError: the file is missing, damaged, not a head, or of another version.
    """
    arrays, meaning = FORMAT.read(path)
    try:
        params = meaning["params"]
        if isinstance(params["class_weight"], list):
            params["class_weight"] = dict(params["class_weight"])
        head = HEADS[meaning["head"]].restore(arrays, params)
        return LabelledHead(head, LabelSet(tuple(meaning["labels"])))
    except (KeyError, TypeError, IndexError, ValueError) as error:  # includes ShapeError, LabelError, SettingsError
        raise FORMAT.damaged(path, error) from None
