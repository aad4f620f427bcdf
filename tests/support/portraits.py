"""Frames of real clips with one face, and the weights of detectors; a test is skipped where they are missing."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

SHARED = Path(__file__).parents[3] / "shared"
WEIGHTS = Path(os.environ.get("EMOFUSE_WEIGHTS", SHARED / "weights"))
CLIPS = Path(os.environ.get("EMOFUSE_TEST_DATA", SHARED / "data")) / "clips"
NAMES = ["01-01-01_01.mp4", "02-04-05_01.mp4", "03-02-03_01.mp4"]


def portrait(name: str = NAMES[0]) -> np.ndarray:
    """The 31st frame of a clip: some clips begin black."""
    if not (CLIPS / name).is_file():
        pytest.skip(f"no {name} in {CLIPS}; set EMOFUSE_TEST_DATA")
    with av.open(str(CLIPS / name)) as file:
        for n, frame in enumerate(file.decode(video=0)):
            if n == 30:
                return frame.to_ndarray(format="rgb24")
    raise AssertionError(f"{name} has fewer than 31 frames")


def weights_file(name: str) -> Path:
    """The path of a file of weights."""
    if not (WEIGHTS / name).is_file():
        pytest.skip(f"no {name} in {WEIGHTS}; set EMOFUSE_WEIGHTS")
    return WEIGHTS / name
