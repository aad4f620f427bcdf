"""Runs of a live session, fed by sources that tests write down."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from emofuse.core.time import seconds, ticks
from emofuse.inference import live_run
from emofuse.inference.live import LiveSession
from emofuse.inference.live_run import LiveRun, source_settings
from emofuse.media.audio import AudioBlock
from emofuse.media.live import Arrival
from emofuse.media.video import Frame
from support.fused_bundles import RATE, image_of, predictor, write_bundle
from support.speech_bundles import tone


class Written:
    """A source of given arrivals; each is read at the moment it arrives."""

    def __init__(self, arrivals: list[Arrival]) -> None:
        self._arrivals = arrivals
        self.now = self.frames_end = self.dropped = 0
        self.closed = False

    def arrivals(self) -> Iterator[Arrival]:
        for arrival in self._arrivals:
            self.now = arrival.time + ticks(0.05)
            if arrival.frame is not None:
                self.frames_end = arrival.frame.end
            yield arrival

    def close(self) -> None:
        self.closed = True


def frame(number: int) -> Arrival:
    start = number * ticks(0.2)
    found = Frame.from_rgb(image_of(150, 0), index=number, start=start, end=start + ticks(0.2))
    return Arrival(start, frame=found)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("both"), {"face": 0.6, "voice": 0.4})


@pytest.fixture
def session(bundle) -> LiveSession:
    return LiveSession(predictor(bundle))


def rows_of(run: LiveRun) -> pd.DataFrame:
    updates = [event.update for event in run.events() if event.update is not None]
    return pd.concat([u.rows for u in updates if u.rows is not None], ignore_index=True)


def test_a_run_ends_with_its_source_and_all_rows(session):
    source = Written([frame(n) for n in range(30)])
    run = LiveRun(session, source)
    assert rows_of(run).end.max() == 6
    assert source.closed
    assert (run.state.frames, run.state.latency) == (30, pytest.approx(0.05))


def test_a_run_ends_where_the_time_is_up(session):
    run = LiveRun(session, Written([frame(n) for n in range(60)]), until=ticks(3))
    assert rows_of(run).end.max() == 3


def test_a_run_that_is_stopped_ends_with_the_rows_so_far(session):
    run = LiveRun(session, Written([frame(n) for n in range(60)]))
    rows = []
    for n, event in enumerate(run.events()):
        if n == 20:
            run.stop()
        if event.update is not None and event.update.rows is not None:
            rows.append(event.update.rows)
    assert pd.concat(rows).end.max() == pytest.approx(4.3, abs=0.11)


@pytest.mark.parametrize(("spoken", "end"), [(5, 4), (6, 6)])
def test_audio_that_outlasts_the_frames_by_a_second_or_less_adds_no_rows(session, spoken, end):
    sound = AudioBlock(tone(2, spoken, 0), 0, RATE)
    run = LiveRun(session, Written([*(frame(n) for n in range(20)), Arrival(ticks(4), audio=sound)]))
    assert rows_of(run).end.max() == end


def test_rows_go_on_while_nothing_arrives(session):
    waiting = [Arrival(ticks(4 + n)) for n in range(30)]
    run, reached = LiveRun(session, Written([*(frame(n) for n in range(20)), *waiting])), 0.0
    for event in run.events():
        if event.update is not None and event.update.rows is not None and seconds(run.state.time) < 23:
            reached = event.update.rows.end.max()
    assert reached > 15


@pytest.mark.parametrize(("until", "waits"), [(3, 10), (30, 30)])
def test_a_run_with_a_limit_ends_though_no_data_arrives(session, monkeypatch, until, waits):
    source, clock = Written([Arrival(0)] * 100), itertools.count()  # each look at the clock takes a second
    monkeypatch.setattr(live_run, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    (closed,) = LiveRun(session, source, until=ticks(until)).events()
    assert closed.update is not None
    assert closed.update.rows is None
    assert source.closed
    assert next(clock) == waits + 1


def test_notices_are_passed_on(session):
    run = LiveRun(session, Written([Arrival(0, notice="lost"), frame(0)]))
    assert [event.notice for event in run.events() if event.notice] == ["lost"]


def test_frames_between_those_that_are_processed_are_read_only_to_find_out_who_speaks(session):
    settings = source_settings(session, turn=90)
    starts = [n * ticks(0.04) for n in range(11)]
    assert [settings.wanted(start) for start in starts] == [n % 5 == 0 for n in range(11)]
    assert [settings.shown(start) for start in starts] == [session.follows_mouths and n % 2 == 0 for n in range(11)]
    assert settings.turn == 90
