"""Timestamps of live sources that jump, restart or are missing."""

from __future__ import annotations

import pytest

from emofuse.core.time import ticks
from emofuse.media import live_clock
from emofuse.media.live_clock import SourceClock, Stamp, WallClock

FRAME = ticks(0.04)


class Clockwork:
    """A wall clock that tests move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = ticks(500)
        monkeypatch.setattr(live_clock, "_now", lambda: self.now)
        self.wall = WallClock()


@pytest.fixture
def clockwork(monkeypatch) -> Clockwork:
    return Clockwork(monkeypatch)


def stamp(seconds: float | None) -> Stamp:
    return Stamp(None if seconds is None else ticks(seconds), FRAME)


def times(clockwork: Clockwork, *arrivals: tuple[float, float | None]) -> list[float | None]:
    """Times in seconds of stamps by their moment of arrival."""
    clock, found = SourceClock(clockwork.wall), []
    for moment, seconds in arrivals:
        clockwork.now = ticks(500 + moment)
        time = clock.time(0, stamp(seconds))
        found.append(None if time is None else pytest.approx(time / ticks(1), abs=1e-6))
    return found


def test_the_first_timestamp_is_time_0_and_the_others_keep_their_distance(clockwork):
    assert times(clockwork, (0, 90), (0.3, 90.1), (0.31, 90.2)) == [0, 0.1, 0.2]


def test_a_loss_is_a_gap_as_long_as_it_lasted(clockwork):
    assert times(clockwork, (0, 90), (0.1, 90.1), (7.2, 97.2)) == [0, 0.1, 7.2]


def test_a_sender_that_starts_anew_continues_at_the_moment_of_its_arrival(clockwork):
    assert times(clockwork, (0, 90), (1, 91), (6, 0), (7, 1)) == [0, 1, pytest.approx(5.96), pytest.approx(6.96)]


@pytest.mark.parametrize("jump", [-95_443, -30, 40, 95_443])
def test_timestamps_that_jump_leave_no_gap_that_was_none(clockwork, jump):
    found = times(clockwork, (0, 90), (1, 91), (1.04, 91.04 + jump), (1.08, 91.08 + jump))
    assert found == [0, 1, pytest.approx(1.04, abs=0.05), pytest.approx(1.08, abs=0.05)]


def test_frames_without_timestamps_have_the_time_of_their_arrival(clockwork):
    assert times(clockwork, (0, None), (0.1, None), (0.2, None)) == [0, 0.06, 0.16]


def test_a_frame_out_of_order_has_no_time(clockwork):
    assert times(clockwork, (0, 90), (0.1, 90.1), (0.1, 90.02), (0.2, 90.2)) == [0, 0.1, None, 0.2]


def test_a_burst_after_a_stall_keeps_its_times(clockwork):
    assert times(clockwork, (0, 90), (4, 90.04), (4, 90.08), (4.01, 94)) == [0, 0.04, 0.08, 4]


def test_both_streams_of_a_source_follow_one_jump(clockwork):
    clock = SourceClock(clockwork.wall)
    clock.time(0, stamp(90))
    clock.time(1, stamp(90.01))
    clockwork.now += ticks(1)
    video = clock.time(0, stamp(3))
    audio = clock.time(1, stamp(3.01))
    assert audio - video == ticks(0.01)


def test_a_source_that_was_opened_again_continues_after_what_it_brought(clockwork):
    clock = SourceClock(clockwork.wall)
    first = [clock.time(0, stamp(90 + n / 25)) for n in range(25)]
    clockwork.now += ticks(3)
    clock.restart()
    assert clock.time(0, stamp(90)) == ticks(3) - FRAME
    assert clock.time(0, stamp(90.04)) == ticks(3)
    assert first[-1] == ticks(0.96)


def test_a_file_has_the_times_of_its_timestamps_and_keeps_breaks_up_to_a_minute():
    clock = SourceClock(None, ticks(10))
    found = [clock.time(0, stamp(s)) / ticks(1) for s in (10, 10.5, 40, 4000, 4000.04)]
    assert found == pytest.approx([0, 0.5, 30, 30.04, 30.08])


def test_a_clock_that_is_held_plays_a_file_more_slowly(clockwork):
    clockwork.wall.start()
    clockwork.now += ticks(5)
    clockwork.wall.hold(ticks(2))
    assert clockwork.wall() == ticks(3)
