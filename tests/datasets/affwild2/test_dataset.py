from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2, AFFWILD2_8, RAVDESS
from emofuse.core.time import ticks
from emofuse.core.types import Clip
from emofuse.datasets.affwild2.dataset import AffWild2
from emofuse.errors import DataError, LabelError
from emofuse.faces.crop import identity_crop
from emofuse.media import images
from support.affwild2_folders import ALL, HEADER, TRAIN, VALIDATION, Tree, grey_image

LATER = "annotations/EXPR_Recognition_Challenge"


def ids(data: AffWild2, split: str) -> list[str]:
    return [clip.id for clip in data.split(split)]


def clip_of(data: AffWild2, entry: str) -> Clip:
    return next(clip for clip in data.clips if clip.id == entry)


def refusal(data: AffWild2, entry: str) -> str:
    with pytest.raises(DataError) as error:
        data.annotation(clip_of(data, entry))
    assert "\n" not in str(error.value)
    return str(error.value)


# -- layouts -------------------------------------------------------------------------------------------


def test_the_2020_layout_has_seven_classes(tree: Tree):
    tree.entry("v1")
    tree.entry("v2", folder=VALIDATION)
    data = AffWild2(tree.root)
    assert (data.name, data.label_set) == ("affwild2-2020", AFFWILD2)
    assert (ids(data, "train"), ids(data, "validation")) == (["v1"], ["v2"])


@pytest.mark.parametrize("folder", ["EXPR_Recognition_Challenge", "EXPR_Classification_Challenge"])
def test_the_layouts_from_2022_on_have_eight_classes(tree: Tree, folder):
    tree.entry("v1", [*ALL, 7, -1, *ALL[:5]], folder=f"6th ABAW Annotations/{folder}/Train_Set")
    data = AffWild2(tree.root)
    assert (data.name, data.label_set) == ("affwild2-2022", AFFWILD2_8)
    assert data.annotation(data.clips[0]).labels.tolist() == [*ALL, 7, -1, *ALL[:5]]


def test_eight_classes_can_be_used_as_seven(tree: Tree):
    tree.entry("v1", [*ALL, 7, -1, *ALL[:5]], folder=f"{LATER}/Train_Set")
    data = AffWild2(tree.root, label_set=AFFWILD2)
    annotation = data.annotation(data.clips[0])
    assert annotation.label_set == AFFWILD2
    assert annotation.labels.tolist() == [*ALL, -1, -1, *ALL[:5]]


def test_a_label_set_other_than_those_of_aff_wild2_is_refusal(tree: Tree):
    with pytest.raises(LabelError, match="AFFWILD2 or AFFWILD2_8"):
        AffWild2(tree.root, label_set=RAVDESS)


def test_data_is_found_three_levels_below_the_folder(tree: Tree):
    below = Tree(tree.root / "a" / "b", tree.make_video)
    below.entry("v1")
    assert ids(AffWild2(tree.root), "train") == ["v1"]


@pytest.mark.parametrize("folder", ["videos", "videos/batch1", "videos/a/b/c", "batch2"])
def test_videos_are_found_with_and_without_batch_folders(tree: Tree, folder):
    tree.labels("v1")
    path = tree.video("v1", folder=folder)
    assert AffWild2(tree.root).clips[0].video == path


def test_avi_files_are_videos(tree: Tree):
    tree.labels("v1")
    path = tree.video("v1", suffix=".avi")
    data = AffWild2(tree.root)
    assert data.clips[0].video == path
    assert len(data.annotation(data.clips[0])) == 14


def test_hidden_files_are_ignored(tree: Tree):
    tree.entry("v1")
    tree.text("._v1", ["x"])
    (tree.root / "videos" / "._v1.mp4").write_bytes(b"x")
    (tree.root / "cropped_aligned" / ".cache").mkdir()
    assert [clip.id for clip in AffWild2(tree.root).clips] == ["v1"]


def test_annotations_of_two_editions_require_a_choice(tree: Tree):
    tree.entry("v1")
    tree.labels("v1", folder=f"{LATER}/Validation_Set")
    with pytest.raises(DataError, match=r"several editions, 2022 .*2020 .*; choose with edition='2020' or '2022'"):
        AffWild2(tree.root)
    assert ids(AffWild2(tree.root, edition="2022"), "validation") == ["v1"]
    assert ids(AffWild2(tree.root, edition="2020"), "train") == ["v1"]


def test_a_missing_edition_is_an_error_that_lists_the_editions_found(tree: Tree):
    tree.entry("v1")
    with pytest.raises(DataError, match=r"no annotations of edition 2022; found 2020 \(.*EXPR_Set\)"):
        AffWild2(tree.root, edition="2022")


