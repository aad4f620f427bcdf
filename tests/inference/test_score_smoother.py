"""Smoothing in a stream: the same as all at once, as soon as it can be known, in little memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.smoothing import Triangle, smoothed
from emofuse.core.time import ticks
from emofuse.inference.score_smoother import Smoother


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (n, 3)).astype(np.float32)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.sets(st.sampled_from([1, 2]))), min_size=1, max_size=50),
    st.integers(1, 80),
    st.integers(0, 2**32 - 1),
)
def test_settling_now_and_then_gives_what_settling_at_the_end_gives(pictures, reach, seed):
    """Two persons, each in some of the pictures; settled after about every third picture."""
    rng, smoother = np.random.default_rng(seed), Smoother(Triangle(reach))
    given_rows, time = [], 0
    added: dict[int, list[tuple[int, np.ndarray]]] = {}
    for gap, persons in pictures:
        time += gap
        for person in sorted(persons):
            row = rng.uniform(0, 1, 3).astype(np.float32)
            added.setdefault(person, []).append((time, row))
            smoother.add(person, time, row, (person, time))
        if rng.random() < 0.3:
            given_rows += smoother.settle(time + 1)
    given_rows += smoother.settle()
    found = dict(given_rows)
    assert len(found) == len(given_rows) == sum(map(len, added.values()))
    for person, said in added.items():
        times, values = np.array([t for t, _ in said]), np.stack([r for _, r in said])
        for t, expected in zip(times, smoothed(values, times, times, Triangle(reach)), strict=True):
            assert found[person, t] == pytest.approx(expected, abs=1e-6)


def test_a_row_is_given_exactly_when_its_future_is_there():
    smoother = Smoother(Triangle(10))
    smoother.add(1, 5, rows(1, 0)[0], "row")
    assert smoother.lookahead == 10
    assert smoother.settle(14) == []
    assert [item for item, _ in smoother.settle(15)] == ["row"]
    assert smoother.settle() == []


def test_an_hour_keeps_the_rows_within_reach_only():
    smoother, row = Smoother(Triangle(ticks(1.5))), np.ones(7, np.float32)
    for n in range(18_000):
        smoother.add(1 + n // 6000, n * ticks(1) // 5, row, n)
        smoother.settle(n * ticks(1) // 5)
        assert sum(len(p.times) for p in smoother._persons.values()) <= 16
    smoother.settle()
    assert not smoother._persons
