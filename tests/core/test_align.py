from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emofuse.core.align import Pooled, fill_gaps, majority, pool, sample, spread
from emofuse.core.time import Timeline, ticks
from emofuse.errors import ShapeError

LENGTH = 60  # ticks; short times, so that starts and ends often coincide
YES = np.ones(100, bool)
floats = st.floats(-1e6, 1e6, width=32)


def line(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Timeline:
    return Timeline(np.sort(starts), np.sort(ends))


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Constant steps, overlapping windows, windows with gaps, or variable timestamps."""
    numbers = st.builds(Fraction, st.integers(7, 200), st.integers(1, 7))
    if draw(st.booleans()):
        return Timeline.windows(draw(numbers), draw(numbers), end=LENGTH)
    starts = np.sort(np.array(draw(st.lists(st.integers(0, LENGTH), max_size=15)), int))
    widths = np.array(draw(st.lists(st.integers(1, 30), min_size=len(starts), max_size=len(starts))), int)
    return Timeline(starts, np.maximum.accumulate(starts + widths))


@st.composite
def tracks(draw: st.DrawFn) -> tuple[NDArray[np.float32], Timeline, NDArray[np.bool_]]:
    timeline = draw(timelines())
    n = len(timeline)
    values = draw(st.lists(st.tuples(floats, floats), min_size=n, max_size=n))
    valid = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return np.array(values, np.float32).reshape(n, 2), timeline, np.array(valid, bool)


def slow_pool(values: NDArray[np.float32], frames: Timeline, windows: Timeline, valid: NDArray[np.bool_]) -> Pooled:
    mean, std = np.zeros((len(windows), 2), np.float32), np.zeros((len(windows), 2), np.float32)
    held = np.zeros(len(windows), bool)
    for w, (start, end) in enumerate(windows):
        for column in range(2):
            rows = [
                Fraction(float(values[f, column])) for f, (s, _) in enumerate(frames) if start <= s < end and valid[f]
            ]
            if rows:
                centre = sum(rows) / len(rows)
                mean[w, column] = float(centre)
                std[w, column] = float(sum((r - centre) ** 2 for r in rows) / len(rows)) ** 0.5
                held[w] = True
    return Pooled(mean, std, held)


# Pool


@settings(deadline=None)
@given(tracks(), timelines())
def test_pool_equals_a_slow_loop_over_fractions(track, windows):
    values, frames, valid = track
    fast, slow = pool(values, frames, windows, valid=valid), slow_pool(values, frames, windows, valid)
    np.testing.assert_array_equal(fast.valid, slow.valid)
    np.testing.assert_allclose(fast.mean, slow.mean, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fast.std, slow.std, rtol=1e-6, atol=1e-6)


@settings(deadline=None)
@given(tracks(), timelines(), st.sampled_from([np.nan, np.inf, 1e30]))
def test_frames_that_are_not_valid_never_change_what_pool_returns(track, windows, rubbish):
    values, frames, valid = track
    other = np.where(valid[:, None], values, np.float32(rubbish))
    one, two = pool(values, frames, windows, valid=valid), pool(other, frames, windows, valid=valid)
    np.testing.assert_array_equal(one.functionals(), two.functionals())
    np.testing.assert_array_equal(one.valid, two.valid)


@settings(deadline=None)
@given(tracks(), st.builds(Fraction, st.integers(1, 300), st.integers(1, 7)).filter(lambda w: w >= 1))
def test_tiling_windows_contain_every_frame_once(track, width):
    _, frames, valid = track
    frames, valid = frames[frames.start < LENGTH], valid[frames.start < LENGTH]
    one_hot = np.eye(len(frames))
    windows = Timeline.windows(width, width, end=LENGTH)
    first, last = windows.members(frames)
    counts = np.array([valid[a:b].sum() for a, b in zip(first, last, strict=True)], int)
    pooled = pool(one_hot, frames, windows, valid=valid)
    np.testing.assert_allclose((pooled.mean * counts[:, None]).sum(axis=0), valid, atol=1e-6)


def test_pool_assigns_frames_by_their_start():
    frames = line(np.array([0, 4, 8]), np.array([4, 8, 12]))
    pooled = pool(np.array([1.0, 2.0, 4.0]), frames, Timeline.windows(6, 6, end=12), valid=np.ones(3, bool))
    assert pooled.mean.tolist() == [1.5, 4.0]  # the frame from 4 to 8 counts in the first window alone
    assert pooled.std.tolist() == [0.5, 0.0]


def test_a_window_without_a_valid_frame_is_not_valid():
    pooled = pool(np.ones((2, 1)), Timeline.windows(1, 1, end=2), Timeline.windows(1, 1, end=3), valid=np.eye(2)[0] > 0)
    assert pooled.valid.tolist() == [True, False, False]
    assert pooled.mean.ravel().tolist() == [1, 0, 0]


def test_pool_returns_the_population_standard_deviation():
    pooled = pool(np.array([[1.0], [3.0]]), Timeline.windows(1, 1, end=2), Timeline.windows(2, 2, end=2), valid=YES[:2])
    assert pooled.functionals().tolist() == [[2.0, 1.0]]


# Spread


@settings(deadline=None)
@given(tracks(), timelines())
def test_spread_equals_a_slow_loop_over_fractions(track, frames):
    values, windows, valid = track
    fast, covered = spread(values, windows, frames, valid=valid)
    for n, (moment, _) in enumerate(frames):
        over = [w for w, (s, e) in enumerate(windows) if s <= moment < e and valid[w]]
        assert covered[n] == bool(over)
        for column in range(2):
            exact = sum(Fraction(float(values[w, column])) for w in over) / max(len(over), 1)
            np.testing.assert_allclose(fast[n, column], float(exact), rtol=1e-6, atol=1e-8)


@settings(deadline=None)
@given(tracks(), timelines(), st.sampled_from([np.nan, np.inf, 1e30]))
def test_windows_that_are_not_valid_never_change_what_spread_returns(track, frames, rubbish):
    values, windows, valid = track
    other = np.where(valid[:, None], values, np.float32(rubbish))
    one, two = spread(values, windows, frames, valid=valid), spread(other, windows, frames, valid=valid)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


@settings(deadline=None)
@given(tracks(), timelines(), timelines(), floats)
def test_pooling_and_spreading_a_constant_returns_it_wherever_covered(track, windows, frames, constant):
    _, faces, valid = track
    pooled = pool(np.full((len(faces), 1), constant, np.float32), faces, windows, valid=valid)
    back, covered = spread(pooled.mean, windows, frames, valid=pooled.valid)
    np.testing.assert_array_equal(back[:, 0], np.where(covered, np.float32(constant), 0))


rates = st.sampled_from([Fraction(30_000, 1001), Fraction(24_000, 1001), Fraction("7.5"), Fraction(25), Fraction(60)])


@settings(deadline=None, max_examples=30)
@given(rates, rates, st.floats(0.05, 3), st.floats(0.05, 1), st.floats(0.2, 4), st.randoms(use_true_random=False))
def test_with_real_rates_and_windows_a_constant_returns_to_every_valid_frame(one, two, width, part, length, random):
    faces, frames = Timeline.steps(one, end=ticks(length)), Timeline.steps(two, end=ticks(length))
    windows = Timeline.windows(ticks(width), max(ticks(width * part), 1), end=ticks(length))
    valid = np.array([random.random() < 0.7 for _ in range(len(faces))], bool)
    pooled = pool(np.full(len(faces), 0.3, np.float32), faces, windows, valid=valid)
    back, covered = spread(pooled.mean, windows, frames, valid=pooled.valid)
    np.testing.assert_array_equal(back, np.where(covered, np.float32(0.3), 0))
    # A frame that is a valid face itself lies in a window with at least one valid face.
    same, covered = spread(pooled.mean, windows, faces, valid=pooled.valid)
    assert covered[valid].all()
    assert (same[valid] == np.float32(0.3)).all()


def test_a_frame_in_two_windows_has_their_mean():
    windows = line(np.array([0, 5]), np.array([10, 15]))
    values, covered = spread(np.array([[1.0], [2.0]]), windows, Timeline.windows(5, 5, end=20), valid=YES[:2])
    assert values.ravel().tolist() == [1.0, 1.5, 2.0, 0.0]
    assert covered.tolist() == [True, True, True, False]


def test_the_end_of_a_window_is_outside_it():
    windows = line(np.array([0]), np.array([3]))
    values, covered = spread(np.array([7.0]), windows, Timeline.windows(1, 1, end=4), valid=YES[:1])
    assert values.tolist() == [7, 7, 7, 0]
    assert covered.tolist() == [True, True, True, False]


# Hold


@given(st.lists(st.tuples(st.integers(), st.booleans())))
def test_fill_gaps_equals_a_slow_loop(rows):
    values, valid = [v for v, _ in rows], [ok for _, ok in rows]
    slow = list(values)
    if any(valid):
        last = next(v for v, ok in rows if ok)
        for n, (value, ok) in enumerate(rows):
            last = value if ok else last
            slow[n] = last
    assert fill_gaps(np.array(values, object), np.array(valid, bool)).tolist() == slow


def test_fill_gaps_without_any_valid_row_changes_nothing():
    assert fill_gaps(np.array([4, 5]), np.zeros(2, bool)).tolist() == [4, 5]


def test_fill_gaps_accepts_rows_of_any_shape():
    assert fill_gaps(np.array([[1, 2], [9, 9]]), np.array([True, False])).tolist() == [[1, 2], [1, 2]]


# What is refused

ONE = Timeline.windows(1, 1, end=1)


@pytest.mark.parametrize("function", [pool, spread])
def test_lengths_that_differ_are_refused(function):
    with pytest.raises(ShapeError, match="2 values, 3 flags, 1 intervals; give one of each per interval"):
        function(np.zeros(2), ONE, ONE, valid=YES[:3])


@pytest.mark.parametrize("function", [pool, spread])
def test_flags_that_are_numbers_are_refused(function):
    with pytest.raises(ShapeError, match=f"{function.__name__}: valid has type int64; give booleans"):
        function(np.zeros(1), ONE, ONE, valid=np.ones(1, int))


def test_fill_gaps_refuses_flags_of_another_length():
    with pytest.raises(ShapeError, match="fill_gaps: 2 rows, but valid has 1; give one flag for each row"):
        fill_gaps(np.zeros(2), YES[:1])


@st.composite
def labelled(draw: st.DrawFn) -> tuple[NDArray[np.int64], Timeline]:
    timeline = draw(timelines())
    n = len(timeline)
    return np.array(draw(st.lists(st.integers(-1, 6), min_size=n, max_size=n)), np.int64), timeline


@given(labelled(), timelines())
def test_a_sampled_label_is_that_of_the_last_frame_over_the_moment(track, moments):
    labels, frames = track
    slow = [labels[frames.at(start)] if frames.at(start) >= 0 else -1 for start, _ in moments]
    assert sample(labels, frames, moments).tolist() == slow


@given(labelled(), timelines())
def test_a_window_has_the_most_frequent_label_of_the_frames_that_start_in_it(track, windows):
    labels, frames = track
    slow = []
    for start, end in windows:
        votes = [int(n) for n, t in zip(labels, frames.start, strict=True) if start <= t < end and n >= 0]
        slow.append(max(sorted(set(votes)), key=votes.count, default=-1))
    assert majority(labels, frames, windows).tolist() == slow


def test_labels_at_5_hz_equal_those_of_the_authors_at_rates_that_divide_3000_hz():
    # Their way: each label repeated to 3,000 Hz, then every 600th.
    for rate in (15, 25, 30, 60):
        labels = np.random.default_rng(rate).integers(-1, 7, 4 * rate)
        theirs = np.repeat(labels, 3000 // rate)[::600]
        frames, steps = Timeline.steps(rate, end=ticks(4)), Timeline.steps(5, end=ticks(4))
        assert sample(labels, frames, steps).tolist() == theirs.tolist()


def test_labels_at_5_hz_do_not_drift_at_ntsc_rates():
    rate = Fraction(30000, 1001)
    labels = np.arange(108_000) % 7  # an hour
    frames = Timeline.steps(rate, end=ticks(108_000 / rate))
    steps = Timeline.steps(5, end=ticks(3600))
    exact = [int(Fraction(k, 5) * rate) % 7 for k in range(len(steps))]
    assert sample(labels, frames, steps).tolist() == exact


@pytest.mark.parametrize("to_other", [sample, majority])
def test_labels_of_another_length_than_their_frames_are_refused(to_other):
    steps = Timeline.steps(5, end=ticks(1))
    with pytest.raises(ShapeError, match="3 labels, 5 intervals; give one label for each"):
        to_other(np.zeros(3, np.int64), steps, steps)
