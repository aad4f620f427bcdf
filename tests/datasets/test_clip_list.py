from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.core.labels import AFFWILD2, AFFWILD2_8, LabelSet
from emofuse.core.time import ticks
from emofuse.core.types import Clip
from emofuse.datasets.clip_list import ClipList
from emofuse.datasets.clip_list_rows import labels_by_name
from emofuse.datasets.dataset import check_data
from emofuse.datasets.problems import KINDS, Level, Problem
from emofuse.errors import DataError
from support.affwild2_trees import Film
from support.media_files import tone_burst, write_media

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
def recordings(tmp_path: Path, film: Film) -> Path:
    """a.mp4 with sound of 1 s, b.wav of 1 s."""
    shutil.copy(film(30), tmp_path / "a.mp4")
    write_media(tmp_path / "b.wav", audio=tone_burst(16000), audio_codec="pcm_s16le", audio_rate=16000)
    return tmp_path


def labels(path: Path, **options: LabelSet) -> list[str | None]:
    data = ClipList(path, **options)
    return [data.label_set.names[s.label] if s.label >= 0 else None for c in data._listed.values() for s in c.segments]


def row_problems(path: Path) -> list[Problem]:
    """All but those of the files, which are not there, and of absent classes."""
    problems = [p for p in ClipList(path).problems() if p.kind not in ("no-file", "absent-class")]
    assert {p.kind for p in problems} <= KINDS.keys()
    return problems


def told(path: Path) -> list[tuple[str, int | None, str]]:
    return [(p.kind, p.line, p.found) for p in row_problems(path)]


# -- reading the table ----------------------------------------------------------------------------------------


def test_a_row_is_a_clip_with_its_part_and_person(table):
    path = table("path,label,subject,split", "x/a.mp4,anger,ann,train")
    assert ClipList(path).clips == (Clip("x/a", path.parent / "x/a.mp4", None, "train", "ann"),)


@pytest.mark.parametrize(
    "header",
    ["file,emotion,speaker,set", "video,label,person,part", "PATH,Label,Subject,SPLIT", "path,emotion,person,set"],
)
def test_columns_have_other_names_too(table, header):
    clip = ClipList(table(header, "a.mp4,anger,ann,train")).clips[0]
    assert (clip.id, clip.split, clip.subject) == ("a", "train", "ann")


def test_columns_that_are_not_known_are_passed_over(table):
    path = table("sex,path,age,label", "f,a.mp4,30,anger")
    assert labels(path) == ["anger"]
    assert told(path) == []


@pytest.mark.parametrize(
    ("separator", "end", "mark"), [(",", "\r\n", "\ufeff"), (";", "\n", ""), ("\t", "\n", ""), (";", "\r\n", "\ufeff")]
)
def test_tables_of_office_programs_are_read(table, separator, end, mark):
    lines = [["path", "label", "start", "end"], ["a.mp4", "anger", "0", "1.5"], []]
    path = table(*(separator.join(line) for line in lines), end=end, mark=mark)
    (clip,) = ClipList(path)._listed.values()
    assert [(s.label, s.start, s.end) for s in clip.segments] == [(1, 0, ticks(1.5))]


def test_a_decimal_comma_is_read_where_the_separator_leaves_it(table):
    (clip,) = ClipList(table("path;label;start;end", "a.mp4;anger;0,5;,75"))._listed.values()
    assert (clip.segments[0].start, clip.segments[0].end) == (ticks(0.5), ticks(0.75))


def test_a_path_in_quotes_may_hold_the_separator_and_a_line_break(table):
    path = table("path,label", '"a,\nb.mp4",anger', "c.mp4,calmness")
    assert [clip.id for clip in ClipList(path).clips] == ["a,\nb", "c"]
    assert [p.line for p in row_problems(path)] == [4]


@pytest.mark.parametrize("name", ["x/../a.mp4", "./a.mp4", "a.mp4"])
def test_spellings_of_one_path_are_one_clip(table, name):
    path = table("path,label,start,end", f"{name},anger,0,1", "a.mp4,fear,1,2")
    assert [clip.id for clip in ClipList(path).clips] == ["a"]


def test_paths_of_windows_are_read(table):
    assert ClipList(table("path,label", "x\\a.mp4,anger")).clips[0].id == "x/a"


def test_files_that_differ_in_their_suffix_alone_keep_it_in_their_names(table):
    path = table("path,label", "a.mp4,anger", "a.wav,anger", "b.mp4,anger")
    assert [clip.id for clip in ClipList(path).clips] == ["a.mp4", "a.wav", "b"]


