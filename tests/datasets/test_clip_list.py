from __future__ import annotations

import datetime
import shutil
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.core.labels import AFFWILD2, AFFWILD2_8, LabelSet
from emofuse.core.time import ticks
from emofuse.core.types import Clip
from emofuse.datasets import check_data, open_data
from emofuse.datasets.clip_list import ClipList
from emofuse.datasets.problems import PROBLEM_CODES, Level, Problem
from emofuse.datasets.tables import label_indices
from emofuse.errors import DataError
from support.affwild2_folders import MakeVideo
from support.media_files import tone_burst, write_media
from support.speech_bundles import tone, write_wave

Write = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path) -> Write:
    """Writes labels.csv from its lines."""

    def lines(*lines: str, end: str = "\n", mark: str = "") -> Path:
        path = tmp_path / "labels.csv"
        path.write_bytes((mark + end.join(lines) + end).encode())
        return path

    return lines


@pytest.fixture
def recordings(tmp_path: Path, new_video: MakeVideo) -> Path:
    """a.mp4 with audio and b.wav, each of 1 s."""
    shutil.copy(new_video(30), tmp_path / "a.mp4")
    write_media(tmp_path / "b.wav", audio=tone_burst(16000), audio_codec="pcm_s16le", audio_rate=16000)
    return tmp_path


def labels(path: Path, **options: LabelSet) -> list[str | None]:
    data = ClipList(path, **options)
    return [data.label_set.names[s.label] if s.label >= 0 else None for c in data._listed.values() for s in c.segments]


def row_problems(path: Path) -> list[Problem]:
    """All problems but those of missing files and absent classes."""
    problems = [p for p in ClipList(path).problems() if p.code not in ("missing-file", "absent-class")]
    assert {p.code for p in problems} <= PROBLEM_CODES.keys()
    return problems


def problems_of(path: Path) -> list[tuple[str, int | None, str]]:
    return [(p.code, p.line, p.found) for p in row_problems(path)]


# -- reading the table ----------------------------------------------------------------------------------------


def test_a_row_is_a_clip_with_its_split_and_subject(table):
    path = table("path,label,subject,split", "x/a.mp4,anger,ann,train")
    assert ClipList(path).clips == (Clip("x/a", path.parent / "x/a.mp4", None, "train", "ann"),)


@pytest.mark.parametrize(
    "header",
    [
        "file,emotion,speaker,set",
        "video,label,person,part",
        "PATH,Label,Subject,SPLIT",
        "path,emotion,person,set",
        "filename,emotion,speaker,set",
        "File Name,label,actor,part",
        "Clip,Label,participant,split",
    ],
)
def test_columns_have_alternative_names(table, header):
    clip = ClipList(table(header, "a.mp4,anger,ann,train")).clips[0]
    assert (clip.id, clip.split, clip.subject) == ("a", "train", "ann")


def test_unknown_columns_are_ignored(table):
    path = table("sex,path,age,label", "f,a.mp4,30,anger")
    assert labels(path) == ["anger"]
    assert problems_of(path) == []


@pytest.mark.parametrize(
    ("separator", "end", "mark"), [(",", "\r\n", "\ufeff"), (";", "\n", ""), ("\t", "\n", ""), (";", "\r\n", "\ufeff")]
)
def test_tables_of_spreadsheet_programs_are_read(table, separator, end, mark):
    lines = [["path", "label", "start", "end"], ["a.mp4", "anger", "0", "1.5"], []]
    path = table(*(separator.join(line) for line in lines), end=end, mark=mark)
    (clip,) = ClipList(path)._listed.values()
    assert [(s.label, s.start, s.end) for s in clip.segments] == [(1, 0, ticks(1.5))]


def test_the_separator_line_of_excel_is_not_the_header_and_counts_as_a_line(table):
    path = table("sep=;", "path;label", "a.mp4;anger", "b.mp4;angri")
    assert labels(path) == ["anger", None]
    assert problems_of(path)[0][:2] == ("unknown-label", 4)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8", "cp1252"])
