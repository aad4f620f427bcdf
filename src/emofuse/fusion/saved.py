"""Fitted fusions on disk: one file of arrays with the names of method, systems and labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from emofuse.core.arrays import ArrayFormat
from emofuse.core.labels import LabelSet
from emofuse.errors import LabelError, ShapeError
from emofuse.fusion.registry import METHODS, FittedFusion, FusionMethod

FORMAT = ArrayFormat("fusion", 1, remedy="fit the fusion again")


def save(path: str | Path, fitted: FittedFusion) -> None:
    """Write a fitted fusion, whole or not at all.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    meaning = {"method": fitted.method, "systems": list(fitted.systems), "labels": list(fitted.label_set.names)}
    FORMAT.write(path, fitted.arrays(), meaning)


def load(path: str | Path, *, methods: Mapping[str, FusionMethod] = METHODS) -> FittedFusion:
    """Read a fitted fusion; its fused scores have the same bits as those of the one that was saved.

    Raises:
        BundleError: the file is missing, damaged, not a fusion, or of another version.
        SettingsError: its method is not installed.
    """
    arrays, meaning = FORMAT.read(path)
    try:
        name, systems = meaning["method"], tuple(meaning["systems"])
        label_set = LabelSet(tuple(meaning["labels"]))
    except (KeyError, TypeError, LabelError) as error:
        raise FORMAT.damaged(path, error) from None
    method = methods[name]
    try:
        return method.restore(arrays, systems, label_set)
    except KeyError as error:
        raise FORMAT.damaged(path, f"{name} lacks the array {error}") from None
    except ShapeError as error:
        raise FORMAT.damaged(path, error) from None