def test_sound_files_are_clips_without_a_video(table):
    clip = ClipList(table("path,label", "b.WAV,anger")).clips[0]
    assert (clip.video, clip.audio) == (None, table("path,label", "b.WAV,anger").parent / "b.WAV")


@given(name=st.sampled_from(sorted(labels_by_name(AFFWILD2))), case=st.sampled_from([str.upper, str.title, str.lower]))
def test_every_known_label_has_one_meaning_in_any_case(name, case):
    known = labels_by_name(AFFWILD2)
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
    ],
)
def test_labels_of_other_sets_are_read_by_name(table, label, meaning):
    path = table("path,label,subject", f"a.mp4,{label},x")
    assert labels(path) == [meaning]


def test_eight_classes_keep_other(table):
    assert labels(table("path,label", "a.mp4,other"), label_set=AFFWILD2_8) == ["other"]


def test_classes_of_ones_own_have_their_own_names_alone(table):
    path = table("path,label", "a.mp4,Bored", "b.mp4,angry")
    mine = LabelSet(("bored", "awake"))
    assert labels(path, label_set=mine) == ["bored", None]
    assert [p.found for p in ClipList(path, label_set=mine).problems() if p.kind == "label"] == [
        "unknown label 'angry'"
    ]


@pytest.mark.parametrize(
    ("text", "split"),
    [("Training", "train"), ("dev", "validation"), ("VAL", "validation"), ("test", "test"), ("", None)],
)
def test_parts_have_other_names_too(table, text, split):
    assert ClipList(table("path,label,split", f"a.mp4,fear,{text}")).clips[0].split == split


def test_clips_without_a_part_are_the_part_none(table):
    data = ClipList(table("path,label", "a.mp4,fear"))
    assert [clip.id for clip in data.split(None)] == ["a"]
    with pytest.raises(DataError, match=r"labels\.csv: no split 'train'; there are clips without a split \(None\)\."):
        data.split("train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r":1: no column 'path', found nothing; begin the file with path,label\."),
        (b"name,label\n", r":1: no column 'path', found name, label; begin the file with path,label\."),
        (b"path,mood\n", r":1: no column 'label', found path, mood; begin"),
        (b"path,label\na.mp4,anger\n\xe4.mp4,fear\n", r":3: is not UTF-8; save the table as CSV UTF-8\."),
        (b'path,label\na.mp4,"' + b"x" * 200_000 + b'"\n', r":2: is no CSV \(field larger than field limit"),
    ],
)
def test_a_file_that_is_no_table_of_clips_is_refused(tmp_path, content, message):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        ClipList(path)


def test_a_missing_table_is_told(tmp_path):
    with pytest.raises(DataError, match=r"x\.csv: cannot be read \(No such file"):
        ClipList(tmp_path / "x.csv")


# -- faulty rows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "kind", "found"),
    [
        ("a.mp4,angri,,,,", "label", "unknown label 'angri' (did you mean 'angry'?)"),
        ("a.mp4,3,,,,", "label", "unknown label '3', a number"),
        ("a.mp4,fear,1,,,", "time", "no end"),
        ("a.mp4,fear,,1,,", "time", "no start"),
        ("a.mp4,fear,2,1,,", "time", "end 1 is not after start 2"),
        ("a.mp4,fear,1,1.0,,", "time", "end 1.0 is not after start 1"),
        ("a.mp4,fear,0:30,40,,", "text", "start '0:30' is no time in seconds"),
        ("a.mp4,fear,-1,40,,", "text", "start '-1' is no time in seconds"),
        ("a.mp4,fear,0,nan,,", "text", "end 'nan' is no time in seconds"),
        ("a.mp4,fear,,,,tset", "split", "unknown part 'tset' (did you mean 'test'?)"),
        ("a,b.mp4,fear,,,ann,train", "columns", "more fields than the header names"),
        (",fear,,,,", "columns", "no path"),
    ],
)
def test_a_faulty_row_is_told_with_its_line(table, row, kind, found):
    path = table("path,label,start,end,subject,split", "z.mp4,fear,,,,", row)
    first = row_problems(path)[0]
    assert (first.level, first.kind, first.line, first.found) == (Level.ERROR, kind, 3, found)


