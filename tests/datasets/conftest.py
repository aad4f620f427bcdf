from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from support.affwild2_trees import Film, Tree, make_film


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """Films by their count of frames, each encoded once."""
    return partial(make_film, tmp_path_factory.mktemp("films"))


@pytest.fixture
def tree(tmp_path: Path, film: Film) -> Tree:
    return Tree(tmp_path, film)
