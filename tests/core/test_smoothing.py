"""Smoothing against a loop over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.core.smoothing import Triangle, smoothed
from emofuse.core.time import ticks
from emofuse.errors import ShapeError

gaps = st.lists(st.integers(1, 40), min_size=1, max_size=60)


def slowly(values: list[float], times: list[int], reach: int) -> list[float]:
    out = []
    for at in times:
        weights = [max(reach - abs(t - at), 0) / reach for t in times]
        out.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return out


@given(gaps, st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_every_row_is_the_weighted_mean_of_the_rows_near_it(given_gaps, reach, seed):
    times = np.cumsum(given_gaps)
    values = np.random.default_rng(seed).uniform(0, 1, (len(times), 2))
    found = smoothed(values, times, times, Triangle(reach))
    for column in range(2):
        assert found[:, column] == pytest.approx(slowly(values[:, column].tolist(), times.tolist(), reach), abs=1e-6)


@given(gaps, st.integers(1, 100))
def test_a_constant_is_unchanged(given_gaps, reach):
    times = np.cumsum(given_gaps)
    assert smoothed(np.full((len(times), 1), 0.25), times, times, Triangle(reach)) == pytest.approx(0.25)


def test_the_width_is_the_same_at_every_rate():
    """A step from 0 to 1, looked at 5 and 50 times a second, half a second after it."""
    found = []
    for rate in (5, 50):
        times = np.arange(10 * rate) * ticks(1) // rate
        step = (times >= ticks(5)).astype(float)[:, None]
        found.append(smoothed(step, times, np.array([ticks(5.4)]), Triangle(ticks(1.5)))[0, 0])
    assert found[0] == pytest.approx(found[1], abs=0.06)


def test_rows_across_a_gap_as_wide_as_the_reach_have_no_influence():
    times = np.array([0, 10, 110, 120])
    found = smoothed(np.array([[0.0], [0.0], [1.0], [1.0]]), times, times, Triangle(100))
    assert found.ravel().tolist() == [0, 0, 1, 1]


def test_more_moments_than_one_block_are_all_smoothed():
    times = np.arange(1000)
    assert smoothed(times[:, None].astype(float), times, times, Triangle(3))[2:-2, 0] == pytest.approx(times[2:-2])


def test_a_moment_without_a_row_near_it_is_refused():
    with pytest.raises(ShapeError, match="use only moments near rows"):
        smoothed(np.zeros((1, 1)), np.array([0]), np.array([50]), Triangle(10))


def test_a_reach_of_zero_is_refused():
    with pytest.raises(ShapeError, match="smoothing over 0 s: give a time above 0"):
        Triangle(0)