@pytest.mark.parametrize(
    ("rows", "kind", "line", "found"),
    [
        (["a.mp4,fear,0,2,x,", "a.mp4,anger,1,3,x,"], "overlap", 3, "overlaps line 2"),
        (["a.mp4,fear,5,6,x,", "a.mp4,anger,0,9,x,"], "overlap", 3, "overlaps line 2"),
        (["a.mp4,fear,0,9,x,", "a.mp4,anger,1,2,x,", "b.mp4,anger,1,2,x,"], "overlap", 3, "overlaps line 2"),
        (["a.mp4,fear,,,x,", "a.mp4,anger,,,x,"], "overlap", 3, "overlaps line 2"),
        (["a.mp4,fear,,,x,", "a.mp4,anger,1,2,x,"], "overlap", 3, "overlaps line 2"),
        (["a.mp4,fear,0,1,x,", "a.mp4,anger,1,2,y,"], "conflict", 3, "subject y, but x in line 2"),
        (["a.mp4,fear,0,1,,train", "a.mp4,anger,1,2,,"], "conflict", 3, "split none, but train in line 2"),
        (["a.mp4,fear,0,1,,", "a.mp4,fear,0,1,,"], "duplicate", 3, "the same as line 2"),
        (
            ["a.mp4,fear,,,x,train", "b.mp4,fear,,,x,val"],
            "leak",
            3,
            "subject x is in validation, and in train (line 2)",
        ),
    ],
)
def test_rows_that_contradict_each_other_are_told(table, rows, kind, line, found):
    assert told(table("path,label,start,end,subject,split", *rows)) == [(kind, line, found)]


def test_an_overlap_with_an_early_long_segment_is_found_behind_others(table):
    path = table("path,label,start,end", "a.mp4,fear,0,9", "a.mp4,fear,1,2", "a.mp4,fear,3,4")
    assert [line for _, line, _ in told(path)] == [3, 4]


def test_segments_that_touch_do_not_overlap(table):
    assert told(table("path,label,start,end", "a.mp4,fear,0,1.1", "a.mp4,anger,1.1,2")) == []


def test_a_row_that_is_there_twice_counts_once(table, recordings):
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


def test_a_missing_file_is_an_error_at_its_line(table):
    path = table("path,label", "x/a.mp4,fear")
    problem = next(ClipList(path).problems())
    assert (problem.level, problem.kind, problem.where) == (Level.ERROR, "no-file", "x/a")
    assert str(problem) == (
        f"{path}:2: there is no file x/a.mp4; the clip is left out; paths start from the table's folder"
    )


@pytest.mark.parametrize("name", ["a.mp4", "a.wav"])
def test_an_unreadable_file_is_an_error_in_the_words_of_the_reader(table, name):
    path = table("path,label", f"{name},fear")
    (path.parent / name).write_bytes(b"")
    problem = next(ClipList(path).problems())
    assert (problem.level, problem.kind, problem.where) == (Level.ERROR, "unreadable", "a")
    assert problem.found == "is empty (0 bytes). Copy or record it again"


def test_rows_without_a_label_are_noted_once_for_a_part(table, recordings):
    path = table("path,label,split", "a.mp4,fear,train", "b.wav,,train")
    assert [(p.level, p.kind, p.where, p.found) for p in row_problems(path)] == [
        (Level.NOTE, "unlabelled", "train", "1 of 2 rows have no label")
    ]


def test_a_part_without_any_label_is_a_warning_unless_it_is_the_test(table, recordings):
    path = table("path,label,split", "a.mp4,,train", "b.wav,,test")
    assert [(p.level, p.kind, p.where) for p in row_problems(path)] == [
        (Level.WARNING, "empty", "train"),
        (Level.NOTE, "unlabelled", "test"),
    ]


# -- clips ----------------------------------------------------------------------------------------------------


def test_the_timeline_of_a_video_has_all_its_frames(table, recordings):
    data = ClipList(table("path,label", "a.mp4,fear"))
    assert len(data.timeline(data.clips[0])) == 30


def test_the_timeline_of_sound_is_one_interval_over_its_length(table, recordings):
    data = ClipList(table("path,label", "b.wav,fear"))
    assert list(data.timeline(data.clips[0])) == [(0, ticks(1))]


@pytest.mark.parametrize("name", ["a.mp4", "b.wav"])
def test_a_row_without_times_labels_the_whole_clip(table, recordings, name):
    data = ClipList(table("path,label", f"{name},fear"))
    annotation = data.annotation(data.clips[0])
    assert annotation.labels.tolist() == [3]
    assert list(annotation.timeline) == [(0, ticks(1))]


