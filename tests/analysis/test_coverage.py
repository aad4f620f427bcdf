from __future__ import annotations

import pytest

from emofuse.analysis.coverage import check_coverage
from emofuse.analysis.events import Event
from emofuse.analysis.statistics import Baseline
from emofuse.analysis.synchrony import SynchronySettings
from emofuse.errors import DataError, SettingsError
from support.result_tables import result

ROW = [0.6, 0.3, 0.1]
SHORT, LONG = result({1: [ROW] * 4}, file="short.mp4"), result({1: [ROW] * 60, 2: [ROW] * 60}, file="long.mp4")


def test_nothing_is_said_of_what_lies_within():
    events = [Event("a", 0, 1), Event("b", 3.5, 10), Event("all"), Event("point", 0, 0)]
    assert check_coverage([SHORT, LONG], events, baseline=Baseline(3, 9), pairs=SynchronySettings()) == []
    assert check_coverage([SHORT], baseline=Baseline()) == []


def test_a_baseline_outside_of_every_file_is_one_line_and_outside_of_some_a_note():
    with pytest.raises(SettingsError, match=r"--baseline: the baseline \(60 to 70 s\) lies outside short\.mp4 "):
        check_coverage([SHORT, LONG], baseline=Baseline(60, 70))
    (note,) = check_coverage([SHORT, LONG], baseline=Baseline(4, 10))
    assert note == "the baseline (4 to 10 s) lies outside short.mp4 (0 to 4 s), so there are no changes."


def test_events_outside_of_every_file_are_one_line_and_outside_of_some_a_note():
    late = Event("late", 70, 80)
    with pytest.raises(DataError, match=r"none lies within its file: late \(70 to 80 s\) is outside short\.mp4"):
        check_coverage([SHORT, LONG], [late])
    (note,) = check_coverage([SHORT, LONG], [Event("a", 0, 1), Event("b", 5, 6)])
    assert note == "events without rows: b (5 to 6 s) is outside short.mp4 (0 to 4 s)."
    assert check_coverage([SHORT, LONG], [Event("b", 5, 6, file="long.mp4")]) == []


def test_many_events_outside_are_counted():
    (note,) = check_coverage([SHORT], [Event("a", 0, 1), *(Event(f"e{n}", 10 + n, 20) for n in range(5))])
    assert note.endswith("e2 (12 to 20 s) is outside short.mp4 (0 to 4 s) and 2 more.")


def test_synchrony_of_one_person_is_one_line_and_a_window_longer_than_the_file_a_note():
    with pytest.raises(SettingsError, match="--synchrony: no result has two persons; leave it out"):
        check_coverage([SHORT], pairs=SynchronySettings())
    (note,) = check_coverage([SHORT, LONG], pairs=SynchronySettings(window_seconds=100))
    assert note == "windows of 100 s are longer than long.mp4 (0 to 60 s); give a shorter --window."


def test_results_without_rows_are_left_out():
    assert check_coverage([result({None: []})], [Event("a", 0, 1)], baseline=Baseline(5, 6)) == []
