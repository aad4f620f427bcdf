"""Fitted heads on disk: one safetensors file, arrays with their meaning beside them, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from emofuse.core.files import array_bytes, write_bytes
from emofuse.core.labels import LabelSet
from emofuse.core.types import Floats
from emofuse.errors import BundleError, LabelError, SettingsError, ShapeError
from emofuse.heads.kelm import KernelELM
from emofuse.heads.svm import SVM

KIND, VERSION = "emofuse head", "1"
HEADS: Mapping[str, type[SVM] | type[KernelELM]] = MappingProxyType({"svm": SVM, "kelm": KernelELM})

Head = SVM | KernelELM


@dataclass(frozen=True, eq=False)
class Saved:
    """A fitted head with the names of its classes, which are indices into `label_set`.

    Raises:
        LabelError: a class of the head is not in the label set.
    """

    head: Head
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


def save(path: str | Path, head: Head, *, label_set: LabelSet) -> None:
    """Write a fitted head, whole or not at all; training rows that are no support vectors or landmarks are left out.

    Raises:
        LabelError: its classes are not indices into the label set.
        OutputError: the folder cannot be written, or the disk is full.
    """
    arrays = head.arrays()
    Saved(head, label_set)
    names = {kind: name for name, kind in HEADS.items()}
    params = head.get_params()
    if isinstance(params["class_weight"], Mapping):  # what JSON keeps of a dict with numbers as keys
        params["class_weight"] = [[int(name), float(weight)] for name, weight in params["class_weight"].items()]
    about = {
        "kind": KIND,
        "version": VERSION,
        "head": names[type(head)],
        "params": json.dumps(params, default=_plain),
        "labels": json.dumps(label_set.names),
        "arrays": json.dumps(sorted(arrays)),
    }
    write_bytes(path, array_bytes(arrays, about))


def load(path: str | Path) -> Saved:
    """Read a fitted head; it predicts the same bits as the one that was saved.

    Raises:
        BundleError: missing, damaged, no head, or of another version.
    """
    about, arrays = _content(Path(path))
    if about.get("kind") != KIND:
        raise BundleError(f"{path}: not a head; give a file that emofuse has saved.")
    if about.get("version") != VERSION:
        raise BundleError(
            f"{path}: version {about.get('version')}, this emofuse reads {VERSION}; update it or fit the head again."
        )
    try:
        if sorted(arrays) != json.loads(about["arrays"]):
            raise ShapeError(f"its arrays are {', '.join(arrays) or 'none'}, not {about['arrays']}")
        params = json.loads(about["params"])
        if isinstance(params["class_weight"], list):
            params["class_weight"] = dict(params["class_weight"])
        head = HEADS[about["head"]].restore(arrays, params)
        return Saved(head, LabelSet(tuple(json.loads(about["labels"]))))
    except (KeyError, TypeError, IndexError, ValueError) as error:  # all of ours that can occur here are ValueErrors
        raise BundleError(f"{path}: incomplete or damaged ({str(error).rstrip('.')}); fit the head again.") from None


def _plain(number: Any) -> Any:
    if isinstance(number, np.generic):
        return number.item()
    raise TypeError(f"a parameter of the head is {number!r}; give plain numbers and names")


def _content(path: Path) -> tuple[Mapping[str, str], dict[str, NDArray[Any]]]:
    if not path.is_file():
        raise BundleError(f"{path}: no such file; give a head that was saved.")
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise BundleError(f"{path}: cannot be read ({error}); it is damaged, or not a head.") from None