def test_letters_are_right_in_every_encoding_of_spreadsheet_programs(tmp_path, encoding):
    path = tmp_path / "labels.csv"
    path.write_bytes("path;label;subject\nMüller/a.mp4;anger;Jürgen ß\n".encode(encoding))
    (clip,) = ClipList(path).clips
    assert (clip.id, clip.subject) == ("Müller/a", "Jürgen ß")
    codes = [p.code for p in row_problems(path)]
    assert codes == (["not-utf8"] if encoding == "cp1252" else [])


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [("0:02", "1:02.5", (2, 62.5)), ("00:00:01", "01:00:00", (1, 3600)), ("1e-05", "1e+05", (1e-5, 1e5))],
)
def test_times_may_be_minutes_and_hours_or_have_exponents(table, start, end, expected):
    (clip,) = ClipList(table("path,label,onset,offset", f"a.mp4,fear,{start},{end}"))._listed.values()
    assert (clip.segments[0].start, clip.segments[0].end) == tuple(map(ticks, expected))


def test_missing_values_of_r_are_empty_cells(table):
    path = table("path,label,start,end,subject,split", "a.mp4,NA,NA,NA,NA,NA")
    clip = ClipList(path).clips[0]
    assert (clip.split, clip.subject, labels(path)) == (None, None, [None])
    assert [code for code, _, _ in problems_of(path)] == ["no-labels"]