def test_an_unknown_edition_is_an_error(tree: Tree):
    with pytest.raises(DataError, match="edition '2019': unknown; choose '2020'"):
        AffWild2(tree.root, edition="2019")


def test_two_copies_of_the_annotations_are_refusal(tree: Tree):
    tree.entry("v1")
    tree.labels("v1", folder="copy/EXPR_Set/Training_Set")
    with pytest.raises(DataError, match=r"several folders of annotations, .*; keep one"):
        AffWild2(tree.root)


def test_annotations_without_split_folders_are_refusal(tree: Tree):
    tree.labels("v1", folder="annotations/EXPR_Set")
    with pytest.raises(DataError, match="EXPR_Set: neither a folder Training_Set"):
        AffWild2(tree.root)


def test_annotations_without_videos_are_refusal(tree: Tree):
    tree.labels("v1")
    tree.images("v1")
    with pytest.raises(
        DataError, match=r"annotations, but no videos; .* Put the folder videos next to the annotations"
    ):
        AffWild2(tree.root)


def test_an_empty_folder_is_not_aff_wild2(tree: Tree):
    with pytest.raises(DataError, match="not an Aff-Wild2 folder"):
        AffWild2(tree.root)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        AffWild2(tmp_path / "x")


def test_a_folder_without_permission_does_not_stop_the_search(tree: Tree, monkeypatch):
    import os

    tree.entry("v1")
    locked, scandir = tree.root / "lost+found", os.scandir
    locked.mkdir()

    def guarded(folder: Path) -> object:
        if Path(folder) == locked:
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    assert ids(AffWild2(tree.root), "train") == ["v1"]


# -- entries and their videos ---------------------------------------------------------------------------------


def test_left_and_right_entries_are_two_persons_of_one_video(tree: Tree):
    path = tree.video("v1")
    for entry in ("v1_left", "v1_right"):
        tree.labels(entry)
        tree.images(entry)
    data = AffWild2(tree.root)
    assert [(clip.id, clip.video) for clip in data.clips] == [("v1_left", path), ("v1_right", path)]
    assert [data.faces(clip).person for clip in data.clips] == [1, 2]


def test_a_video_is_read_once_for_both_of_its_entries(tree: Tree, monkeypatch):
    tree.video("v1")
    tree.labels("v1_left")
    tree.labels("v1_right")
    data = AffWild2(tree.root)
    assert data.timeline(data.clips[0]) is data.timeline(data.clips[1])


def test_a_video_with_the_full_name_is_preferred_to_one_without_the_side(tree: Tree):
    tree.labels("v1_left")
    tree.video("v1")
    path = tree.video("v1_left")
    assert AffWild2(tree.root).clips[0].video == path


def test_names_with_a_common_prefix_are_different_entries(tree: Tree):
    tree.labels("102")
    tree.labels("102-30-640x360")
    paths = [tree.video("102", suffix=".avi"), tree.video("102-30-640x360")]
    assert [clip.video for clip in AffWild2(tree.root).clips] == paths


def test_of_two_videos_with_the_same_name_the_one_that_fits_the_labels_is_used(tree: Tree):
    tree.labels("v1")
    tree.video("v1", 21, folder="videos/batch1")
    path = tree.video("v1", 14, folder="videos/batch2", suffix=".avi")
    data = AffWild2(tree.root)
    assert data.clips[0].video == path
    assert len(data.annotation(data.clips[0])) == 14


def test_without_labels_the_images_decide_between_two_videos(tree: Tree):
    tree.entry("v2")
    tree.images("v1", [1, 20])
    tree.video("v1", 14, folder="videos/batch1")
    path = tree.video("v1", 21, folder="videos/batch2")
    data = AffWild2(tree.root)
    assert clip_of(data, "v1").video == path


def test_two_videos_that_both_fit_are_refusal(tree: Tree):
    tree.labels("v1")
    one, two = tree.video("v1", folder="videos/batch1"), tree.video("v1", folder="videos/batch2")
    assert refusal(AffWild2(tree.root), "v1") == (
        f"{tree.root / TRAIN / 'v1.txt'}: 2 videos have the name v1: {one} (14 frames), {two} (14 frames); the entry "
        "is left out, since its labels and images fit none or several of them; keep one of them. "
        f"Run `emofuse data check {tree.root}`."
    )


def test_an_entry_without_a_video_is_refusal(tree: Tree):
    tree.entry("v2")
    tree.labels("v1")
    assert refusal(AffWild2(tree.root), "v1").startswith(
        f"{tree.root / TRAIN / 'v1.txt'}: there is no video v1 (.mp4, .avi or similar); the entry is left out"
    )


