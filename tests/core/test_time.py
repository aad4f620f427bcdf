from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.time import TICKS_PER_SECOND, Timeline, from_pts, period, seconds, tick_of, ticks
from emofuse.errors import ShapeError

USUAL_RATES = [
    *(Fraction(n, 1001) for n in (24_000, 30_000, 60_000, 120_000)),
    *map(Fraction, ("7.5", "5", "10", "12.5", "15", "24", "25", "30", "48", "50", "60", "90", "120", "240")),
    *map(Fraction, (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 90_000)),
]
TIME_BASES = [Fraction(1, n) for n in (90_000, 1_000, 12_800, 15_360, 30_000, 24_000, 44_100, 48_000, 1_000_000, 600)]
TIME_BASES += [Fraction(1001, 30_000), Fraction(1001, 24_000), Fraction(1, 1), Fraction(1, 1_000_003)]

rates = st.one_of(
    st.sampled_from(USUAL_RATES[:-9]),
    st.builds(Fraction, st.integers(1, 200_000_000), st.integers(1, 1_000_000)).filter(lambda r: r > Fraction(1, 100)),
)


def line(*intervals: tuple[int, int]) -> Timeline:
    return Timeline(np.array([s for s, _ in intervals], int), np.array([e for _, e in intervals], int))