def test_a_path_may_begin_with_the_home_folder(table, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert ClipList(table("path,label", "~/a.mp4,fear")).clips[0].video == Path("/home/ann/a.mp4")


def test_a_list_without_rows_is_an_error(table):
    assert problems_of(table("path,label")) == [("no-clips", None, "holds no clips")]


def test_an_excel_file_is_read_as_it_is_shown(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (
        ["Filename", "Emotion", "start", "end", "subject"],
        ["Ä.mp4", "Joy", 1, 4.2, 7],
        [None] * 5,
        ["b.mp4", "scared", datetime.time(0, 2), datetime.time(0, 1, 2), "x"],
    ):
        book.active.append(row)
    book.active["C4"].number_format = "h:mm"
    book.save(tmp_path / "clips.xlsx")
    first, second = ClipList(tmp_path)._listed.values()
    assert (first.id, first.subject, first.segments[0].label) == ("Ä", "7", 4)
    assert (first.segments[0].start, first.segments[0].end) == (ticks(1), ticks(Fraction("4.2")))
    assert (second.line, second.segments[0].start, second.segments[0].end) == (4, ticks(2), ticks(62))


def test_an_excel_file_without_openpyxl_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "clips.xlsx").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(
        DataError, match=r"clips\.xlsx: is an Excel file, which needs openpyxl; pip install openpyxl, or"
    ):
        open_data(tmp_path / "clips.xlsx")


def test_a_decimal_comma_is_read_if_the_separator_is_not_a_comma(table):
    (clip,) = ClipList(table("path;label;start;end", "a.mp4;anger;0,5;,75"))._listed.values()
    assert (clip.segments[0].start, clip.segments[0].end) == (ticks(0.5), ticks(0.75))


def test_a_quoted_path_may_contain_the_separator_and_a_line_break(table):
    path = table("path,label", '"a,\nb.mp4",anger', "c.mp4,calmness")
    assert [clip.id for clip in ClipList(path).clips] == ["a,\nb", "c"]
    assert [p.line for p in row_problems(path)] == [4]


@pytest.mark.parametrize("name", ["x/../a.mp4", "./a.mp4", "a.mp4"])
def test_different_spellings_of_a_path_are_one_clip(table, name):
    path = table("path,label,start,end", f"{name},anger,0,1", "a.mp4,fear,1,2")
    assert [clip.id for clip in ClipList(path).clips] == ["a"]


def test_windows_paths_are_read(table):
    assert ClipList(table("path,label", "x\\a.mp4,anger")).clips[0].id == "x/a"


def test_files_that_differ_only_in_the_suffix_keep_it_in_their_ids(table):
    path = table("path,label", "a.mp4,anger", "a.wav,anger", "b.mp4,anger")
    assert [clip.id for clip in ClipList(path).clips] == ["a.mp4", "a.wav", "b"]


def test_audio_files_are_clips_without_a_video(table):
    clip = ClipList(table("path,label", "b.WAV,anger")).clips[0]
    assert (clip.video, clip.audio) == (None, table("path,label", "b.WAV,anger").parent / "b.WAV")


@given(name=st.sampled_from(sorted(label_indices(AFFWILD2))), case=st.sampled_from([str.upper, str.title, str.lower]))
def test_every_known_label_has_one_meaning_in_any_case(name, case):
    known = label_indices(AFFWILD2)
    assert known[case(name).casefold()] == known[name]


@pytest.mark.parametrize(
    ("label", "meaning"),
    [
        ("Angry", "anger"),
        ("calm", "neutral"),
        ("HAPPY", "happiness"),
        ("fearful", "fear"),
        ("sad", "sadness"),
        ("surprised", "surprise"),
        ("contempt", None),
        ("other", None),
        ("", None),
        ("-1", None),
        ("joy", "happiness"),
        ("Disgusted", "disgust"),
        ("scared", "fear"),
        ("ps", "surprise"),
        ("pleasant_surprise", "surprise"),
        ("HAP", "happiness"),
        ("ANG", "anger"),
        ("DIS", "disgust"),
        ("FEA", "fear"),
        ("NEU", "neutral"),
        ("SAD", "sadness"),
        ("excited", None),
        ("NA", None),
        ("NaN", None),
        ("#N/A", None),
    ],
)
def test_labels_of_other_data_sets_are_read_by_name(table, label, meaning):
    path = table("path,label,subject", f"a.mp4,{label},x")
    assert labels(path) == [meaning]


def test_eight_classes_keep_other(table):
    assert labels(table("path,label", "a.mp4,other"), label_set=AFFWILD2_8) == ["other"]


def test_other_label_sets_have_no_synonyms(table):
    path = table("path,label", "a.mp4,Bored", "b.mp4,angry")
    mine = LabelSet(("bored", "awake"))
    assert labels(path, label_set=mine) == ["bored", None]
    assert [p.found for p in ClipList(path, label_set=mine).problems() if p.code == "unknown-label"] == [
        "unknown label 'angry'"
    ]


@pytest.mark.parametrize(
    ("text", "split"),
    [("Training", "train"), ("dev", "validation"), ("VAL", "validation"), ("test", "test"), ("", None)],
)
def test_splits_have_alternative_names(table, text, split):
    assert ClipList(table("path,label,split", f"a.mp4,fear,{text}")).clips[0].split == split


def test_clips_without_a_split_are_selected_by_none(table):
    data = ClipList(table("path,label", "a.mp4,fear"))
    assert [clip.id for clip in data.split(None)] == ["a"]
    with pytest.raises(DataError, match=r"labels\.csv: no split 'train'; there are clips without a split \(None\)\."):
        data.split("train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r":1: no column 'path', found nothing; begin the file with path,label\."),
        (b"title,label\n", r":1: no column 'path', found title, label; begin the file with path,label\."),
        (b"path,mood\n", r":1: no column 'label', found path, mood; begin"),
        (b"path,label\na.mp4,anger\n\x81.mp4,fear\n", r":3: is not text in UTF-8 or Latin-1; save the table as CSV"),
        (b"\xff\xfep\0a\0t\0h\0,\0l\0a\0b\0e\0l\0\n\0a", r":2: is cut off or damaged; save the table as CSV"),
        (b"\xd0\xcf\x11\xe0rest", r"labels\.csv: is an Excel file of the old format; save it as \.xlsx"),
        (b'path,label\na.mp4,"' + b"x" * 200_000 + b'"\n', r":2: is not CSV \(field larger than field limit"),
    ],
)
def test_a_file_that_is_not_a_clip_list_is_refused(tmp_path, content, message):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        ClipList(path)


def test_a_missing_table_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"x\.csv: cannot be read \(No such file"):
        ClipList(tmp_path / "x.csv")


