from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from emofuse.analysis.events import Event
from emofuse.analysis.statistics import Baseline, StatisticsSettings, describe
from emofuse.errors import DataError, SettingsError
from emofuse.export import SegmentSettings
from support.result_tables import LABELS, result

# Four seconds of one person; nothing in the third. Happiness 0.6, 0.2, -, 0.8; valence 0.3, -0.5, -, 0.7.
ROWS = [[0.6, 0.3, 0.1], [0.2, 0.1, 0.7], None, [0.8, 0.1, 0.1]]


def of(table: pd.DataFrame, emotion: str = "happiness", **where: object) -> pd.Series:
    rows = table[table["emotion"] == emotion]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    (row,) = (row for _, row in rows.iterrows())
    return row


def test_statistics_of_a_whole_file_by_hand():
    table = describe([result({1: ROWS})], settings=StatisticsSettings(threshold=0.5))
    assert table["emotion"].tolist() == [*LABELS, "valence"]
    row = of(table)
    assert (row["event"], row["event_start"], row["event_end"]) == ("whole", 0, 4)
    assert row["mean"] == pytest.approx(1.6 / 3)
    assert (row["minimum"], row["maximum"], row["time_to_maximum"]) == (0.2, 0.8, 3)
    assert row["fraction_above"] == pytest.approx(2 / 3)
    assert row["area"] == pytest.approx(1.6)
    assert (row["segments"], row["segment_seconds"], row["longest_segment"]) == (2, 2, 1)
    assert (row["seconds"], row["rows"], row["rows_left_out"]) == (3, 3, 1)


def test_valence_is_happiness_minus_the_strongest_negative_emotion():
    row = of(describe([result({1: ROWS})]), "valence")
    assert row["mean"] == pytest.approx((0.3 - 0.5 + 0.7) / 3)
    assert (row["minimum"], row["maximum"]) == (pytest.approx(-0.5), pytest.approx(0.7))
    assert pd.isna(row["segments"])


def test_a_row_counts_for_the_part_of_it_that_lies_in_the_event():
    row = of(describe([result({1: ROWS})], [Event("joke", 0.5, 1.25)]))
    assert row["mean"] == pytest.approx((0.5 * 0.6 + 0.25 * 0.2) / 0.75)
    assert row["area"] == pytest.approx(0.35)
    assert (row["time_to_maximum"], row["segment_seconds"]) == (0, 0.5)


def test_means_equal_those_of_pandas_over_rows_of_equal_length():
    rng = np.random.default_rng(0)
    values = rng.dirichlet(np.ones(3), 200).round(6)
    table = describe([result({1: values.tolist()}, step=0.2)], [Event("middle", 8.0, 30.0)])
    inside = pd.DataFrame(values, columns=LABELS).iloc[40:150]
    for emotion in LABELS:
        row = of(table, emotion)
        assert row["mean"] == pytest.approx(inside[emotion].mean())
        assert row["maximum"] == inside[emotion].max()
        assert row["time_to_maximum"] == pytest.approx((inside[emotion].idxmax() - 40) * 0.2)
        assert row["fraction_above"] == pytest.approx((inside[emotion] >= 0.5).mean())
        runs = (inside.idxmax(axis=1) != inside.idxmax(axis=1).shift()).cumsum()
        assert row["segments"] == runs[inside.idxmax(axis=1) == emotion].nunique()


def test_events_may_overlap_and_lie_outside():
    table = describe([result({1: ROWS})], [Event("a", 0, 2), Event("b", 1, 4), Event("late", 10, 12)])
    assert [of(table, event=e)["rows"] for e in ("a", "b", "late")] == [2, 2, 0]
    assert pd.isna(of(table, event="late")["mean"])
    assert of(table, event="late")["segments"] == 0


def test_an_event_without_times_is_the_whole_file_and_one_without_duration_the_row_at_it():
    table = describe([result({1: ROWS})], [Event("all"), Event("point", 1.0, 1.0), Event("after", 3.0)])
    assert [of(table, event=e)["rows"] for e in ("all", "point", "after")] == [3, 1, 1]
    assert of(table, event="point")["mean"] == 0.2


