"""Random rows for tests of heads: overlapping classes of unequal size, and groups of neighbouring rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Rows:
    features: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


def _random_rows(count: int, *, classes: int = 4, width: int = 12, apart: float = 1.5, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    frequencies = np.arange(classes, 0, -1) / np.arange(1, classes + 1).sum()
    labels = np.append(np.arange(classes), rng.choice(classes, count - classes, p=frequencies))
    centres = np.random.default_rng(99).normal(size=(classes, width)) * apart / 2
    return Rows(centres[labels] + rng.normal(size=(count, width)), labels, np.arange(count) // 5)


@pytest.fixture
def random_rows() -> Callable[..., Rows]:
    """`random_rows(count, classes=4, width=12, apart=1.5, seed=0)`: rows of each class at least once."""
    return _random_rows
