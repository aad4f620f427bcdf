"""emofuse: emotion recognition from face and voice in video.

    import emofuse
    prediction = emofuse.predict("talk.mp4")
    prediction.table()      # one row per person and step
    prediction.at(12.5)     # the emotion of each person at 12.5 s

Names are loaded on first use, so that importing the package is fast and loads neither torch nor cv2.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from emofuse.core.version import __version__ as __version__

if TYPE_CHECKING:
    from emofuse.core.labels import LabelSet
    from emofuse.core.time import Timeline
    from emofuse.core.types import Annotation, Clip, Scores, Track
    from emofuse.errors import EmofuseError
    from emofuse.inference.prediction import Prediction
    from emofuse.inference.predictor import predict
    from emofuse.models.bundle import Bundle, load

# ONNX Runtime reads this when it is imported; by default it writes a device id and sends events to its maker.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_HOMES = {
    "Annotation": "emofuse.core.types",
    "Bundle": "emofuse.models.bundle",
    "Clip": "emofuse.core.types",
    "EmofuseError": "emofuse.errors",
    "LabelSet": "emofuse.core.labels",
    "Prediction": "emofuse.inference.prediction",
    "Scores": "emofuse.core.types",
    "Timeline": "emofuse.core.time",
    "Track": "emofuse.core.types",
    "load": "emofuse.models.bundle",
    "predict": "emofuse.inference.predictor",
}

__all__ = [
    "Annotation",
    "Bundle",
    "Clip",
    "EmofuseError",
    "LabelSet",
    "Prediction",
    "Scores",
    "Timeline",
    "Track",
    "load",
    "predict",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'emofuse' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
