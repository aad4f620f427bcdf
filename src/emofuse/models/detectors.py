"""The face detector of a run, by name; `auto` is YuNet where its weights are available, and Haar otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from emofuse.core.registry import find
from emofuse.errors import OutputError, WeightsError
from emofuse.faces import DETECTORS, Detector
from emofuse.models import weights
from emofuse.runtime import Engine


@dataclass(frozen=True)
class ChosenDetector:
    """A detector, and a note on why it is not the preferred one, or ""."""

    detector: Detector
    note: str = ""

    @property
    def identity(self) -> str:
        """Names the detector in results."""
        return self.detector.identity


def choose_detector(name: str, engine: Engine) -> ChosenDetector:
    """The detector of a name.

    Raises:
        SettingsError: there is no such detector.
        WeightsError: its weights are neither on this machine nor can they be downloaded.
    """
    find(name, {"auto": None, **dict.fromkeys(DETECTORS)}, "--detector")
    note, engine = "", engine.on_onnx_runtime
    try:
        timeout_seconds = 5 if name == "auto" else 20
        detector = DETECTORS["yunet" if name == "auto" else name](partial(_fetch, timeout_seconds), engine)
    except (WeightsError, OutputError) as error:  # the cache may not be writable
        if name != "auto":
            raise
        detector = DETECTORS["haar"](partial(_fetch, 0), engine)
        reason = str(error).split(". ")[0].removesuffix(".")
        note = f"faces are detected by the simpler Haar cascade, because YuNet is not available: {reason}."
    return ChosenDetector(detector, note)


def _fetch(timeout_seconds: float, name: str) -> Path:
    return weights.fetch(weights.known(name), timeout_seconds=timeout_seconds)
