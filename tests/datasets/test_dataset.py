from __future__ import annotations

import pytest

from emofuse.datasets.affwild2.dataset import AffWild2
from emofuse.datasets.clip_list import ClipList
from emofuse.datasets.dataset import DataSet, check_data, open_data
from emofuse.errors import DataError
from support.affwild2_trees import ALL, Tree


def test_a_folder_with_annotations_is_aff_wild2(tree: Tree):
    tree.entry("v1")
    assert isinstance(open_data(tree.root), AffWild2)


def test_a_folder_with_videos_and_faces_is_aff_wild2(tree: Tree):
    tree.video("v1")
    tree.images("v1")
    assert isinstance(open_data(tree.root), AffWild2)


def test_the_edition_is_passed_on(tree: Tree):
    tree.entry("v1")
    tree.labels("v1", [*ALL, 7], folder="annotations/EXPR_Recognition_Challenge/Train_Set")
    assert open_data(tree.root, edition="2022").name == "affwild2-2022"


def test_a_table_is_a_manifest(tmp_path):
    path = tmp_path / "mine.CSV"
    path.write_text("path,label\n")
    assert isinstance(open_data(path), ClipList)


def test_a_folder_with_one_table_of_clips_is_a_manifest(tmp_path):
    (tmp_path / "labels.csv").write_text("file;emotion\n")
    (tmp_path / "prices.csv").write_text("name,price\n")
    (tmp_path / "damaged.csv").write_bytes(b"\xff\xfe\x00")
    data = open_data(tmp_path)
    assert isinstance(data, ClipList)
    assert data.path.name == "labels.csv"


def test_two_tables_of_clips_ask_for_a_choice(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("path,label\n")
    with pytest.raises(DataError, match=r"2 tables of clips, a\.csv, b\.csv; give the path of one of them\."):
        open_data(tmp_path)


def test_a_folder_of_something_else_is_told_what_was_looked_for(tmp_path):
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        (tmp_path / name).touch()
    with pytest.raises(DataError) as error:
        open_data(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: no data set. Looked for annotations/EXPR_Set (or a later EXPR_... folder), for videos with "
        "cropped_aligned, and for a .csv with the columns path and label; found a.txt, b.txt, c.txt and 1 more. "
        "Give the folder that holds one of them."
    )


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="found an empty folder"):
        open_data(tmp_path)


def test_a_path_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="x: there is no such file or folder"):
        open_data(tmp_path / "x")


def test_a_file_that_is_no_table_is_told(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(DataError, match=r"a\.mp4: a file, but no \.csv"):
        open_data(tmp_path / "a.mp4")


@pytest.mark.parametrize("kind", ["affwild2", "manifest"])
def test_every_data_set_offers_the_same(tree: Tree, kind):
    tree.entry("v1")
    if kind == "manifest":
        (tree.root / "mine.csv").write_text("path,label,split\nvideos/batch1/v1.mp4,fear,train\n")
    data: DataSet = open_data(tree.root if kind == "affwild2" else tree.root / "mine.csv")
    (clip,) = data.split("train")
    assert data.clips == (clip,)
    assert len(data.timeline(clip)) == 14
    assert data.annotation(clip).onto(data.timeline(clip)).label_set == data.label_set
    assert [split.split for split in check_data(data).splits] == ["train"]
