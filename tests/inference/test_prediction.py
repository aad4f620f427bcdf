from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from emofuse.analysis.statistics import StatisticsSettings, describe
from emofuse.core.labels import AFFWILD2, LabelSet
from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Scores
from emofuse.errors import OutputError, SettingsError
from emofuse.export import read_results
from emofuse.inference.prediction import Prediction
from emofuse.inference.speakers import SpeechRows

LABELS = LabelSet(("calm", "cross"))


@pytest.fixture
def prediction() -> Prediction:
    """Two persons, four steps of 0.5 s; the second is found in the last two only."""
    timeline = Timeline.steps(2, end=ticks(2))
    both = np.array([[3, 1], [3, 1], [1, 4], [0, 0]], np.float32)
    first = Scores(both, timeline, LABELS, np.array([True, True, True, False]), "x")
    second = Scores(both[::-1].copy(), timeline, LABELS, np.array([False, False, True, True]), "x")
    metadata = {"bundle": "b 1", "detector": "default", "warnings": []}
    return Prediction("two, people.mp4", timeline, np.array([-1, 0, 7, 15]), LABELS, {1: first, 2: second}, metadata)


def test_the_table_has_every_person_at_every_step_in_order(prediction):
    table = prediction.table()
    assert table.columns.tolist() == [
        *("file", "person", "start", "end", "frame", "status", "calm", "cross", "emotion", "confidence"),
        *("x", "y", "width", "height", "detector_score", "yaw", "pitch", "roll"),
    ]
    assert table.person.tolist() == [1] * 4 + [2] * 4
    assert table.start.tolist() == [0, 0.5, 1, 1.5] * 2
    assert table.end.tolist() == [0.5, 1, 1.5, 2] * 2
    assert prediction.rows == len(table) == 8


def test_probabilities_sum_to_one_where_there_is_a_face(prediction):
    table = prediction.table()
    assert table.loc[table.status == "ok", ["calm", "cross"]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-6)


def test_at_returns_the_emotion_of_each_person_at_a_time(prediction):
    first, second = prediction.at(1.25)
    assert (first.person, first.status, first.emotion) == (1, "ok", "cross")
    assert first.confidence == pytest.approx(0.8)
    assert (second.person, second.emotion) == (2, "calm")


def test_at_states_who_speaks(prediction):
    speech = {1: SpeechRows(np.array([0, 0, 0.9, 0]), np.array([1, 1, 0.75, 1]))}
    spoken = replace(prediction, modality_names=("face", "voice"), speech=speech)
    first, second = spoken.at(1.25)
    assert (first.speaking, first.voice_weight) == (0.9, 0.75)
    assert (second.speaking, second.voice_weight) == (None, None)
    assert prediction.at(1.25)[0].speaking is None


def test_at_is_empty_outside_the_video(prediction):
    assert prediction.at(2.0) == []
    assert prediction.at(-0.1) == []


def test_at_distinguishes_a_face_not_found_from_a_time_before_the_first_frame(prediction):
    assert prediction.at(0.1)[1].status == "no_frame"
    assert prediction.at(0.6)[1].status == "no_face"


def test_segments_merge_equal_neighbours(prediction):
    assert [(s.person, s.start, s.end, s.status, s.emotion) for s in prediction.segments()] == [
        (1, 0.0, 1.0, "ok", "calm"),
        (1, 1.0, 1.5, "ok", "cross"),
        (1, 1.5, 2.0, "no_face", None),
        (2, 0.0, 0.5, "no_frame", None),
        (2, 0.5, 1.0, "no_face", None),
        (2, 1.0, 2.0, "ok", "calm"),
    ]


def test_an_unknown_extension_is_refused_with_the_nearest(prediction, tmp_path):
    with pytest.raises(SettingsError, match=r"did you mean '\.parquet'"):
        prediction.save(tmp_path / "t.parqet")


def test_a_path_that_cannot_be_written_is_one_line(prediction, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another"):
        prediction.save(tmp_path / "file" / "t.csv")


@pytest.mark.parametrize("extension", ["csv", "parquet", "json"])
def test_an_empty_prediction_is_written_too(extension, tmp_path):
    empty = Prediction.empty("x.mp4")
    assert empty.save(tmp_path / f"t.{extension}").stat().st_size > 0
    assert empty.table().columns.tolist()[6:13] == list(AFFWILD2.names)
    assert empty.segments() == []


def test_statistics_of_a_prediction_and_of_its_table_are_the_same(prediction, tmp_path):
    (tmp_path / "events.csv").write_text("name,start,end\nfirst,0,1\n")
    table = prediction.stats(tmp_path / "events.csv", baseline="person-mean")
    calm = table[(table["person"] == 1) & (table["emotion"] == "calm")].iloc[0]
    assert (calm["event"], calm["rows"], calm["mean"]) == ("first", 2, 0.75)
    assert calm["baseline"] == pytest.approx((0.75 + 0.75 + 0.2) / 3)
    read = describe(read_results([prediction.save(tmp_path / "t.parquet")]), settings=StatisticsSettings())
    pd.testing.assert_frame_equal(read, prediction.stats(), check_dtype=False)
