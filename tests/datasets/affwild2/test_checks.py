from __future__ import annotations

import shutil

import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.core.types import Clip
from emofuse.datasets import check_data
from emofuse.datasets.affwild2.dataset import AffWild2
from emofuse.datasets.problems import PROBLEM_CODES, Level, Problem
from emofuse.media.images import encode_jpeg
from support.affwild2_folders import ALL, HEADER, TRAIN, VALIDATION, Tree
from support.media_files import moving_bar, write_media

CLEAN = "v0"  # an entry without problems, so that a tree has all classes


@pytest.fixture
def tree(tree: Tree) -> Tree:
    tree.entry(CLEAN)
    return tree


def found(tree: Tree, **options: object) -> list[Problem]:
    return list(AffWild2(tree.root, **options).problems())


def codes(tree: Tree) -> set[tuple[str, str]]:
    problems = found(tree)
    assert {p.code for p in problems} <= PROBLEM_CODES.keys()
    return {(p.code, p.item) for p in problems}


def only(tree: Tree) -> Problem:
    (problem,) = found(tree)
    assert problem.code in PROBLEM_CODES
    assert "\n" not in str(problem)
    return problem


def test_a_folder_without_problems_yields_none(tree: Tree):
    tree.entry("v1", folder=VALIDATION)
    tree.video("v2")
    tree.labels("v2_left")
    tree.images("v2_left")
    assert found(tree) == []


# -- labels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([*ALL, *ALL, 0], "15 labels, but the video has 14 frames; the last label is dropped"),
        ([*ALL, *ALL[1:]], "13 labels, but the video has 14 frames; the last frame is not labelled"),
    ],
)
def test_one_label_more_or_less_than_frames_is_a_warning(tree: Tree, labels, message):
    tree.entry("v1", labels)
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.WARNING, "off-by-one", "v1")
    assert str(problem) == f"{tree.root / TRAIN / 'v1.txt'}: {message}"


@pytest.mark.parametrize("count", [9, 12, 16, 19])
def test_a_difference_of_two_or_more_labels_is_an_error(tree: Tree, count):
    tree.entry("v1", [0] * count)
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.ERROR, "count-mismatch", "v1")
    assert problem.found == f"{count} labels, but the video has 14 frames"


@pytest.mark.parametrize(
    ("lines", "code", "line", "found"),
    [
        (
            [HEADER.replace("Fear", "Feer"), *ALL, *ALL],
            "wrong-header",
            1,
            "an unknown class 'feer' (did you mean 'fear'?)",
        ),
        ([*ALL, *ALL], "wrong-header", 1, "the first line is '0', not the names of the classes"),
        ([HEADER, *ALL, *ALL[:6], 8], "unknown-label", 15, "label 8 is out of range (0 to 6, or -1)"),
        ([HEADER, *ALL, "", *ALL[1:]], "missing-label", 9, "empty line"),
        ([HEADER, *ALL, "", *ALL], "missing-label", 9, "empty line"),
        ([HEADER, *ALL, "angry", *ALL[1:]], "not-a-number", 9, "'angry' is not a whole number"),
        ([HEADER, *ALL, "1.5", *ALL[1:]], "not-a-number", 9, "'1.5' is not a whole number"),
    ],
)
def test_a_faulty_label_file_is_one_error_with_its_line(tree: Tree, lines, code, line, found):
    tree.entry("v1")
    path = tree.text("v1", lines)
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.ERROR, code, "v1")
    assert str(problem).startswith(f"{path}:{line}: ")
    assert problem.found.endswith(found)


def test_unlabelled_frames_are_a_note_with_their_number_and_first_line(tree: Tree):
    tree.entry("v1", [*ALL, -1, -1, *ALL[2:]])
    problem = only(tree)
    assert (problem.level, problem.code, problem.item, problem.line) == (Level.NOTE, "unlabelled", "v1", 9)
    assert problem.found == "2 of 14 labels are -1, the first in line 9"