def rounded(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


# Ticks


@pytest.mark.parametrize("rate", USUAL_RATES, ids=str)
def test_every_common_rate_has_a_period_of_whole_ticks(rate):
    assert period(rate).denominator == 1
    assert period(rate) == TICKS_PER_SECOND / rate


@pytest.mark.parametrize("rate", USUAL_RATES, ids=str)
def test_a_rate_given_as_float_has_the_period_of_its_fraction(rate):
    assert period(float(rate)) == period(rate)


@pytest.mark.parametrize("rate", [0, -1, Fraction(-30_000, 1001), -0.5])
def test_a_rate_that_is_not_positive_is_refused(rate):
    with pytest.raises(ShapeError, match=r"rate .* Hz: a rate must be above 0"):
        period(rate)


@pytest.mark.parametrize("rate", [float("nan"), float("inf")])
def test_a_rate_that_is_not_a_number_is_refused(rate):
    with pytest.raises(ShapeError, match=r"rate (nan|inf) Hz: a rate must be a number"):
        period(rate)


def test_one_frame_of_film_video_has_29_429_400_ticks():
    assert ticks(Fraction(1001, 24_000)) == 29_429_400


def test_ticks_are_rounded_to_the_nearest():
    assert [ticks(Fraction(n, 4 * TICKS_PER_SECOND)) for n in (-3, -1, 1, 3, 5, 7)] == [-1, 0, 0, 1, 1, 2]


@given(st.integers(-(2**53), 2**53))
def test_converting_ticks_to_seconds_and_back_returns_them(time):
    assert abs(ticks(seconds(time)) - time) <= 1


@given(st.integers(0, 10**7), st.sampled_from(USUAL_RATES))
def test_a_frame_number_over_its_rate_is_a_whole_number_of_periods(number, rate):
    assert ticks(number / rate) == number * period(rate)


# Stream timestamps


@given(st.lists(st.integers(-(2**33), 2**33), min_size=1), st.sampled_from(TIME_BASES))
def test_timestamps_are_converted_as_by_fractions(pts, base):
    wanted = [rounded(p * base * TICKS_PER_SECOND) for p in pts]
    assert from_pts(pts, base).tolist() == wanted
    assert [tick_of(p, base) for p in pts] == wanted


def test_huge_timestamps_of_a_transport_stream_do_not_overflow():
    pts = 2**50  # times 705,600,000 this is far beyond int64
    assert from_pts([pts, -pts], Fraction(1, 90_000)).tolist() == [pts * 7840, -pts * 7840]


def test_huge_timestamps_in_units_that_do_not_divide_the_clock_do_not_overflow():
    pts, base = 10**15 + 7, Fraction(1, 1_000_003)
    assert from_pts([pts, -pts], base).tolist() == [
        rounded(pts * base * TICKS_PER_SECOND),
        rounded(-pts * base * TICKS_PER_SECOND),
    ]


def test_without_timestamps_there_are_no_ticks():
    assert from_pts([], Fraction(1, 90_000)).tolist() == []


def test_a_missing_timestamp_of_ffmpeg_is_refused():
    with pytest.raises(ShapeError, match=r"are beyond the range of the clock; leave out frames without a timestamp"):
        from_pts([0, -(2**63)], Fraction(1, 90_000))
    with pytest.raises(ShapeError, match=r"are beyond the range of the clock; leave out frames without a timestamp"):
        tick_of(-(2**63), Fraction(1, 90_000))


def test_timestamps_that_are_floats_are_refused():
    with pytest.raises(ShapeError, match=r"timestamps have type float64; give integers"):
        from_pts([0.5, 1.9], Fraction(1, 30))


# What a timeline refuses


def test_different_numbers_of_starts_and_ends_are_refused():
    with pytest.raises(ShapeError, match=r"^Timeline: 2 starts, but 1 ends; give one end for each start\.$"):
        Timeline(np.array([0, 1]), np.array([1]))


@pytest.mark.parametrize("end", [2, 1])
def test_an_interval_that_does_not_end_after_its_start_is_named(end):
    with pytest.raises(ShapeError, match=rf"^Timeline: interval 1 ends at {end}, not after its start 2\.$"):
        line((0, 2), (2, end), (3, 4))


@pytest.mark.parametrize("intervals", [((1, 4), (0, 5)), ((0, 5), (1, 4))])
def test_unsorted_intervals_are_refused(intervals):
    with pytest.raises(ShapeError, match=r"not sorted by time; sort them first"):
        line(*intervals)


def test_seconds_in_place_of_ticks_are_refused():
    with pytest.raises(ShapeError, match=r"start has shape \(2,\) and type float64; give one row of integer ticks"):
        Timeline(np.array([0.0, 0.5]), np.array([1, 2]))


def test_a_two_dimensional_array_is_refused():
    with pytest.raises(ShapeError, match=r"end has shape \(1, 2\)"):
        Timeline(np.array([0, 1]), np.array([[1, 2]]))


def test_intervals_may_overlap_repeat_and_leave_gaps():
    intervals = [(0, 5), (0, 5), (2, 6), (100, 101)]
    assert list(line(*intervals)) == intervals


# A timeline as a value


def test_a_timeline_copies_its_arrays():
    start, end = np.array([0, 10]), np.array([10, 20])
    result = Timeline(start, end)
    start[0], end[1] = -7, 99
    assert list(result) == [(0, 10), (10, 20)]


@pytest.mark.parametrize("name", ["start", "end"])
def test_the_arrays_of_a_timeline_are_read_only(name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(line((0, 1)), name)[0] = 5


def test_timelines_of_the_same_intervals_are_equal():
    assert line((0, 1), (1, 3)) == Timeline(np.array([0, 1], np.int32), np.array([1, 3], np.uint8))


@pytest.mark.parametrize("other", [line((0, 1)), line((0, 1), (1, 4)), line((0, 1), (0, 3)), Timeline.empty(), "x"])
def test_timelines_of_different_intervals_are_not_equal(other):
    assert line((0, 1), (1, 3)) != other


def test_a_timeline_has_no_hash():
    with pytest.raises(TypeError, match="unhashable"):
        hash(line((0, 1)))


def test_selecting_rows_returns_a_timeline():
    whole = line((0, 1), (1, 3), (3, 4))
    assert whole[1:] == line((1, 3), (3, 4))
    assert whole[np.array([True, False, True])] == line((0, 1), (3, 4))


def test_the_repr_of_a_timeline_has_its_extent_in_seconds():
    assert repr(line((0, ticks(0.25)), (ticks(1), ticks(2.5)))) == "Timeline(2 intervals, 0.000 s to 2.500 s)"
    assert repr(Timeline.empty()) == "Timeline(0 intervals)"


# Steps and windows


@settings(deadline=None)
@given(rates, st.integers(0, 3_000), st.integers(0, 10**9), st.integers(-(10**12), 10**12))
def test_steps_of_any_rate_tile_the_time_without_gap_or_overlap(rate, count, rest, start):
    end = start + int(count * period(rate)) + int(rest % period(rate))
    steps = Timeline.steps(rate, start=start, end=end)
    bounds = [*steps.start.tolist(), end]
    assert steps.end.tolist() == bounds[1:]
    assert bounds[0] == start


@settings(deadline=None)
@given(rates, st.integers(1, 500), st.integers(0, 10**9))
def test_every_step_starts_at_its_number_times_the_period(rate, count, rest):
    end = int(count * period(rate)) + int(rest % period(rate)) + 1
    steps = Timeline.steps(rate, end=end)
    assert steps.start.tolist() == [floor(n * period(rate)) for n in range(len(steps))]
    assert len(steps) * period(rate) >= end > (len(steps) - 1) * period(rate)


@pytest.mark.parametrize("rate", [29.970029, Fraction(30_000_019, 1_000_003)], ids=str)
def test_two_hours_of_a_rate_that_does_not_divide_the_clock_are_tiled(rate):
    # period.denominator ** 2 * frames is beyond int64.
    steps = Timeline.steps(rate, end=ticks(7200))
    assert np.array_equal(steps.start[1:], steps.end[:-1])
    assert steps.end[-1] == ticks(7200)


def test_the_end_of_another_timeline_is_accepted_as_end():
    frames = Timeline.steps(Fraction(30_000, 1001), end=ticks(100_000))
    rate = Fraction(29_970_029, 1_000_000)  # the NumPy integer end times this denominator is beyond int64
    assert Timeline.steps(rate, end=frames.end[-1]) == Timeline.steps(rate, end=int(frames.end[-1]))


def test_an_hour_of_ntsc_video_has_107_893_frames():
    steps = Timeline.steps(Fraction(30_000, 1001), end=ticks(3600))
    assert len(steps) == 107_893  # 107,892.1 periods
    assert steps.start[-1] == 107_892 * 23_543_520


fractions_of_ticks = st.builds(lambda n, d: max(Fraction(n, d), Fraction(1)), st.integers(1, 10**6), st.integers(1, 99))


@settings(deadline=None)
@given(fractions_of_ticks, fractions_of_ticks, st.integers(-1000, 1000), st.integers(0, 2000))
def test_windows_equal_those_of_a_slow_loop(width, step, start, length):
    end, slow, n = start + length, [], 0
    while n * step < length:
        slow.append((start + floor(n * step), min(start + floor(n * step + width), end)))
        n += 1
    assert list(Timeline.windows(width, step, start=start, end=end)) == slow


def test_windows_of_denominators_beyond_int64_equal_those_of_a_slow_loop():
    width, step = Fraction(10**12 + 39, 10**11 + 3), Fraction(10**11 + 19, 10**10 + 33)
    slow = [(floor(n * step), min(floor(n * step + width), 50)) for n in range(6)]
    assert list(Timeline.windows(width, step, end=50)) == slow


@pytest.mark.parametrize(("width", "step"), [(0, 1), (1, 0), (Fraction(1, 2), 1), (5, -1)])
def test_windows_below_one_tick_are_refused(width, step):
    with pytest.raises(ShapeError, match=r"windows of .* every .* ticks: both must be at least one tick"):
        Timeline.windows(width, step, end=10)


@pytest.mark.parametrize("end", [5, 4, -3])
def test_without_time_there_are_no_windows(end):
    assert Timeline.windows(2, 1, start=5, end=end) == Timeline.empty()


# Moments


def test_at_returns_the_last_interval_that_contains_the_time():
    overlapping = line((0, 10), (5, 15), (20, 30))
    assert [overlapping.at(t) for t in (-1, 0, 4, 5, 9, 14, 15, 19, 20, 29, 30)] == [
        *(-1, 0, 0, 1, 1, 1, -1, -1, 2, 2, -1)
    ]


def test_an_empty_timeline_contains_no_time():
    assert Timeline.empty().at(0) == -1


ordered = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12).map(
    lambda moves: line(
        *(
            (int(s), int(e))
            for s, e in zip(
                np.cumsum([a for a, _ in moves]),
                np.cumsum([a for a, _ in moves]) + 1 + np.cumsum([b for _, b in moves]),
                strict=True,
            )
        )
    )
)


@given(ordered, st.integers(-2, 80))
def test_at_equals_the_last_match_of_a_slow_loop(timeline, time):
    assert timeline.at(time) == max((n for n, (s, e) in enumerate(timeline) if s <= time < e), default=-1)


@given(ordered, ordered)
def test_members_are_the_moments_that_start_in_each_interval(windows, moments):
    for (start, end), first, last in zip(windows, *windows.members(moments), strict=True):
        assert list(range(first, last)) == [n for n, s in enumerate(moments.start) if start <= s < end]


@settings(deadline=None)
@given(rates, rates, st.floats(0.01, 5))
def test_tiling_windows_contain_each_frame_once_for_any_two_rates(window_rate, frame_rate, length):
    frame_rate, window_rate = min(frame_rate, Fraction(500)), min(window_rate, Fraction(500))
    frames = Timeline.steps(frame_rate, end=ticks(length))
    first, last = Timeline.steps(window_rate, end=ticks(length)).members(frames)
    assert [n for a, b in zip(first, last, strict=True) for n in range(a, b)] == list(range(len(frames)))


@given(st.lists(st.integers(0, ticks(10) - 1), unique=True, max_size=50), rates.map(lambda r: min(r, Fraction(100))))
def test_tiling_windows_contain_each_frame_once_for_variable_timestamps(starts, rate):
    starts = sorted(starts)
    frames = Timeline(np.array(starts, int), np.array([*starts[1:], ticks(10)][: len(starts)], int))
    first, last = Timeline.steps(rate, end=ticks(10)).members(frames)
    assert [n for a, b in zip(first, last, strict=True) for n in range(a, b)] == list(range(len(frames)))
