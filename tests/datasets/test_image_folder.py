"""Folders of photographs. Names and tables alone need only empty files; surveys decode."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.datasets import DATASETS, ClipList, Fer2013, ImageFolder, check_data, open_data
from emofuse.datasets.image_folder import LabelledImage, read_image_folder
from emofuse.datasets.problems import PROBLEM_CODES
from emofuse.errors import DataError
from emofuse.media.images import encode_jpeg
from emofuse.testing import check_dataset


def folder_of(path: Path, *names: str, table: str = "") -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    path.mkdir(exist_ok=True)
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


GREY = np.full((48, 48, 3), 128, np.uint8)


def images_in(path: Path, *names: str, table: str = "", image: np.ndarray = GREY) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(encode_jpeg(image))
    return folder_of(path, table=table)


def opened(folder: Path) -> ImageFolder:
    data = open_data(folder, still_images=True)
    assert isinstance(data, ImageFolder)
    return data


def codes(data: ImageFolder) -> list[str]:
    found = [problem.code for problem in check_data(data).problems]
    assert set(found) <= PROBLEM_CODES.keys()
    return found


def test_a_table_and_folders_of_classes_keep_the_contract_of_data_sets(tmp_path):
    table = "path,label,person,split\na.jpg,sad,anna,train\nb.jpg,,bo,validation\n"
    check_dataset(DATASETS["image-folder"], images_in(tmp_path / "table", "a.jpg", "b.jpg", table=table))
    check_dataset(DATASETS["image-folder"], images_in(tmp_path / "folders", "sad/a.jpg", "happy/b.jpg"))


def test_each_image_is_a_clip_of_one_frame_with_its_label(tmp_path):
    data = opened(images_in(tmp_path, "a.jpg", table="path,label,subject,split\na.jpg,sad,anna,test\n"))
    (clip,) = data.clips
    assert (clip.id, clip.video, clip.split, clip.subject) == ("a", tmp_path / "a.jpg", "test", "anna")
    assert len(data.timeline(clip)) == 1
    assert data.annotation(clip).labels.tolist() == [AFFWILD2.index("sadness")]
    assert data.faces(clip) is None  # they are cut from the photograph


def test_without_splits_every_fifth_image_of_a_class_or_every_fifth_subject_is_held_out(tmp_path):
    rows = [f"{label}{n}.jpg,{label},s{n}" for label in ("sad", "happy") for n in range(5)]
    data = opened(images_in(tmp_path / "people", table="path,label,subject\n" + "\n".join(rows)))
    assert [clip.id for clip in data.split("validation")] == ["sad4", "happy4"]
    names = [f"{label}/{n}.jpg" for label in ("sad", "happy") for n in range(5)]
    data = opened(images_in(tmp_path / "classes", *names))
    assert [clip.id for clip in data.split("validation")] == ["happy/4", "sad/4"]
    assert "assumed-split" in codes(data)


def test_images_that_are_missing_or_damaged_are_problems_of_their_line(tmp_path):
    table = "path,label\na.jpg,sad\nb.jpg,sad\nc.jpg,hapy\n"
    folder = images_in(tmp_path, "a.jpg", "c.jpg", table=table)
    (folder / "a.jpg").write_bytes((folder / "a.jpg").read_bytes()[:60])
    found = {problem.code: str(problem) for problem in check_data(opened(folder)).problems}
    assert f"{folder / 'a.jpg'}: is damaged, cut off" in found["unreadable-file"]
    assert "labels.csv:3: there is no file b.jpg" in found["missing-file"]
    assert "labels.csv:4: unknown label 'hapy'" in found["unknown-label"]
    assert "no-audio" not in found


def test_larger_images_in_train_and_test_are_not_taken_for_fer_2013(tmp_path):
    names = ("train/happy/a.jpg", "train/sad/b.jpg", "test/happy/c.jpg")
    assert isinstance(open_data(images_in(tmp_path / "fer", *names), still_images=True), Fer2013)
    opened(images_in(tmp_path / "large", *names, image=np.tile(GREY, (2, 2, 1))))


def test_posters_beside_labelled_recordings_are_no_image_folder(tmp_path):
    assert isinstance(open_data(folder_of(tmp_path, "happy/a.mp4", "happy/a.jpg")), ClipList)


def test_a_command_that_needs_clips_refuses_photographs(tmp_path):
    with pytest.raises(DataError, match="single images without time or audio, but this command needs clips"):
        open_data(images_in(tmp_path, "happy/a.jpg"))


def test_raf_db_is_read_through_its_table(clips):
    rafdb = clips.parent / "faces/rafdb"
    if not rafdb.is_dir():
        pytest.skip("needs the shared images of RAF-DB")
    images = read_image_folder(rafdb)
    assert images[0].path.name == "train_00001.jpg"
    assert Counter(AFFWILD2.names[image.label] for image in images)["happiness"] == 4772
