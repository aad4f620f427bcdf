"""Fitted fusions on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from emofuse.core.arrays import ArrayFormat
from emofuse.core.labels import LabelSet
from emofuse.errors import LabelError, ShapeError
from emofuse.fusion.contract import FittedFusion, FusionMethod
from emofuse.fusion.registry import method as by_name

FORMAT = ArrayFormat("fusion", 1, remedy="fit the fusion again")


def save(path: str | Path, fitted: FittedFusion) -> None:
    """Write a fitted fusion, whole or not at all.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    meaning = {"method": fitted.method, "systems": fitted.systems, "labels": fitted.label_set.names}
    FORMAT.write(path, fitted.arrays(), meaning)


def load(path: str | Path, *, method: Callable[[str], FusionMethod] = by_name) -> FittedFusion:
    """Read a fitted fusion; it fuses to the same bits as the one that was saved.

    Args:
        method: finds a method by name; default: among all that are registered.
    Raises:
        BundleError: the file is missing, damaged, not a fusion, or of another version.
        SettingsError: the method is not registered.
    """
    arrays, meaning = FORMAT.read(path)
    try:
        name, systems = str(meaning["method"]), tuple(meaning["systems"])
        label_set = LabelSet(tuple(meaning["labels"]))
    except (KeyError, TypeError, LabelError) as error:
        raise FORMAT.damaged(path, error) from None
    restore = method(name).restore
    try:
        return restore(arrays, systems, label_set)
    except ShapeError as error:
        raise FORMAT.damaged(path, error) from None