def test_an_unreadable_video_is_refused_with_the_message_of_the_reader(tree: Tree):
    tree.labels("v1")
    tree.video("v1").write_bytes(b"no video")
    assert "v1.mp4: is not a video or audio file" in refusal(AffWild2(tree.root), "v1")


def test_an_unknown_clip_is_an_error_that_suggests_the_nearest(tree: Tree):
    tree.entry("v1")
    with pytest.raises(DataError, match=r"no entry 'v2' \(did you mean 'v1'\?\)"):
        AffWild2(tree.root).annotation(Clip("v2"))


def test_a_missing_split_is_an_error_that_lists_the_others(tree: Tree):
    tree.entry("v1")
    with pytest.raises(DataError, match="no split 'test'; there are train"):
        AffWild2(tree.root).split("test")


# -- the test split --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("annotations/EXPR_Set/Test_Set.txt", "t1\nt2\n"),
        ("annotations/EXPR_test_set_release.txt", "\ufefft1\r\nt2\r\n\r\n"),
        ("TEST_SET.txt", "video name\nt1.mp4\nt2.txt\nt1\n"),
        ("EXPR_test_set_sample.txt", "image_location,Neutral,Anger\nt1/00001.jpg,\nt1/00002.jpg,\nt2/00001.jpg,\n"),
    ],
)
def test_a_test_list_defines_the_test_split(tree: Tree, place, content):
    for entry in ("v1", "t1", "t2", "t3"):
        tree.video(entry)
    tree.labels("v1")
    (tree.root / place).write_bytes(content.encode())
    assert ids(AffWild2(tree.root), "test") == ["t1", "t2"]


def test_an_expression_test_list_is_preferred_to_those_of_other_challenges(tree: Tree):
    tree.entry("v1")
    (tree.root / "VA_test_set.txt").write_text("x\n")
    (tree.root / "EXPR_test_set.txt").write_text("v2\n")
    assert ids(AffWild2(tree.root), "test") == ["v2"]


