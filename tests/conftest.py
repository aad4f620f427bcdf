"""Fixtures of several test modules. Tests that need the shared data are skipped with a reason where it is missing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import emofuse

# Its import switches off the telemetry of ONNX Runtime, which test modules import before emofuse.
assert emofuse.__version__

ROOT = Path(__file__).parent.parent


def _folder(variable: str, name: str) -> Path | None:
    path = Path(os.environ.get(variable) or ROOT.parent / "shared" / name)
    return path if path.is_dir() else None


@pytest.fixture(scope="session")
def clips() -> Path:
    """Folder of the 144 real clips."""
    folder = _folder("EMOFUSE_TEST_DATA", "data")
    if folder is None or not (folder / "clips").is_dir():
        pytest.skip("needs the shared clips: set EMOFUSE_TEST_DATA")
    return folder / "clips"


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic sample, 6 s of 640x360."""
    from emofuse.synthetic.sample import make_sample

    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    make_sample(path, seconds=6, size=(640, 360))
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A synthetic corpus of 12 videos of 4 s, and the content of its corpus.json."""
    from emofuse.synthetic import make_corpus

    folder = tmp_path_factory.mktemp("synthetic") / "corpus"
    make_corpus(folder, videos=12, seconds=4, seed=4, processes=2)
    return folder, json.loads((folder / "corpus.json").read_text("utf-8"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch with one thread, so that sums are taken in the same order on every machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