@pytest.mark.parametrize(
    ("text", "base"), [("0-1", 0.6), ("first 2s", 0.4), ("0:01-0:02", 0.2), ("person-mean", 1.6 / 3)]
)
def test_changes_from_a_baseline(text, base):
    settings = StatisticsSettings(baseline=Baseline.parse(text))
    row = of(describe([result({1: ROWS})], [Event("end", 3, 4)], settings))
    assert row["baseline"] == pytest.approx(base)
    assert [row[c] for c in ("mean_change", "maximum_change", "area_change")] == [pytest.approx(0.8 - base)] * 3


def test_a_baseline_without_scores_leaves_changes_missing():
    settings = StatisticsSettings(baseline=Baseline(2, 3))
    assert pd.isna(of(describe([result({1: ROWS})], settings=settings))["mean_change"])


def test_segments_follow_their_settings():
    settings = StatisticsSettings(segments=SegmentSettings(min_seconds=1.5))
    assert of(describe([result({1: ROWS})], settings=settings))["segments"] == 0


def test_a_result_without_a_person_and_one_without_scores():
    table = describe([result({None: ROWS}, file="voice.wav"), result({None: [None, None]}, file="empty.mp4")])
    assert table["person"].isna().all()
    assert of(table, file="voice.wav")["rows"] == 3
    assert of(table, file="empty.mp4")["rows_left_out"] == 2


def test_a_result_without_rows_has_statistics_without_values():
    assert of(describe([result({None: []})]))["rows"] == 0


def test_rows_without_duration_count_equally():
    still = result({1: [[0.6, 0.3, 0.1]]}, file="photo.jpg")
    blocks = [block.assign(end=block["start"]) for block in still.blocks]
    row = of(describe([replace(still, blocks=blocks)]))
    assert (row["mean"], row["rows"], row["seconds"], row["area"]) == (0.6, 1, 0, 0)


def test_results_of_one_name_are_told_apart():
    table = describe([result({1: ROWS}), result({1: ROWS})], [Event("e", 0, 1, file="talk")])
    assert table["file"].unique().tolist() == ["talk.mp4 (1)", "talk.mp4 (2)"]


def test_events_belong_to_their_file_and_keep_their_columns():
    events = [Event("a", 0, 1, "one.mp4", {"group": "x"}), Event("b", 0, 1, "C:\\videos\\two", {"group": "y"})]
    table = describe([result({1: ROWS}, file=f) for f in ("one.mp4", "two.mp4")], events)
    assert table[["file", "event", "group"]].drop_duplicates().to_numpy().tolist() == [
        ["one.mp4", "a", "x"],
        ["two.mp4", "b", "y"],
    ]


def test_events_of_other_files_and_columns_that_are_taken_are_one_line():
    with pytest.raises(DataError, match=r"they are in other\.mp4"):
        describe([result({1: ROWS})], [Event("a", file="other.mp4")])
    with pytest.raises(DataError, match="the column 'mean' is also"):
        describe([result({1: ROWS})], [Event("a", columns={"mean": "1"})])


def test_classes_without_happiness_have_no_valence():
    other = result({1: ROWS})
    blocks = [block.rename(columns={"happiness": "calm"}) for block in other.blocks]
    assert describe([replace(other, labels=("calm", *LABELS[1:]), blocks=blocks)])["emotion"].tolist() == [
        "calm",
        "anger",
        "sadness",
    ]


@pytest.mark.parametrize("text", ["10", "10-5", "first", "mean", "-3-4"])
def test_a_wrong_baseline_is_one_line(text):
    with pytest.raises(SettingsError, match=r"--baseline .*give START-END"):
        Baseline.parse(text)


def test_a_wrong_threshold_is_one_line():
    with pytest.raises(SettingsError, match="--threshold 5: give a probability"):
        StatisticsSettings(threshold=5)
