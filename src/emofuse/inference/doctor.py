"""Checks of an installation: what `predict` needs, and what was found."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import onnxruntime

from emofuse.core.cores import usable_cores
from emofuse.core.version import __version__
from emofuse.errors import EmofuseError
from emofuse.media.container import can_decode
from emofuse.models import bundle as bundles
from emofuse.models import weights
from emofuse.models.detectors import DEFAULT, choose_detector
from emofuse.models.face import FaceScorer
from emofuse.runtime import Engine

PACKAGES = ("numpy", "scipy", "av", "opencv-python-headless", "onnxruntime", "soxr", "pandas", "pyarrow", "matplotlib")


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    what: str
    found: str
    good: bool = True


def examine() -> list[Finding]:
    """Check everything that `predict` needs; nothing is downloaded."""
    cores = f"{usable_cores()} of {os.cpu_count()} cores"
    return [
        Finding("emofuse", __version__),
        Finding("python", f"{platform.python_version()} on {platform.platform()}, {cores}"),
        *(_package(name, name, Finding(name, "not installed: pip install emofuse", good=False)) for name in PACKAGES),
        Finding("devices", ", ".join(p.removesuffix("ExecutionProvider") for p in Engine().providers)),
        *(_codec(codec) for codec in ("h264", "hevc", "vp9", "av1", "aac", "mp3")),
        _checked("face detector", _detector),
        _package("training", "torch", Finding("training", "not installed, optional: pip install 'emofuse[train]'")),
        _package(
            "transcription",
            "faster-whisper",
            Finding("transcription", "not installed, optional: pip install 'emofuse[words]'"),
        ),
        _checked("default bundle", _bundle),
    ]


def _package(what: str, name: str, missing: Finding) -> Finding:
    try:
        return Finding(what, version(name) if what == name else f"{name} {version(name)}")
    except PackageNotFoundError:
        return missing


def _codec(codec: str) -> Finding:
    good = can_decode(codec)
    return Finding(f"decoder {codec}", "available" if good else "missing: such files cannot be read", good)


def _checked(what: str, check: Callable[[], tuple[str, bool]]) -> Finding:
    try:
        return Finding(what, *check())
    except EmofuseError as error:
        return Finding(what, str(error), good=False)


def _detector() -> tuple[str, bool]:
    choose_detector(DEFAULT, Engine())(np.zeros((64, 64), np.uint8))
    path = weights.locate(weights.known("yunet"))
    yunet = f"yunet at {path}" if path else "yunet is not here, optional: `emofuse weights fetch yunet`"
    return f"default, in the package; {yunet}", True


def _bundle() -> tuple[str, bool]:
    bundle = bundles.load("default")
    assert bundle.face is not None
    score, size = FaceScorer(bundle.face, Engine(), classes=len(bundle.label_set)), bundle.face.crop.size
    good = bool(np.isclose(score(np.zeros((1, size, size, 3), np.uint8)).sum(), 1, atol=1e-4))
    return f"version {bundle.version}, ran on ONNX Runtime {onnxruntime.__version__}", good