def test_a_dropped_label_is_not_counted_as_unlabelled(tree: Tree):
    tree.entry("v1", [*ALL, *ALL, -1])
    assert codes(tree) == {("off-by-one", "v1")}


def test_unlabelled_frames_are_reported_in_a_faulty_file_too(tree: Tree):
    tree.entry("v1")
    tree.text("v1", ["wrong", *ALL, -1, *ALL[1:]])
    assert codes(tree) == {("wrong-header", "v1"), ("unlabelled", "v1")}


def test_an_entry_without_labels_is_a_warning(tree: Tree):
    tree.entry("v1", [-1] * 14)
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.WARNING, "no-labels", "v1")
    assert problem.found == "all 14 labels are -1"


def test_a_class_without_labels_in_a_split_is_a_warning(tree: Tree):
    tree.entry("v1", [0, 1, 2, 4, 5] * 2 + [0] * 4, folder=VALIDATION)
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.WARNING, "absent-class", "validation")
    assert problem.found == "no label fear, surprise in all of validation"


def test_eight_classes_used_as_seven_do_not_need_the_class_other(tree: Tree):
    later = "annotations/EXPR_Recognition_Challenge/Train_Set"
    tree.labels(CLEAN, folder=later)
    assert [p.item for p in found(tree, edition="2022")] == ["train"]
    assert found(tree, edition="2022", label_set=AFFWILD2) == []


# -- videos ---------------------------------------------------------------------------------------------------


def test_a_video_without_audio_is_reported_once_for_both_of_its_entries(tree: Tree):
    tree.video("v1", audio=False)
    for entry in ("v1_left", "v1_right"):
        tree.labels(entry)
        tree.images(entry)
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.WARNING, "no-audio", "v1")


def test_a_missing_video_is_an_error(tree: Tree):
    tree.labels("v1")
    tree.images("v1")
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.ERROR, "missing-video", "v1")
    assert problem.found == "there is no video v1 (.mp4, .avi or similar)"


def test_an_unreadable_video_is_an_error_with_the_message_of_the_reader(tree: Tree):
    tree.entry("v1")
    path = tree.video("v1")
    path.write_bytes(b"")
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.ERROR, "unreadable-file", "v1")
    assert str(problem) == f"{path}: is empty (0 bytes). Copy or record it again; its entries are left out"


def test_a_truncated_video_is_a_warning(tree: Tree):
    path = tree.root / "videos" / "v1.mp4"
    write_media(path, moving_bar(60), container_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: (data.index(b"mdat") + len(data)) // 2])
    problem = next(p for p in found(tree) if p.code == "damaged-file")
    assert (problem.level, problem.item, problem.path) == (Level.WARNING, "v1", path)
    assert "the header promises 2.0 s: the file is cut off" in problem.found


def test_two_videos_with_the_same_name_are_a_warning_if_one_fits(tree: Tree):
    tree.entry("v1")
    tree.video("v1", 21, folder="videos/batch2", suffix=".avi")
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.WARNING, "ambiguous-name", "v1")
    assert "v1.mp4 (14 frames)" in problem.found
    assert "v1.avi (21 frames)" in problem.found
    assert problem.consequence == "batch1/v1.mp4 is used, since only its number of frames fits"


def test_two_videos_with_the_same_name_are_an_error_if_both_fit(tree: Tree):
    tree.entry("v1")
    tree.video("v1", folder="videos/batch2")
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.ERROR, "ambiguous-name", "v1")


def test_entries_of_one_video_in_two_splits_are_a_leak(tree: Tree):
    path = tree.video("v1")
    for entry, folder in (("v1_left", TRAIN), ("v1_right", VALIDATION)):
        tree.labels(entry, folder=folder)
        tree.images(entry)
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.WARNING, "split-leak", "v1")
    assert str(problem) == (
        f"{path}: its entries are in different splits: v1_left in train, v1_right in validation; "
        "they share the audio, so results of voice systems come out too high"
    )


# -- images ---------------------------------------------------------------------------------------------------


