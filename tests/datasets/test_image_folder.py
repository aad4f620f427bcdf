"""Folders of photographs. Names and tables alone need only empty files; surveys decode."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.datasets.image_folder import LabelledImage, read_image_folder
from emofuse.errors import DataError


def folder_of(path: Path, *names: str, table: str = "") -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    if table:
        (path / "labels.csv").write_text(table)
    return path


def test_a_table_gives_labels_by_synonyms_subjects_and_splits_in_its_order(tmp_path):
    folder = folder_of(
        tmp_path, table="Image,Emotion,Person,Split\nb.jpg,Happy,anna,train\na.png,contempt,,dev\nc.webp,,bo,\n"
    )
    assert read_image_folder(folder) == [
        LabelledImage(folder / "b.jpg", AFFWILD2.index("happiness"), "anna", "train"),
        LabelledImage(folder / "a.png", -1, None, "validation"),
        LabelledImage(folder / "c.webp", -1, "bo", None),
    ]


def test_folders_give_labels_and_splits_in_order_of_path(tmp_path):
    folder = folder_of(tmp_path, "val/sad/c.JPG", "train/happy/b.png", "train/Angry/a.tiff", "train/Angry/notes.txt")
    assert read_image_folder(folder) == [
        LabelledImage(folder / "train/Angry/a.tiff", AFFWILD2.index("anger"), None, "train"),
        LabelledImage(folder / "train/happy/b.png", AFFWILD2.index("happiness"), None, "train"),
        LabelledImage(folder / "val/sad/c.JPG", AFFWILD2.index("sadness"), None, "validation"),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.jpg,hapy\n", r"labels.csv:2: unknown label 'hapy' .did you mean 'happy'\?.; write the name of a class"),
        ("a.jpg,sad\nb.jpg,sad,more\n", "labels.csv:3: more fields than the header names"),
        ("a.jpg,sad\na.jpg,happy\n", "labels.csv:3: overlaps line 2"),
        ("a.jpg,1\nb.jpg,2\n", r"labels.csv:2: unknown label '1', a number; .*and 1 more"),
    ],
)
def test_faulty_rows_are_refused_with_their_line(tmp_path, rows, message):
    folder = folder_of(tmp_path, table="path,label\n" + rows)
    with pytest.raises(DataError, match=message):
        read_image_folder(folder)


def test_of_several_tables_labels_csv_is_read(tmp_path):
    folder = folder_of(tmp_path, table="path,label\na.jpg,sad\n")
    (folder / "people.csv").write_text("path,person\nb.jpg,bo\n")
    assert [image.path.name for image in read_image_folder(folder)] == ["a.jpg"]
    (folder / "labels.csv").rename(folder / "other.csv")
    with pytest.raises(DataError, match=r"several tables of images, other.csv, people.csv; give the path of one"):
        read_image_folder(folder)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no images; give a table path,label or a folder for each class"):
        read_image_folder(folder_of(tmp_path, "happy/a.mp4"))


def test_raf_db_is_read_through_its_table(clips):
    rafdb = clips.parent / "faces/rafdb"
    if not rafdb.is_dir():
        pytest.skip("needs the shared images of RAF-DB")
    images = read_image_folder(rafdb)
    assert images[0].path.name == "train_00001.jpg"
    assert Counter(AFFWILD2.names[image.label] for image in images)["happiness"] == 4772
