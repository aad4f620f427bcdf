"""The face detector of a run, by name."""

from __future__ import annotations

from pathlib import Path

from emofuse.core.registry import find
from emofuse.errors import SettingsError
from emofuse.faces import DETECTORS, Detector
from emofuse.faces.default import SMALL_FACES_LONG_SIDE, DefaultDetector
from emofuse.models import weights
from emofuse.runtime import Engine

DEFAULT = "default"


def choose_detector(name: str, engine: Engine, *, small_faces: bool = False) -> Detector:
    """The detector of a name.

    small_faces: search larger images, in which smaller faces are found; of the default detector only.

    Raises:
        SettingsError: there is no such detector, or it has no variant for small faces.
        WeightsError: its weights are neither on this machine nor can they be downloaded.
    """
    find(name, dict.fromkeys(DETECTORS), "--detector")
    engine = engine.on_onnx_runtime
    if not small_faces:
        return DETECTORS[name](_fetch, engine)
    if name != DEFAULT:
        raise SettingsError(f"--small-faces: is a variant of --detector {DEFAULT}; leave one of the two out.")
    return DefaultDetector(engine=engine, long_side=SMALL_FACES_LONG_SIDE)


def _fetch(name: str) -> Path:
    return weights.fetch(weights.known(name))
