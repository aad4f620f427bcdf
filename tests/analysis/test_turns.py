"""Turns of persons, and their statistics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from emofuse.analysis.events import Event
from emofuse.analysis.person_rows import person_rows
from emofuse.analysis.statistics import describe
from emofuse.analysis.turns import find_turns
from emofuse.export import ResultTable
from support.result_tables import result


def talk(speaking: list[float | None], step: float = 0.2) -> ResultTable:
    """One person with these probabilities of speaking."""
    table = result({1: [[0.6, 0.3, 0.1]] * len(speaking)}, step=step)
    values = np.array([np.nan if value is None else value for value in speaking])
    return replace(table, blocks=[block.assign(speaking=values) for block in table.blocks])


def turns(speaking: list[float | None]) -> list[tuple[float, float]] | None:
    (person,) = person_rows([talk(speaking)])
    found = find_turns(person)
    return None if found is None else [(round(turn.start, 6), round(turn.end, 6)) for turn in found]


def test_rows_in_which_a_person_probably_speaks_are_a_turn():
    assert turns([0.1, 0.9, 0.5, 0.7, 0.49]) == [(0.2, 0.8)]


def test_short_pauses_belong_to_a_turn_and_long_ones_part_two():
    assert turns([1, 1, 0, 0, 0, 1, 1]) == [(0, 1.4)]
    assert turns([1, 1, 0, 0, 0, 0, 1, 1]) == [(0, 0.4), (1.2, 1.6)]


def test_a_short_moment_is_no_turn():
    assert turns([0, 0, 1, 0, 0, 0, 0, 0]) == []


def test_unknown_rows_are_a_pause_and_without_any_known_row_there_is_no_answer():
    assert turns([1, 1, None, 1, 1]) == [(0, 1.0)]
    assert turns([None, None]) is None


def test_results_of_earlier_versions_have_no_turns():
    (person,) = person_rows([result({1: [[0.6, 0.3, 0.1]] * 3})])
    assert find_turns(person) is None
    table = describe([result({1: [[0.6, 0.3, 0.1]] * 3})])
    assert table[["speaking_seconds", "turns", "mean_turn"]].isna().all(axis=None)


def test_statistics_have_talk_time_and_turns_by_event():
    speaking = [1.0] * 10 + [0.0] * 10 + [1.0] * 5 + [0.0] * 5
    events = [Event("first", 0, 1), Event("rest", 1, 6)]
    table = describe([talk(speaking)], events).drop_duplicates("event").set_index("event")
    assert table.speaking_seconds.tolist() == pytest.approx([1, 2])
    assert table.turns.tolist() == [1, 2]
    assert table.mean_turn.tolist() == pytest.approx([1, 1])


def test_who_does_not_speak_has_no_mean_turn():
    row = describe([talk([0.0] * 5)]).iloc[0]
    assert (row.speaking_seconds, row.turns) == (0, 0)
    assert pd.isna(row.mean_turn)
