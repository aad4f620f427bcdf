"""Fixtures of several test modules. Tests that need the shared data are skipped with a reason where it is missing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import emofuse
from emofuse.core.files import atomic_folder, locked

# Its import switches off the telemetry of ONNX Runtime, which test modules import before emofuse.
assert emofuse.__version__

# A shell that starts a program in the background makes it and its children ignore interrupts, which tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# On a busy machine slow examples are no failures.
settings.register_profile("emofuse", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("emofuse")

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
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Creates a folder once for all processes of a test run, by name; a function fills it."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def create(name: str, fill: Callable[[Path], object]) -> Path:
        folder = root / name
        with locked(root / f"{name}.lock"):
            if not folder.exists():
                with atomic_folder(folder) as partial:
                    fill(partial)
        return folder

    return create


@pytest.fixture(scope="session")
def talk(shared_folder) -> Path:
    """The synthetic sample, 6 s of 320x180."""
    from emofuse.synthetic.sample import make_sample

    return (
        shared_folder("talk", lambda folder: make_sample(folder / "talk.mp4", seconds=6, size=(320, 180))) / "talk.mp4"
    )


@pytest.fixture(scope="session")
def corpus(shared_folder) -> tuple[Path, dict[str, Any]]:
    """A synthetic corpus of 12 videos of 4 s, and the content of its corpus.json."""
    from emofuse.synthetic import make_corpus

    folder = shared_folder("corpus", lambda folder: make_corpus(folder, videos=12, seconds=4, seed=4, processes=2))
    return folder, json.loads((folder / "corpus.json").read_text("utf-8"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch with one thread, so that sums are taken in the same order on every machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
