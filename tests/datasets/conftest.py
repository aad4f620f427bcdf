from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from support.affwild2_folders import MakeVideo, Tree, make_video


@pytest.fixture(scope="session")
def new_video(tmp_path_factory: pytest.TempPathFactory) -> MakeVideo:
    """Makes videos with a number of frames, each encoded once."""
    return partial(make_video, tmp_path_factory.mktemp("videos"))


@pytest.fixture
def tree(tmp_path: Path, new_video: MakeVideo) -> Tree:
    return Tree(tmp_path, new_video)