def test_segments_are_annotated_in_the_order_of_their_time(table, recordings):
    path = table("path,label,start,end", "a.mp4,fear,0.5,0.75", "a.mp4,anger,0,0.25")
    data = ClipList(path)
    annotation = data.annotation(data.clips[0])
    assert annotation.labels.tolist() == [1, 3]
    assert list(annotation.timeline) == [(0, ticks(0.25)), (ticks(0.5), ticks(0.75))]


def test_between_segments_frames_are_not_labelled(table, recordings):
    data = ClipList(table("path,label,start,end", "a.mp4,fear,0.5,0.75", "a.mp4,anger,0,0.25"))
    frames = data.annotation(data.clips[0]).onto(data.timeline(data.clips[0]))
    assert np.bincount(frames.labels + 1, minlength=5).tolist() == [14, 0, 8, 0, 8]


@pytest.mark.parametrize(("end", "level"), [("1.05", None), ("1.3", Level.WARNING)])
def test_a_segment_may_end_a_little_after_its_clip(table, recordings, end, level):
    data = ClipList(table("path,label,start,end", f"a.mp4,fear,0,{end}"))
    found = [p for p in data.problems() if p.kind == "beyond-end"]
    assert [p.level for p in found] == ([] if level is None else [level])
    assert data.annotation(data.clips[0]).labels.tolist() == [3]


def test_a_segment_that_begins_after_its_clip_is_refused(table, recordings):
    path = table("path,label,start,end", "a.mp4,fear,0,0.5", "a.mp4,fear,61,62")
    data = ClipList(path)
    with pytest.raises(DataError, match=r"labels\.csv:3: 61 s to 62 s, but the clip ends at 1 s; the clip is left out"):
        data.annotation(data.clips[0])
    assert [(p.level, p.line) for p in data.problems() if p.kind == "beyond-end"] == [(Level.ERROR, 3)]


def test_a_test_clip_without_a_label_has_no_annotation(table, recordings):
    data = ClipList(table("path,label,split", "a.mp4,,test", "b.wav,,train"))
    with pytest.raises(DataError, match=r"labels\.csv:2: test clip a has no label"):
        data.annotation(data.clips[0])
    assert data.annotation(data.clips[1]).labels.tolist() == [-1]


def test_an_unknown_clip_is_answered_with_the_nearest(table):
    with pytest.raises(DataError, match=r"no clip 'aa' \(did you mean 'aaa'\?\)"):
        ClipList(table("path,label", "aaa.mp4,fear")).annotation(Clip("aa"))


def test_a_video_without_sound_is_a_warning(table, tmp_path, film):
    shutil.copy(film(14, sound=False), tmp_path / "a.mp4")
    found = [p for p in ClipList(table("path,label", "a.mp4,fear")).problems() if p.kind == "no-sound"]
    assert [(p.level, p.where) for p in found] == [(Level.WARNING, "a")]


def test_figures_tell_persons_length_and_classes(table, recordings):
    path = table("path,label,subject,split", "a.mp4,fear,x,train", "b.wav,,y,train")
    (train,) = check_data(ClipList(path)).splits
    assert (train.clips, train.recordings, train.subjects, train.frames, train.labels) == (2, 2, 2, 30, 2)
    assert train.seconds == pytest.approx(2, abs=0.01)
    assert train.labelled_fraction == 0.5
    assert train.class_fractions == {name: float(name == "fear") for name in AFFWILD2.names}
    assert train.face_fraction is None


# -- real lists -----------------------------------------------------------------------------------------------


def test_the_list_of_the_real_clips_is_read_unchanged(clips):
    data = ClipList(clips / "labels.csv")
    assert (len(data.clips), len({clip.subject for clip in data.clips})) == (144, 6)
    assert data.annotation(data.clips[1]).labels.tolist() == [AFFWILD2.index("sadness")]


def test_the_list_of_the_real_recordings_is_read_unchanged(clips):
    path = clips.parent / "speech" / "labels.csv"
    if not path.exists():
        pytest.skip("needs the shared speech: set EMOFUSE_TEST_DATA")
    data = ClipList(path)
    assert (len(data.clips), len({clip.subject for clip in data.clips})) == (1920, 28)
    assert all(clip.audio and not clip.video for clip in data.clips)
    assert {s.label for listed in data._listed.values() for s in listed.segments} == set(range(7))
