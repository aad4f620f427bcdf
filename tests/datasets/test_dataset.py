from __future__ import annotations

import pytest

from emofuse.datasets import DataSet, check_data, open_data
from emofuse.datasets.affwild2.dataset import AffWild2
from emofuse.datasets.clip_list import ClipList
from emofuse.errors import DataError
from support.affwild2_folders import ALL, Tree


def test_a_folder_with_annotations_is_aff_wild2(tree: Tree):
    tree.entry("v1")
    assert isinstance(open_data(tree.root), AffWild2)


def test_a_folder_with_videos_and_faces_is_aff_wild2(tree: Tree):
    tree.video("v1")
    tree.images("v1")
    assert isinstance(open_data(tree.root), AffWild2)


def test_options_are_passed_to_the_format(tree: Tree):
    tree.entry("v1")
    tree.labels("v1", [*ALL, 7], folder="annotations/EXPR_Recognition_Challenge/Train_Set")
    assert open_data(tree.root, edition="2022").name == "affwild2-2022"


def test_a_csv_file_is_a_clip_list(tmp_path):
    path = tmp_path / "mine.CSV"
    path.write_text("path,label\n")
    assert isinstance(open_data(path), ClipList)


def test_a_folder_with_a_single_clip_list_is_a_clip_list(tmp_path):
    (tmp_path / "labels.csv").write_text("file;emotion\n")
    (tmp_path / "prices.csv").write_text("name,price\n")
    (tmp_path / "damaged.csv").write_bytes(b"\xff\xfe\x00")
    data = open_data(tmp_path)
    assert isinstance(data, ClipList)
    assert data.path.name == "labels.csv"


def test_two_clip_lists_require_a_choice(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("path,label\n")
    with pytest.raises(DataError, match=r"2 clip lists, a\.csv, b\.csv; give the path of one\."):
        open_data(tmp_path)


def test_another_folder_is_an_error_that_lists_the_formats(tmp_path):
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        (tmp_path / name).touch()
    with pytest.raises(DataError) as error:
        open_data(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: not a data set. Looked for FER-2013 (fer2013.npz, fer2013.csv or folders train/<emotion>); "
        "Aff-Wild2 (annotations/EXPR_Set or a later EXPR_... folder, or videos with cropped_aligned); "
        "photographs in a table path,label or a folder for each class; "
        "a clip list (.csv with the columns path and label); recordings in a folder per class or named as in RAVDESS, "
        "CREMA-D, TESS, SAVEE or EMO-DB; found a.txt, b.txt, c.txt and 1 more. "
        "Give the file or folder that holds one of them."
    )


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="found an empty folder"):
        open_data(tmp_path)


def test_a_missing_path_is_an_error(tmp_path):
    with pytest.raises(DataError, match="x: there is no such file or folder"):
        open_data(tmp_path / "x")


def test_a_file_of_another_kind_is_an_error(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(DataError, match=r"a\.mp4: not a data set\. .* found a file of another kind"):
        open_data(tmp_path / "a.mp4")


@pytest.mark.parametrize("kind", ["affwild2", "clip-list"])
def test_every_data_set_has_the_same_interface(tree: Tree, kind):
    tree.entry("v1")
    if kind == "clip-list":
        (tree.root / "mine.csv").write_text("path,label,split\nvideos/batch1/v1.mp4,fear,train\n")
    data: DataSet = open_data(tree.root if kind == "affwild2" else tree.root / "mine.csv")
    (clip,) = data.split("train")
    assert data.clips == (clip,)
    assert len(data.timeline(clip)) == 14
    assert data.annotation(clip).onto(data.timeline(clip)).label_set == data.label_set
    assert [split.split for split in check_data(data).splits] == ["train"]
