from __future__ import annotations

from pathlib import Path

import pytest

from emofuse.analysis.events import Event, read_events
from emofuse.errors import DataError, SettingsError
from emofuse.testing.writers import prediction

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT FORMAT="3.0" VERSION="3.0"><HEADER TIME_UNITS="milliseconds"/>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="1500"/>
<TIME_SLOT TIME_SLOT_ID="t3"/></TIME_ORDER>
<TIER TIER_ID="task"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2">
<ANNOTATION_VALUE>reading</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t3">
<ANNOTATION_VALUE>without time</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="note" PARENT_REF="task"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a2" ANNOTATION_REF="a1">
<ANNOTATION_VALUE/></REF_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_a_table_has_times_in_seconds_or_clock_time_and_keeps_its_other_columns(tmp_path):
    path = written(tmp_path / "e.csv", "name,start,end,File,Condition\nad 😀,1.5,0:10,talk.mp4,A/B\nrest,,,,B\n")
    assert read_events(path) == [
        Event("ad 😀", 1.5, 10, "talk.mp4", {"condition": "A/B"}),
        Event("rest", columns={"condition": "B"}),
    ]


def test_a_table_of_a_german_spreadsheet_is_read(tmp_path):
    assert read_events(written(tmp_path / "e.csv", "name;start;end\nx;1,5;2,25\n")) == [Event("x", 1.5, 2.25)]


def test_annotations_of_elan_are_events_of_their_tier(tmp_path):
    path = written(tmp_path / "e.eaf", EAF)
    reading, note = (
        Event("reading", 0.5, 1.5, columns={"tier": "task"}),
        Event("note", 0.5, 1.5, columns={"tier": "note"}),
    )
    assert read_events(path) == [reading, note]
    assert read_events(path, tier="task") == [reading]
    with pytest.raises(SettingsError, match=r"did you mean 'task'\?\); it has task, note"):
        read_events(path, tier="tasks")


def test_tabular_events_of_boris_are_paired(tmp_path):
    head = "Observation id,Subject,Behavior,Behavior type,Time,Media file name\n"
    rows = "o,Ann,smile,START,1.0,v/talk.mp4\no,Ben,smile,START,1.5,v/talk.mp4\no,Ann,smile,STOP,2.0,v/talk.mp4\n"
    path = written(tmp_path / "b.tsv", (head + rows + "o,Ann,click,POINT,3.0,v/talk.mp4\n").replace(",", "\t"))
    with pytest.raises(DataError, match="line 3: 'smile' starts without a stop"):
        read_events(path)
    path.write_text(path.read_text() + "o\tBen\tsmile\tSTOP\t4.0\tv/talk.mp4\n")
    assert [(e.name, e.start, e.end, e.columns["subject"]) for e in read_events(path)] == [
        ("smile", 1.0, 2.0, "Ann"),
        ("click", 3.0, 3.0, "Ann"),
        ("smile", 1.5, 4.0, "Ben"),
    ]


def test_aggregated_events_of_boris_are_read(tmp_path):
    path = written(
        tmp_path / "b.csv", "Subject,Behavior,Start (s),Stop (s),Media file name\nAnn,smile,1,2,v/talk.mp4\n"
    )
    assert read_events(path) == [Event("smile", 1, 2, "v/talk.mp4", {"subject": "Ann"})]


def test_subtitles_are_events_with_their_text(tmp_path):
    first = "WEBVTT\n\nNOTE x\n\n1\n00:01.500 --> 00:02.000 align:start\n<v Ann>Hello\nthere\n\n"
    cues = first + "01:00:00.000 --> 01:00:01.000\nBye\n"
    assert read_events(written(tmp_path / "s.vtt", cues)) == [Event("Hello there", 1.5, 2), Event("Bye", 3600, 3601)]
    srt = cues.replace("WEBVTT\n\n", "").replace("00:01.500", "00:00:01,500").replace("00:02.000", "00:00:02,000")
    assert read_events(written(tmp_path / "s.srt", srt))[0] == Event("Hello there", 1.5, 2)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("e.csv", "event,begin\nx,1\n", "no column 'end', found event, begin"),
        ("e.csv", "a,b\n1,2\n", "no column 'name', found a, b; give a table with the columns name, start and end"),
        ("e.csv", "name,start,end\nx,5,2\n", "line 2: the event 'x' ends at 2 s, before its start at 5 s"),
        ("e.csv", "name,start,end\nx,soon,2\n", "line 2: 'soon' is not a time"),
        ("e.csv", "name,start,end\n,1,2\n", "line 2: the event has no name"),
        ("e.csv", "name,start,end\n", "holds no events"),
        ("e.vtt", "WEBVTT\n", "holds no events"),
        ("e.eaf", "<a>", "cannot be read as an ELAN file"),
        ("e.mp4", "", "is no file of events"),
    ],
)
def test_bad_events_are_one_line(name, text, problem, tmp_path):
    with pytest.raises(DataError, match=problem):
        read_events(written(tmp_path / name, text))


def test_a_missing_file_and_a_tier_of_a_table_are_one_line(tmp_path):
    for name in ("none.csv", "none.vtt", "none.eaf"):
        with pytest.raises(DataError, match="cannot be read"):
            read_events(tmp_path / name)
    with pytest.raises(SettingsError, match="has no tiers"):
        read_events(tmp_path / "e.csv", tier="x")


@pytest.mark.parametrize(
    ("form", "name"), [("elan", "two.eaf"), ("boris", "two.tsv"), ("webvtt", "two.vtt"), ("srt", "two.srt")]
)
def test_segments_that_were_exported_are_read_as_events(form, name, tmp_path):
    path = prediction().export(tmp_path / name, form)
    emotions = [s for s in prediction().segments() if s.emotion is not None]
    events = read_events(path)
    assert sorted((e.start, e.end) for e in events) == sorted((s.start, s.end) for s in emotions)