# -- faulty rows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "code", "found"),
    [
        ("a.mp4,angri,,,,", "unknown-label", "unknown label 'angri' (did you mean 'angry'?)"),
        ("a.mp4,3,,,,", "unknown-label", "unknown label '3', a number"),
        ("a.mp4,fear,1,,,", "wrong-time", "no end"),
        ("a.mp4,fear,,1,,", "wrong-time", "no start"),
        ("a.mp4,fear,2,1,,", "wrong-time", "end 1 is not after start 2"),
        ("a.mp4,fear,1,1.0,,", "wrong-time", "end 1.0 is not after start 1"),
        ("a.mp4,fear,0:75,90,,", "not-a-number", "start '0:75' is not a time"),
        ("a.mp4,fear,-1,40,,", "not-a-number", "start '-1' is not a time"),
        ("a.mp4,fear,0,1e40,,", "not-a-number", "end '1e40' is not a time"),
        ("a.mp4,fear,0,nan,,", "wrong-time", "no end"),
        ("a.mp4,fear,,,,tset", "unknown-split", "unknown split 'tset' (did you mean 'test'?)"),
        ("a,b.mp4,fear,,,ann,train", "wrong-columns", "more fields than the header names"),
        (",fear,,,,", "wrong-columns", "no path"),
    ],
)
def test_a_faulty_row_is_an_error_with_its_line(table, row, code, found):
    path = table("path,label,start,end,subject,split", "z.mp4,fear,,,,", row)
    first = row_problems(path)[0]
    assert (first.level, first.code, first.line, first.found) == (Level.ERROR, code, 3, found)


@pytest.mark.parametrize(
    ("rows", "code", "line", "found"),
    [
        (["a.mp4,fear,0,2,x,", "a.mp4,anger,1,3,x,"], "overlapping-segments", 3, "overlaps line 2"),
        (["a.mp4,fear,5,6,x,", "a.mp4,anger,0,9,x,"], "overlapping-segments", 3, "overlaps line 2"),
        (
            ["a.mp4,fear,0,9,x,", "a.mp4,anger,1,2,x,", "b.mp4,anger,1,2,x,"],
            "overlapping-segments",
            3,
            "overlaps line 2",
        ),
        (["a.mp4,fear,,,x,", "a.mp4,anger,,,x,"], "overlapping-segments", 3, "overlaps line 2"),
        (["a.mp4,fear,,,x,", "a.mp4,anger,1,2,x,"], "overlapping-segments", 3, "overlaps line 2"),
        (["a.mp4,fear,0,1,x,", "a.mp4,anger,1,2,y,"], "conflicting-rows", 3, "subject y, but x in line 2"),
        (["a.mp4,fear,0,1,,train", "a.mp4,anger,1,2,,"], "conflicting-rows", 3, "split none, but train in line 2"),
        (["a.mp4,fear,0,1,,", "a.mp4,fear,0,1,,"], "duplicate-row", 3, "the same as line 2"),
        (
            ["a.mp4,fear,,,x,train", "b.mp4,fear,,,x,val"],
            "split-leak",
            3,
            "subject x is in validation, and in train (line 2)",
        ),
    ],
)
def test_conflicting_rows_are_reported(table, rows, code, line, found):
    assert problems_of(table("path,label,start,end,subject,split", *rows)) == [(code, line, found)]


def test_every_overlap_with_a_long_segment_is_found(table):
    path = table("path,label,start,end", "a.mp4,fear,0,9", "a.mp4,fear,1,2", "a.mp4,fear,3,4")
    assert [line for _, line, _ in problems_of(path)] == [3, 4]


def test_adjacent_segments_do_not_overlap(table):
    assert problems_of(table("path,label,start,end", "a.mp4,fear,0,1.1", "a.mp4,anger,1.1,2")) == []


def test_a_duplicate_row_is_used_once(table, recordings):
    data = ClipList(table("path,label", "a.mp4,fear", "a.mp4,fear"))
    assert data.annotation(data.clips[0]).labels.tolist() == [3]


def test_a_clip_with_a_faulty_row_is_refused_with_its_line(table, recordings):
    path = table("path,label,start,end", "a.mp4,fear,0,0.2", "a.mp4,blue,0.2,0.4", "b.wav,fear,,")
    data = ClipList(path)
    with pytest.raises(DataError) as error:
        data.annotation(data.clips[0])
    assert str(error.value) == (
        f"{path}:3: unknown label 'blue'; write the name of a class; the clip is left out until it is corrected. "
        f"Run `emofuse data check {path}`."
    )
    assert data.annotation(data.clips[1]).labels.tolist() == [3]


