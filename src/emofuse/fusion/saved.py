"""Fitted fusions on disk: one safetensors file, arrays with their meaning beside them, no pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from emofuse.core.files import array_bytes, write_bytes
from emofuse.core.labels import LabelSet
from emofuse.errors import BundleError, LabelError, ShapeError
from emofuse.fusion.contract import FittedFusion, FusionMethod
from emofuse.fusion.registry import method as by_name

KIND, VERSION = "emofuse fusion", "1"


def save(path: str | Path, fitted: FittedFusion) -> None:
    """Write a fitted fusion, whole or not at all.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    arrays = fitted.arrays()
    about = {
        "kind": KIND,
        "version": VERSION,
        "method": fitted.method,
        "systems": json.dumps(fitted.systems),
        "labels": json.dumps(fitted.label_set.names),
        "arrays": json.dumps(sorted(arrays)),
    }
    write_bytes(path, array_bytes(arrays, about))


def load(path: str | Path, *, method: Callable[[str], FusionMethod] = by_name) -> FittedFusion:
    """Read a fitted fusion; it fuses to the same bits as the one that was saved.

    Args:
        method: finds the method by its name; by default among all that are registered.
    Raises:
        BundleError: missing, damaged, no fusion, or of another version.
        SettingsError: its method is not known here.
    """
    about, arrays = _content(Path(path))
    if about.get("kind") != KIND:
        raise BundleError(f"{path}: not a fusion file; give one that emofuse has saved.")
    if about.get("version") != VERSION:
        raise BundleError(
            f"{path}: version {about.get('version')}, this emofuse reads {VERSION}; update emofuse or fit again."
        )
    try:
        name, systems = about["method"], tuple(json.loads(about["systems"]))
        label_set = LabelSet(tuple(json.loads(about["labels"])))
        if sorted(arrays) != json.loads(about["arrays"]):
            raise ShapeError(f"its arrays are {', '.join(arrays) or 'none'}, not {about['arrays']}")
        restored = method(name).restore
    except (KeyError, TypeError, ShapeError, LabelError, json.JSONDecodeError) as error:
        raise BundleError(f"{path}: incomplete or wrong ({error}); fit the fusion again.") from None
    try:
        return restored(arrays, systems, label_set)
    except ShapeError as error:
        raise BundleError(f"{path}: damaged ({str(error).rstrip('.')}); fit the fusion again.") from None


def _content(path: Path) -> tuple[Mapping[str, str], dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise BundleError(f"{path}: no such file; give a fusion that was saved.")
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise BundleError(f"{path}: cannot be read ({error}); it is damaged, or not a fusion file.") from None
