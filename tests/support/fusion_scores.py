"""Small random scores of several systems, for tests of fusion."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints, Timeline
from emofuse.core.types import Scores
from emofuse.fusion import SystemScores

ABC = LabelSet(("a", "b", "c"))


def steps(n: int) -> Timeline:
    return Timeline.windows(10, 10, end=10 * n)


def scores(system: str, rows: object, valid: object = None, label_set: LabelSet = ABC) -> Scores:
    values = np.array(rows, np.float64)
    flags = np.ones(len(values), bool) if valid is None else np.array(valid, bool)
    return Scores(values, steps(len(values)), label_set, flags, system)


def labels(n: int) -> LabelSet:
    return LabelSet(tuple(f"class {c}" for c in range(n)))


def system_scores(
    rng: np.random.Generator, *, systems: int, frames: int, classes: int, valid: float = 1.0
) -> tuple[SystemScores, Ints]:
    """Probabilities, some of them equal so that there are ties, and truth with some frames unlabelled."""
    values = rng.integers(0, 5, (systems, frames, classes)).astype(np.float64) + 1e-3
    flags = rng.random((systems, frames)) < valid
    truth = rng.integers(-1, classes, frames)
    truth[0], flags[0, 0] = 0, True
    values = np.where(flags[..., None], values / values.sum(axis=2, keepdims=True), 0).astype(np.float32)
    return SystemScores(values, flags, tuple(f"system {m}" for m in range(systems)), labels(classes)), truth


def clips(given: SystemScores, frames: int) -> list[list[Scores]]:
    """The scores split into clips of this number of frames."""
    cuts = [slice(n, n + frames) for n in range(0, len(given), frames)]
    return [
        [
            Scores(given.values[m, cut], steps(given.valid[m, cut].size), given.label_set, given.valid[m, cut], name)
            for m, name in enumerate(given.systems)
        ]
        for cut in cuts
    ]


def tables(rng: np.random.Generator, candidates: int, systems: int, classes: int) -> NDArray[np.float32]:
    drawn = rng.dirichlet(np.ones(systems), size=(candidates, classes)).transpose(0, 2, 1)
    drawn[rng.random(drawn.shape) < 0.1] = 0
    return drawn.astype(np.float32)


seeds = st.integers(0, 2**32 - 1)