def test_a_missing_file_is_an_error_with_the_line_of_the_table(table):
    path = table("path,label", "x/a.mp4,fear")
    problem = next(ClipList(path).problems())
    assert (problem.level, problem.code, problem.item) == (Level.ERROR, "missing-file", "x/a")
    assert str(problem) == (
        f"{path}:2: there is no file x/a.mp4; the clip is left out; paths are relative to the folder of the table"
    )


@pytest.mark.parametrize("name", ["a.mp4", "a.wav"])
def test_an_unreadable_file_is_an_error_with_the_message_of_the_reader(table, name):
    path = table("path,label", f"{name},fear")
    (path.parent / name).write_bytes(b"")
    problem = next(ClipList(path).problems())
    assert (problem.level, problem.code, problem.item) == (Level.ERROR, "unreadable-file", "a")
    assert problem.found == "is empty (0 bytes). Copy or record it again"


def test_rows_without_a_label_are_one_note_per_split(table, recordings):
    path = table("path,label,split", "a.mp4,fear,train", "b.wav,,train")
    assert [(p.level, p.code, p.item, p.found) for p in row_problems(path)] == [
        (Level.NOTE, "unlabelled", "train", "1 of 2 rows have no label")
    ]


def test_a_split_without_labels_is_a_warning_unless_it_is_the_test_split(table, recordings):
    path = table("path,label,split", "a.mp4,,train", "b.wav,,test")
    assert [(p.level, p.code, p.item) for p in row_problems(path)] == [
        (Level.WARNING, "no-labels", "train"),
        (Level.NOTE, "unlabelled", "test"),
    ]


# -- clips ----------------------------------------------------------------------------------------------------


def test_the_timeline_of_a_video_has_all_its_frames(table, recordings):
    data = ClipList(table("path,label", "a.mp4,fear"))
    assert len(data.timeline(data.clips[0])) == 30


def test_the_timeline_of_an_audio_file_is_one_interval_over_its_length(table, recordings):
    data = ClipList(table("path,label", "b.wav,fear"))
    assert list(data.timeline(data.clips[0])) == [(0, ticks(1))]


@pytest.mark.parametrize("name", ["a.mp4", "b.wav"])
def test_a_row_without_times_labels_the_whole_clip(table, recordings, name):
    data = ClipList(table("path,label", f"{name},fear"))
    annotation = data.annotation(data.clips[0])
    assert annotation.labels.tolist() == [3]
    assert list(annotation.timeline) == [(0, ticks(1))]


def test_segments_are_annotated_in_order_of_time(table, recordings):
    path = table("path,label,start,end", "a.mp4,fear,0.5,0.75", "a.mp4,anger,0,0.25")
    data = ClipList(path)
    annotation = data.annotation(data.clips[0])
    assert annotation.labels.tolist() == [1, 3]
    assert list(annotation.timeline) == [(0, ticks(0.25)), (ticks(0.5), ticks(0.75))]


def test_frames_between_segments_are_not_labelled(table, recordings):
    data = ClipList(table("path,label,start,end", "a.mp4,fear,0.5,0.75", "a.mp4,anger,0,0.25"))
    frames = data.annotation(data.clips[0]).onto(data.timeline(data.clips[0]))
    assert np.bincount(frames.labels + 1, minlength=5).tolist() == [14, 0, 8, 0, 8]


@pytest.mark.parametrize(("end", "level"), [("1.05", None), ("1.3", Level.WARNING)])
def test_a_segment_may_end_a_little_after_its_clip(table, recordings, end, level):
    data = ClipList(table("path,label,start,end", f"a.mp4,fear,0,{end}"))
    found = [p for p in data.problems() if p.code == "beyond-end"]
    assert [p.level for p in found] == ([] if level is None else [level])
    assert data.annotation(data.clips[0]).labels.tolist() == [3]


def test_a_segment_that_begins_after_its_clip_is_refused(table, recordings):
    path = table("path,label,start,end", "a.mp4,fear,0,0.5", "a.mp4,fear,61,62")
    data = ClipList(path)
    with pytest.raises(DataError, match=r"labels\.csv:3: 61 s to 62 s, but the clip ends at 1 s; the clip is left out"):
        data.annotation(data.clips[0])
    assert [(p.level, p.line) for p in data.problems() if p.code == "beyond-end"] == [(Level.ERROR, 3)]