def test_a_test_list_that_is_not_text_is_an_error(tree: Tree):
    tree.entry("v1")
    (tree.root / "Test_Set.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"Test_Set\.txt: the test list cannot be read as UTF-8"):
        AffWild2(tree.root)


def test_without_a_test_list_entries_without_annotation_are_the_test_split(tree: Tree):
    tree.entry("v1")
    tree.video("v2")
    tree.video("v3")
    tree.images("v3_left")
    tree.images("v4")
    assert ids(AffWild2(tree.root), "test") == ["v2", "v3_left", "v4"]


def test_videos_and_images_alone_are_a_test_split(tree: Tree):
    tree.video("v1")
    tree.images("v1")
    data = AffWild2(tree.root)
    assert (data.name, ids(data, "test")) == ("affwild2", ["v1"])


def test_a_test_entry_has_a_timeline_but_no_annotation(tree: Tree):
    tree.video("v1")
    tree.images("v1")
    data = AffWild2(tree.root)
    assert len(data.timeline(data.clips[0])) == 14
    assert refusal(data, "v1") == "v1: a test entry without an annotation; choose a clip of another split."


def test_an_entry_in_two_splits_is_assigned_to_the_held_out_one(tree: Tree):
    tree.entry("v1")
    tree.labels("v1", folder=VALIDATION)
    data = AffWild2(tree.root)
    assert [(clip.id, clip.split) for clip in data.clips] == [("v1", "validation")]


# -- labels ---------------------------------------------------------------------------------------------------


def test_label_i_has_the_timestamp_of_frame_i(tree: Tree):
    tree.labels("v1")
    tree.video("v1", times="uneven")
    data = AffWild2(tree.root)
    annotation = data.annotation(data.clips[0])
    assert annotation.labels.tolist() == [*ALL, *ALL]
    assert annotation.timeline.start.tolist() == [ticks(Fraction(n * n, 30)) for n in range(14)]


def test_a_surplus_label_is_dropped(tree: Tree):
    tree.entry("v1", [*ALL, *ALL, 3])
    data = AffWild2(tree.root)
    assert data.annotation(data.clips[0]).labels.tolist() == [*ALL, *ALL]


def test_a_missing_label_leaves_the_last_frame_unlabelled(tree: Tree):
    tree.entry("v1", [*ALL, *ALL[:6]])
    data = AffWild2(tree.root)
    assert data.annotation(data.clips[0]).labels.tolist() == [*ALL, *ALL[:6], -1]


@pytest.mark.parametrize("count", [9, 12, 16, 19])
def test_two_or_more_surplus_or_missing_labels_are_refusal(tree: Tree, count):
    tree.entry("v1", [0] * count)
    assert refusal(AffWild2(tree.root), "v1") == (
        f"{tree.root / TRAIN / 'v1.txt'}: {count} labels, but the video has 14 frames; labels cannot be assigned to "
        f"frames; the entry is left out. Run `emofuse data check {tree.root}`."
    )


def test_a_faulty_label_file_is_refused_with_its_line(tree: Tree):
    tree.entry("v1", [*ALL, *ALL[:5], 9, "x"])
    assert refusal(AffWild2(tree.root), "v1").startswith(
        f"{tree.root / TRAIN / 'v1.txt'}:14: label 9 is out of range (0 to 6, or -1); "
        "the entry is left out until it is corrected (and 1 more). Run"
    )


def test_a_header_in_another_order_is_matched_by_name(tree: Tree):
    tree.video("v1")
    tree.text("v1", [",".join(reversed(HEADER.split(","))), *ALL, *ALL])
    data = AffWild2(tree.root)
    assert data.annotation(data.clips[0]).labels.tolist() == ALL[::-1] * 2


# -- faces ----------------------------------------------------------------------------------------------------


def test_face_images_belong_to_the_frames_of_their_numbers(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    tree.images("v1", [2, 3, 14])
    data = AffWild2(tree.root)
    track = data.faces(data.clips[0])
    assert np.flatnonzero(track.valid).tolist() == [1, 2, 13]
    assert track.values.shape == (14, 8, 8, 3)
    assert track.timeline == data.timeline(data.clips[0])
    np.testing.assert_allclose(track.values[[0, 1, 2, 13]].mean(axis=(1, 2, 3)), [0, 16, 24, 112], atol=2)


def test_only_the_requested_images_are_read(tree: Tree, monkeypatch):
    tree.entry("v1")
    data, read = AffWild2(tree.root), []
    monkeypatch.setattr(images, "read_image", lambda path: read.append(path.name) or np.zeros((8, 8, 3), np.uint8))
    track = data.faces(data.clips[0])
    assert read == []
    _ = track.values[4]
    assert read == ["00005.jpg"]


@pytest.mark.parametrize("folder", ["cropped_aligned/batch1", "cropped", "cropped/batch2", "batch1/cropped"])
def test_both_image_folders_may_have_batches(tree: Tree, folder):
    tree.video("v1")
    tree.labels("v1")
    tree.images("v1", folder=folder)
    data = AffWild2(tree.root)
    kind = "cropped_aligned" if "aligned" in folder else "cropped"
    assert data.faces(data.clips[0], kind).valid.all()


def test_of_two_image_batches_the_one_of_the_video_is_used(tree: Tree):
    tree.video("v1", folder="videos/batch2")
    tree.labels("v1")
    tree.images("v1", [1], folder="cropped_aligned/batch1")
    tree.images("v1", [2], folder="cropped_aligned/batch2")
    data = AffWild2(tree.root)
    assert np.flatnonzero(data.faces(data.clips[0]).valid).tolist() == [1]


def test_image_numbers_may_have_any_number_of_digits_and_other_files_are_ignored(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    folder = tree.images("v1", [2])
    for name in ("3.png", "0000000004.JPG", "Thumbs.db", "00005.txt", "face.jpg", "-6.jpg"):
        (folder / name).write_bytes(grey_image(1))
    data = AffWild2(tree.root)
    assert np.flatnonzero(data.faces(data.clips[0]).valid).tolist() == [1, 2, 3]


def test_a_surplus_image_is_dropped(tree: Tree):
    tree.entry("v1")
    tree.images("v1", [15])
    data = AffWild2(tree.root)
    assert len(data.faces(data.clips[0]).valid) == 14


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (16, "images up to number 16, but the video has 14 frames"),
        (0, "an image 00000.jpg, but the first frame has number 1"),
    ],
)
def test_images_without_a_frame_are_refusal(tree: Tree, number, found):
    tree.entry("v1")
    tree.images("v1", [number])
    data = AffWild2(tree.root)
    with pytest.raises(DataError, match=found):
        data.faces(data.clips[0])


def test_without_images_in_the_folder_there_are_no_faces(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    tree.images("v1", folder="cropped")
    data = AffWild2(tree.root)
    assert data.faces(data.clips[0]) is None
    assert data.faces(data.clips[0], "cropped") is not None


def test_an_empty_image_folder_has_no_faces(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    (tree.root / "cropped_aligned" / "v1").mkdir(parents=True)
    data = AffWild2(tree.root)
    assert data.faces(data.clips[0]) is None


def test_the_crop_of_aligned_images_is_given_only_if_there_are_images(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    assert AffWild2(tree.root).face_crop is None
    tree.images("v1")
    assert AffWild2(tree.root).face_crop == identity_crop()
