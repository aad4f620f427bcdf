"""Folders of recordings whose names give their labels. Surveys decode; names alone need only empty files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.datasets import check_data, open_data
from emofuse.datasets.clip_list import ClipList
from emofuse.datasets.problems import PROBLEM_CODES
from emofuse.errors import DataError
from support.affwild2_folders import MakeVideo


def folder_of(path: Path, *names: str) -> ClipList:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    data = open_data(path)
    assert isinstance(data, ClipList)
    return data


def label(data: ClipList, clip: str) -> str | None:
    (index,) = data._listed[clip].labels.tolist()
    return None if index < 0 else AFFWILD2.names[index]


@pytest.mark.parametrize(
    ("name", "emotion", "subject"),
    [
        ("happy/a.mp4", "happiness", None),
        ("Angry/anna/a.wav", "anger", None),
        ("s01/Pleasant_Surprise/a.mp4", "surprise", "01"),
        ("rav/Actor_12/01-01-06-02-01-02-12.mp4", "fear", "12"),
        ("03-01-02-01-01-01-05.wav", "neutral", "05"),
        ("AudioWAV/1001_DFA_ANG_XX.wav", "anger", "1001"),
        ("TESS/OAF_back_ps.wav", "surprise", "OAF"),
        ("DC/sa07.wav", "sadness", None),
        ("KL_su01.wav", "surprise", "KL"),
        ("03a01Fa.wav", "happiness", "03"),
        ("subject_3/contempt/a.mp4", None, "3"),
    ],
)
def test_labels_and_subjects_are_in_the_names(tmp_path, name, emotion, subject):
    data = folder_of(tmp_path, name)
    (clip,) = data.clips
    assert (label(data, clip.id), clip.subject) == (emotion, subject)


def test_splits_are_folders(tmp_path):
    data = folder_of(tmp_path, "train/happy/a.mp4", "train/sad/b.mp4", "val/happy/c.mp4")
    assert [(clip.id, clip.split) for clip in data.clips] == [
        ("train/happy/a", "train"),
        ("train/sad/b", "train"),
        ("val/happy/c", "validation"),
    ]


def test_without_splits_each_fifth_subject_is_validated_on(tmp_path):
    data = folder_of(tmp_path, *(f"01-01-0{e}-01-01-01-{s:02}.mp4" for s in range(1, 12) for e in (1, 5)))
    assert {clip.subject for clip in data.split("validation")} == {"05", "10"}
    assert len(data.split("train")) == 18
    assert [p.code for p in data._problems] == ["assumed-split"]
    assert "2 of 11 subjects (05, 10)" in data._problems[0].found


def test_without_subjects_each_fifth_clip_of_a_class_is_validated_on(tmp_path):
    data = folder_of(tmp_path, *(f"{e}/{n}.mp4" for e in ("happy", "sad") for n in range(6)))
    assert [clip.id for clip in data.split("validation")] == ["happy/4", "sad/4"]
    assert "people may be in both splits" in data._problems[0].found


def test_names_that_contradict_each_other_are_an_error(tmp_path):
    data = folder_of(tmp_path, "happy/01-01-04-01-01-01-01.mp4")
    (problem,) = data._listed["happy/01-01-04-01-01-01-01"].problems
    assert problem.found == "folder happy and RAVDESS name 01-01-04-01-01-01-01 are different classes"


def test_a_clip_list_in_the_folder_comes_first(tmp_path):
    (tmp_path / "mine.csv").write_text("path,label\nhappy/a.mp4,sad\n")
    assert label(folder_of(tmp_path, "happy/a.mp4", "happy/b.mp4"), "happy/a") == "sadness"


def test_a_folder_of_recordings_without_labels_is_no_data_set(tmp_path):
    with pytest.raises(DataError, match="not a data set"):
        folder_of(tmp_path, "talk/a.mp4", "none/b.mp4")


def test_a_folder_per_class_is_surveyed_and_annotated(tmp_path, new_video: MakeVideo):
    for name in ("happy", "sad"):
        (tmp_path / name).mkdir()
        shutil.copy(new_video(30), tmp_path / name / "a.mp4")
    shutil.copy(new_video(30), tmp_path / "b.mp4")
    data = open_data(tmp_path)
    report = check_data(data)
    assert sum(split.labels for split in report.splits) == 3
    assert {p.code for p in report.problems} <= PROBLEM_CODES.keys()
    assert [data.annotation(clip).labels.tolist() for clip in data.clips] == [[-1], [4], [5]]
    (tmp_path / "sad/a.mp4").write_bytes(b"")
    assert [str(p) for p in check_data(open_data(tmp_path)).problems if p.code == "unreadable-file"] == [
        f"{tmp_path}/sad/a.mp4: is empty (0 bytes). Copy or record it again; the clip of {tmp_path.name} is left out"
    ]
