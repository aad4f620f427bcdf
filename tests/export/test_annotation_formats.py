"""Files for annotation tools, players and spreadsheets, read back by the field's own packages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pysrt
import pytest
import webvtt
from praatio import textgrid
from pympi.Elan import Eaf

from emofuse.core.labels import LabelSet
from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Scores
from emofuse.errors import SettingsError
from emofuse.export import ExportOptions, SegmentSettings, read_results
from emofuse.inference.prediction import PersonDetails, Prediction
from emofuse.inference.sentences import SentenceRows, SentenceScore

LABELS = LabelSet(("calm", "cross"))
ORIGIN = "bundle b 1; segments of at least 0.6 s, hysteresis 0, merged over at most 0 s"


@pytest.fixture
def prediction(tmp_path) -> Prediction:
    """Anna: calm from 0 to 1 s, cross to 1.5 s, no face to 2 s. Person 2: calm from 1.5 s on, without a name."""
    timeline = Timeline.steps(2, end=ticks(2))
    values = np.array([[3, 1], [3, 1], [1, 4], [0, 0]], np.float32)
    first = Scores(values, timeline, LABELS, np.array([True, True, True, False]), "x")
    second = Scores(np.full((4, 2), [3, 1], np.float32), timeline, LABELS, np.array([False, False, False, True]), "x")
    media = tmp_path / "talk <1>.mp4"
    media.touch()
    return Prediction(
        media.name,
        timeline,
        np.arange(4),
        LABELS,
        {1: first, 2: second},
        {"bundle": "b 1", "warnings": []},
        {1: PersonDetails(name='Anna "A"\n<b>')},
        with_names=True,
        media=media,
    )


@pytest.fixture
def long_only() -> ExportOptions:
    return ExportOptions(SegmentSettings(min_seconds=0.6))


def test_words_are_the_last_tier(prediction, tmp_path):
    sentences = (
        SentenceScore(0, ticks(1), 'Say "no".', "ok", None),
        SentenceScore(ticks(1), ticks(2), "Oh\x07?", "ok", None, "Ben"),
    )
    spoken = replace(prediction, words=SentenceRows(sentences, np.array([0, 0, 1, -1])))
    eaf = Eaf(str(spoken.save(tmp_path / "t.eaf")))
    words = [(0, 1000, 'Say "no".'), (1000, 1500, "Ben: Oh ?")]
    assert eaf.get_annotation_data_for_tier("words") == words
    grid = textgrid.openTextgrid(str(spoken.save(tmp_path / "t.TextGrid")), includeEmptyIntervals=False)
    assert grid.tierNames[-2:] == ("words", "emofuse")
    entries = grid.getTier("words").entries
    assert [(round(1000 * e.start), round(1000 * e.end), e.label) for e in entries] == words


def test_elan_has_a_tier_for_each_person(prediction, tmp_path):
    eaf = Eaf(str(prediction.save(tmp_path / "t.eaf")))
    anna, other = eaf.get_tier_names()
    assert (anna, other) == ('person 1 Anna "A" <b>', "person 2")
    assert eaf.get_annotation_data_for_tier(anna) == [(0, 1000, "calm"), (1000, 1500, "cross")]
    assert eaf.get_annotation_data_for_tier(other) == [(1500, 2000, "calm")]


def test_elan_links_the_media_and_states_the_settings(prediction, tmp_path, long_only):
    (tmp_path / "out").mkdir()
    eaf = Eaf(str(prediction.export(tmp_path / "out" / "t.eaf", "elan", long_only)))
    (media,) = eaf.media_descriptors
    assert media["RELATIVE_MEDIA_URL"] == "../talk <1>.mp4"
    assert media["MEDIA_URL"].endswith("talk%20%3C1%3E.mp4")
    assert media["MIME_TYPE"] == "video/mp4"
    assert dict(eaf.properties)["origin"].endswith(ORIGIN)


def test_elan_shows_the_probabilities_as_a_time_series(prediction, tmp_path):
    path = prediction.save(tmp_path / "t.eaf")
    series = pd.read_csv(tmp_path / "t_series.txt")
    assert series.columns.tolist()[0] == "seconds"
    assert series["seconds"].tolist() == [0, 0.5, 1, 1.5]
    assert series["person 2 calm"].tolist()[3] == 0.75
    assert series["person 2 calm"].isna().tolist() == [True, True, True, False]
    tracks = ElementTree.parse(tmp_path / "t_tsconf.xml").findall("tracksource/track")
    positions = {t.attrib["name"]: int(t.find("sample-position/pos").attrib["col"]) for t in tracks}
    assert {series.columns[column]: column for column in positions.values()} == positions
    assert {d["RELATIVE_LINK_URL"] for d in Eaf(str(path)).linked_file_descriptors} == {
        "./t_series.txt",
        "./t_tsconf.xml",
    }


def test_praat_tiers_are_filled_with_empty_intervals(prediction, tmp_path):
    path = prediction.save(tmp_path / "t.TextGrid")
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    assert grid.tierNames == ('person 1 Anna "A" <b>', "person 2", "emofuse")
    anna, other, origin = (grid.getTier(name).entries for name in grid.tierNames)
    assert [tuple(e) for e in anna] == [(0, 1, "calm"), (1, 1.5, "cross"), (1.5, 2, "")]
    assert [tuple(e) for e in other] == [(0, 1.5, ""), (1.5, 2, "calm")]
    assert "segments of at least 0 s" in origin[0].label
    assert grid.maxTimestamp == 2


def test_webvtt_has_a_voice_for_each_person(prediction, tmp_path):
    path = prediction.save(tmp_path / "t.vtt")
    cues = [(c.start, c.end, c.raw_text) for c in webvtt.read(path)]
    assert cues == [
        ("00:00:00.000", "00:00:01.000", '<v person 1 Anna "A" &lt;b&gt;>calm 0.75'),
        ("00:00:01.000", "00:00:01.500", '<v person 1 Anna "A" &lt;b&gt;>cross 0.80'),
        ("00:00:01.500", "00:00:02.000", "<v person 2>calm 0.75"),
    ]


def test_subtitles_of_srt_name_the_person_without_markup(prediction, tmp_path):
    cues = pysrt.open(str(prediction.save(tmp_path / "t.srt")))
    assert [(str(c.start), c.text) for c in cues][1:] == [
        ("00:00:01,000", 'person 1 Anna "A" (b): cross 0.80'),
        ("00:00:01,500", "person 2: calm 0.75"),
    ]


def test_short_segments_are_left_out_and_the_minimum_is_stated(prediction, tmp_path, long_only):
    path = prediction.export(tmp_path / "t.vtt", "webvtt", long_only)
    assert len(webvtt.read(path)) == 1
    assert ORIGIN in path.read_text()


def test_boris_events_start_and_stop(prediction, tmp_path):
    events = pd.read_csv(prediction.export(tmp_path / "t.boris.tsv", "boris"), sep="\t", keep_default_na=False)
    assert events.columns.tolist()[9:14] == ["Subject", "Behavior", "Behavioral category", "Behavior type", "Time"]
    found = events[["Subject", "Behavior", "Behavior type", "Time"]].to_numpy().tolist()
    anna = 'person 1 Anna "A" <b>'
    assert found == [
        [anna, "calm", "START", 0.0],
        [anna, "calm", "STOP", 1.0],
        [anna, "cross", "START", 1.0],
        [anna, "cross", "STOP", 1.5],
        ["person 2", "calm", "START", 1.5],
        ["person 2", "calm", "STOP", 2.0],
    ]
    assert set(events["Media file name"]) == {"talk <1>.mp4"}


def test_csv_for_spreadsheets_with_decimal_commas_is_read_back(prediction, tmp_path):
    path = prediction.export(tmp_path / "t.csv", "csv", ExportOptions(separator=";", decimal=","))
    assert ";0,75;0,25;calm;0,75" in path.read_text()
    (result,) = read_results([path])
    rows = pd.concat(result.blocks, ignore_index=True)
    pd.testing.assert_frame_equal(rows, prediction.table(), check_dtype=False)


@pytest.mark.parametrize("name", ["=1+1.mp4", "+talk.mp4", "-talk.mp4", "@talk.mp4", "'=talk.mp4", "\t=1.mp4"])
def test_no_text_in_csv_is_a_formula(prediction, tmp_path, name):
    path = replace(prediction, file=name).save(tmp_path / "t.csv")
    assert set(pd.read_csv(path)["file"]) == {f"'{name}"}
    assert read_results([path])[0].file == name


def test_a_name_with_an_apostrophe_is_no_formula(prediction, tmp_path):
    path = replace(prediction, file="'t Hooft.mp4").save(tmp_path / "t.csv")
    assert set(pd.read_csv(path)["file"]) == {"'t Hooft.mp4"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decimal": ","}, "--decimal , needs another --separator"),
        ({"separator": "|"}, r"--separator '\|': unknown; choose ,, ;, tab"),
        ({"decimal": "x"}, "--decimal 'x': unknown; choose . or ,"),
    ],
)
def test_impossible_dialects_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        ExportOptions(**settings)


@pytest.mark.parametrize("extension", [".eaf", ".TextGrid", ".vtt", ".srt"])
def test_a_prediction_without_rows_is_written(tmp_path, extension):
    path = Prediction.empty("x.mp4").save(tmp_path / f"t{extension}")
    assert _read_back(path) == 0


def _read_back(path: Path) -> int:
    """The number of segments that the field's own package finds."""
    if path.suffix == ".eaf":
        return len(Eaf(str(path)).get_tier_names())
    if path.suffix == ".TextGrid":
        return len(textgrid.openTextgrid(str(path), includeEmptyIntervals=True).tierNames) - 1
    return len(webvtt.read(path)) if path.suffix == ".vtt" else len(pysrt.open(str(path)))