def test_frames_without_an_image_are_a_note_with_the_first_range(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    folder = tree.images("v1", [1, 2, 6, 7, 8, 9, 10, 14])
    problem = only(tree)
    assert (problem.level, problem.code, problem.item, problem.path) == (Level.NOTE, "no-face", "v1", folder)
    assert problem.found == "6 of 14 frames have no image, the first are 3 to 5"


def test_the_same_gaps_in_both_image_folders_are_reported_once(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    for folder in ("cropped_aligned", "cropped"):
        tree.images(CLEAN, folder=folder)
        tree.images("v1", [1, 2], folder=folder)
    assert only(tree).code == "no-face"


def test_damaged_images_and_those_of_another_size_are_errors_with_their_names(tree: Tree):
    tree.entry("v1")
    folder = tree.images("v1")
    whole = (folder / "00001.jpg").read_bytes()
    for name, content in {"00002.jpg": b"xx", "00005.jpg": b"", "00009.jpg": whole[: len(whole) // 2]}.items():
        (folder / name).write_bytes(content)
    (folder / "00012.jpg").write_bytes(encode_jpeg(np.zeros((8, 9, 3), np.uint8)))
    damaged = [p for p in found(tree) if p.code == "damaged-image"]
    assert [(p.level, p.item, p.path, p.found) for p in damaged] == [
        (Level.ERROR, "v1", folder, "3 of 14 images cannot be decoded: 00002.jpg, 00005.jpg, 00009.jpg"),
        (Level.ERROR, "v1", folder, "1 of 14 images have another size: 00012.jpg"),
    ]


def test_an_annotated_entry_without_images_is_a_warning(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.WARNING, "missing-images", "v1")
    assert problem.found == "v1 has no images in cropped_aligned"


def test_without_image_folders_there_is_a_single_warning(new_video, tmp_path):
    tree = Tree(tmp_path / "bare", new_video)
    for entry in ("v1", "v2"):
        tree.video(entry)
        tree.labels(entry)
    assert codes(tree) == {("missing-images", "affwild2-2020")}


@pytest.mark.parametrize(
    ("number", "code", "level"), [(15, "off-by-one", Level.WARNING), (16, "count-mismatch", Level.ERROR)]
)
def test_images_beyond_the_last_frame_are_reported(tree: Tree, number, code, level):
    tree.entry("v1")
    tree.images("v1", [number])
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (level, code, "v1")
    assert problem.found == f"images up to number {number}, but the video has 14 frames"


def test_images_numbered_from_zero_are_an_error(tree: Tree):
    tree.entry("v1")
    tree.images("v1", [0])
    assert (only(tree).code, only(tree).level) == ("count-mismatch", Level.ERROR)


def test_two_image_folders_of_an_entry_are_an_error(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    for batch in ("a", "b"):
        tree.images("v1", folder=f"cropped_aligned/{batch}")
    assert (only(tree).code, only(tree).item) == ("ambiguous-name", "v1")


def test_an_image_folder_that_cannot_be_listed_is_an_error_and_the_survey_goes_on(tree: Tree):
    tree.entry("v1", [*ALL, *ALL, 0])
    data = AffWild2(tree.root)
    shutil.rmtree(tree.root / "cropped_aligned" / CLEAN)
    problems = list(data.problems())
    assert [(p.code, p.item) for p in problems] == [("unreadable-file", CLEAN), ("off-by-one", "v1")]
    assert problems[0].found == "the folder cannot be listed (No such file or directory)"


# -- splits ----------------------------------------------------------------------------------------------------


def test_with_a_test_list_unlisted_entries_are_left_out_with_a_warning(tree: Tree):
    (tree.root / "annotations/EXPR_Set/Test_Set.txt").write_text("v1\n")
    for entry in ("v1", "v2"):
        tree.video(entry)
    tree.images("v3_left")
    tree.video("v3")
    assert codes(tree) == {("no-annotation", "v2"), ("no-annotation", "v3_left")}
    assert {clip.id for clip in AffWild2(tree.root).clips} == {CLEAN, "v1"}


def test_without_a_test_list_a_note_describes_the_test_split(tree: Tree):
    tree.video("v1")
    problem = only(tree)
    assert (problem.level, problem.code) == (Level.NOTE, "no-test-list")
    assert problem.found == "no test list, and 1 entries without an annotation, the first is v1"


def test_an_entry_in_two_splits_is_an_error(tree: Tree):
    tree.entry("v1")
    tree.labels("v1", folder=VALIDATION)
    problem = only(tree)
    assert (problem.level, problem.code, problem.item) == (Level.ERROR, "split-leak", "v1")
    assert str(problem).startswith(
        f"{tree.root / TRAIN / 'v1.txt'}: the entry is in train and in validation; it is used in validation"
    )


def test_a_training_entry_in_the_test_list_is_an_error(tree: Tree):
    tree.entry("v1")
    (tree.root / "Test_Set.txt").write_text("v1\n")
    assert codes(tree) == {("split-leak", "v1")}


def test_no_problem_hides_another(tree: Tree):
    tree.entry("v1", [9] * 14)
    tree.labels("v2")
    tree.entry("v3", [-1, *ALL, *ALL])
    tree.images("v3", [15])
    tree.video("v4", audio=False)
    (tree.root / "Test_Set.txt").write_text("v5\n")
    assert codes(tree) == {
        ("unknown-label", "v1"),
        ("missing-video", "v2"),
        ("missing-images", "v2"),
        ("off-by-one", "v3"),
        ("unlabelled", "v3"),
        ("no-annotation", "v4"),
        ("missing-video", "v5"),
    }


def test_problems_are_yielded_as_they_are_found(tree: Tree):
    tree.entry("v1", [9] * 14)
    tree.video("v2").write_bytes(b"")
    data = AffWild2(tree.root)
    problems = data.problems()
    assert [next(problems).code, next(problems).code] == ["no-test-list", "unknown-label"]


# -- statistics --------------------------------------------------------------------------------------------------


def test_statistics_count_clips_recordings_frames_labels_and_images(tree: Tree):
    tree.video("v1")
    tree.labels("v1_left", [0] * 7 + [-1] * 7)
    tree.labels("v1_right")
    tree.images("v1_left", range(1, 8))
    tree.images("v1_right")
    checked: list[Clip] = []
    data = AffWild2(tree.root)
    (train,) = check_data(data, on_clip=checked.append).splits
    assert (train.split, train.clips, train.recordings, train.subjects) == ("train", 3, 2, None)
    assert (train.frames, train.labels, train.seconds) == (42, 42, pytest.approx(1.4, abs=0.01))
    assert train.labelled_fraction == pytest.approx(35 / 42)
    assert train.class_fractions["neutral"] == pytest.approx((2 + 7 + 2) / 35)
    assert sum(train.class_fractions.values()) == pytest.approx(1)
    assert train.face_fraction == pytest.approx(35 / 42)
    assert checked == list(data.clips)


def test_a_clip_with_an_error_is_counted_but_its_frames_are_not(tree: Tree):
    tree.entry("v1", [9] * 14)
    (train,) = check_data(AffWild2(tree.root)).splits
    assert (train.clips, train.frames) == (2, 14)


def test_a_report_lists_errors_first_and_becomes_json(tree: Tree):
    import json

    tree.entry("v1", [-1, *ALL, *ALL[1:]])
    tree.entry("v2", [*ALL, *ALL, 0])
    tree.entry("v3", ["x"] * 14)
    report = check_data(AffWild2(tree.root))
    assert [p.level for p in report.problems] == [Level.ERROR, Level.WARNING, Level.NOTE]
    assert [report.count(level) for level in Level] == [1, 1, 1]
    back = json.loads(json.dumps(report.as_dict()))
    assert back["problems"][0]["code"] == "not-a-number"
    assert back["splits"][0]["clips"] == 4
