"""Checks of an installation, each a fact with a verdict."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import onnxruntime

from emofuse.core.version import __version__
from emofuse.errors import EmofuseError
from emofuse.media.container import can_decode
from emofuse.models import bundle as bundles
from emofuse.models import weights
from emofuse.runtime import Engine

PACKAGES = ("numpy", "scipy", "av", "opencv-python-headless", "onnxruntime", "soxr", "pandas", "pyarrow", "matplotlib")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    found: str
    good: bool = True


def examine() -> list[Finding]:
    """Look at everything that `predict` needs; nothing is downloaded."""
    return [
        Finding("emofuse", __version__),
        Finding("python", f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores"),
        *(_package(name) for name in PACKAGES),
        Finding("devices", ", ".join(p.removesuffix("ExecutionProvider") for p in Engine().providers)),
        *(_codec(codec) for codec in ("h264", "hevc", "vp9", "av1", "aac", "mp3")),
        _detector(),
        _training(),
        _bundle(),
    ]


def _package(name: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        return Finding(name, "not installed: pip install emofuse", good=False)


def _codec(codec: str) -> Finding:
    good = can_decode(codec)
    return Finding(f"decoder {codec}", "here" if good else "missing: files of this kind cannot be read", good)


def _detector() -> Finding:
    try:
        path = weights.locate(weights.known("yunet"))
    except EmofuseError as error:
        return Finding("face detector", str(error), good=False)
    without = "YuNet's weights are not here: `emofuse weights fetch yunet`; until then the simpler Haar cascade is used"
    return Finding("face detector", f"YuNet at {path}" if path else without)


def _training() -> Finding:
    try:
        return Finding("training", f"torch {version('torch')}")
    except PackageNotFoundError:
        return Finding("training", "not installed, not needed to predict: pip install 'emofuse[train]'")


def _bundle() -> Finding:
    try:
        bundle = bundles.load("default")
        score = bundle.face_scorer(Engine())
        assert score is not None
        assert bundle.face is not None
        size = bundle.face.crop.size
        shares = score(np.zeros((1, size, size, 3), np.uint8))
    except EmofuseError as error:
        return Finding("default bundle", str(error), good=False)
    good = bool(np.isclose(shares.sum(), 1, atol=1e-4))
    return Finding("default bundle", f"version {bundle.version}, ran on ONNX Runtime {onnxruntime.__version__}", good)