def test_a_test_clip_without_a_label_has_no_annotation(table, recordings):
    data = ClipList(table("path,label,split", "a.mp4,,test", "b.wav,,train"))
    with pytest.raises(DataError, match=r"labels\.csv:2: test clip a has no label"):
        data.annotation(data.clips[0])
    assert data.annotation(data.clips[1]).labels.tolist() == [-1]


def test_an_unknown_clip_is_an_error_that_suggests_the_nearest(table):
    with pytest.raises(DataError, match=r"no clip 'aa' \(did you mean 'aaa'\?\)"):
        ClipList(table("path,label", "aaa.mp4,fear")).annotation(Clip("aa"))


def test_a_video_without_audio_is_a_warning(table, tmp_path, new_video):
    shutil.copy(new_video(14, audio=False), tmp_path / "a.mp4")
    found = [p for p in ClipList(table("path,label", "a.mp4,fear")).problems() if p.code == "no-audio"]
    assert [(p.level, p.item) for p in found] == [(Level.WARNING, "a")]


def test_statistics_count_subjects_length_and_classes(table, recordings):
    path = table("path,label,subject,split", "a.mp4,fear,x,train", "b.wav,,y,train")
    (train,) = check_data(ClipList(path)).splits
    assert (train.clips, train.recordings, train.subjects, train.frames, train.labels) == (2, 2, 2, 30, 2)
    assert train.seconds == pytest.approx(2, abs=0.01)
    assert train.labelled_fraction == 0.5
    assert train.class_fractions == {name: float(name == "fear") for name in AFFWILD2.names}
    assert train.face_fraction is None


# -- real lists -----------------------------------------------------------------------------------------------


def test_the_list_of_the_real_clips_is_read(clips):
    data = ClipList(clips / "labels.csv")
    assert (len(data.clips), len({clip.subject for clip in data.clips})) == (144, 6)
    assert data.annotation(data.clips[1]).labels.tolist() == [AFFWILD2.index("sadness")]


def test_the_list_of_the_real_recordings_is_read(clips):
    path = clips.parent / "speech" / "labels.csv"
    if not path.exists():
        pytest.skip("needs the shared speech: set EMOFUSE_TEST_DATA")
    data = ClipList(path)
    assert (len(data.clips), len({clip.subject for clip in data.clips})) == (1920, 28)
    assert all(clip.audio and not clip.video for clip in data.clips)
    assert {s.label for listed in data._listed.values() for s in listed.segments} == set(range(7))


def test_the_classes_that_a_corpus_lacks_are_noted_and_clips_without_a_corpus_reported(tmp_path):
    for name in "abc":
        write_wave(tmp_path / f"{name}.wav", tone(0, 1.0, 0))
    rows = [f"a.wav,{label},{start},{start + 0.1},one" for start, label in enumerate_classes()]
    path = tmp_path / "clips.csv"
    path.write_text("\n".join(["path,label,start,end,corpus", *rows, "b.wav,anger,,,two", "c.wav,fear,,,"]))
    data = ClipList(path)
    assert [clip.corpus for clip in data.clips] == ["one", "two", None]
    found = {(p.code, p.item, p.found) for p in data.problems() if "corpus" in p.code}
    assert found == {
        ("corpus-classes", "two", "corpus two has no label neutral, disgust, fear, happiness, sadness, surprise"),
        ("no-corpus", data.name, "1 of 3 clips have no corpus"),
    }


def test_a_clip_has_one_corpus(tmp_path):
    write_wave(tmp_path / "a.wav", tone(0, 1.0, 0))
    (tmp_path / "clips.csv").write_text("path,label,start,end,corpus\na.wav,anger,0,0.5,x\na.wav,fear,0.5,1,y\n")
    (problem,) = [p for p in ClipList(tmp_path / "clips.csv").problems() if p.code == "conflicting-rows"]
    assert problem.found == "corpus y, but x in line 2"


def enumerate_classes() -> list[tuple[float, str]]:
    """A start time for each class."""
    return [(0.1 * n, name) for n, name in enumerate(AFFWILD2.names)]
