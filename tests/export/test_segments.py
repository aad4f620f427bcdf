"""Segments of the rows of one person, worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from emofuse.errors import SettingsError
from emofuse.export import SegmentSettings, find_segments

LABELS = ("calm", "cross")


def rows(calm: list[float | None], *, statuses: list[str] | None = None, step: float = 0.2) -> pd.DataFrame:
    """Rows every `step` seconds of a person whose probability of calm is given; None: no face."""
    n, values = len(calm), np.array([np.nan if c is None else c for c in calm])
    status = statuses or ["no_face" if c is None else "ok" for c in calm]
    emotion = [None if c is None else "calm" if c >= 0.5 else "cross" for c in calm]
    columns = {
        "person": pd.array([1] * n, dtype="Int64"),
        "start": np.arange(n) * step,
        "end": np.arange(1, n + 1) * step,
    }
    return pd.DataFrame({**columns, "status": status, "calm": values, "cross": 1 - values, "emotion": emotion})


def found(table: pd.DataFrame, **settings: float) -> list[tuple[str | None, float, float]]:
    segments = find_segments(table, LABELS, SegmentSettings(**settings))
    return [(s.emotion, round(s.start, 6), round(s.end, 6)) for s in segments]


def test_every_change_of_emotion_or_status_begins_a_segment():
    table = rows([0.9, 0.9, 0.4, None, 0.9])
    assert found(table) == [("calm", 0, 0.4), ("cross", 0.4, 0.6), (None, 0.6, 0.8), ("calm", 0.8, 1.0)]


def test_the_confidence_is_the_mean_probability_of_the_emotion():
    (segment,) = find_segments(rows([0.9, 0.7]), LABELS)
    assert segment.confidence == pytest.approx(0.8)


def test_with_hysteresis_an_emotion_lasts_until_another_one_is_clearly_more_probable():
    table = rows([0.9, 0.45, 0.55, 0.45, 0.2, 0.55])
    assert found(table, hysteresis=0.3) == [("calm", 0, 0.8), ("cross", 0.8, 1.2)]
    first, _ = find_segments(table, LABELS, SegmentSettings(hysteresis=0.3))
    assert first.confidence == pytest.approx((0.9 + 0.45 + 0.55 + 0.45) / 4)


def test_hysteresis_begins_anew_after_a_gap():
    assert found(rows([0.9, None, 0.45]), hysteresis=0.5)[-1] == ("cross", 0.4, 0.6)


def test_near_segments_of_one_emotion_are_merged_over_what_is_between():
    table = rows([0.9, None, 0.7, 0.2, 0.2, 0.8])
    assert found(table, merge_seconds=0.2) == [("calm", 0, 0.6), ("cross", 0.6, 1.0), ("calm", 1.0, 1.2)]
    (whole,) = find_segments(table, LABELS, SegmentSettings(merge_seconds=0.4))
    assert (whole.start, round(whole.end, 6)) == (0, 1.2)
    assert whole.confidence == pytest.approx((0.9 + 0.7 + 0.8) / 3)


def test_segments_of_different_status_are_not_merged():
    table = rows([0.9, 0.9], statuses=["ok", "voice_only"])
    assert len(found(table, merge_seconds=5)) == 2


def test_short_segments_are_left_out_and_exact_ones_kept():
    table = rows([0.9, 0.9, 0.9, 0.2, None])
    assert found(table, min_seconds=0.6) == [("calm", 0, 0.6), (None, 0.8, 1.0)]


def test_merging_comes_before_the_minimum():
    assert found(rows([0.9, None, 0.9]), min_seconds=0.5, merge_seconds=0.3) == [("calm", 0, 0.6)]


def test_an_uncertain_segment_has_the_confidence_of_the_most_probable_class():
    table = rows([0.55, 0.45])
    table["emotion"] = "uncertain"
    (segment,) = find_segments(table, LABELS, SegmentSettings(hysteresis=0.5))
    assert (segment.emotion, segment.confidence) == ("uncertain", pytest.approx(0.55))


def test_a_gap_between_rows_ends_a_segment():
    assert found(rows([0.9, 0.9, 0.9]).drop(index=1)) == [("calm", 0, 0.2), ("calm", 0.4, 0.6)]


def test_no_rows_have_no_segments():
    assert found(rows([])) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("min_seconds", -1, "--min-segment -1: give a number of seconds, 0 or more"),
        ("merge_seconds", float("nan"), "--merge-segments nan: give a number of seconds"),
        ("hysteresis", 1.5, "--hysteresis 1.5: give a number from 0 to 1"),
    ],
)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(SettingsError, match=message):
        SegmentSettings(**{name: value})


def test_settings_are_stated_in_words():
    assert str(SegmentSettings(0.5, 0.1, 0.3)) == (
        "segments of at least 0.5 s, hysteresis 0.1, merged over at most 0.3 s"
    )
