from __future__ import annotations

import shutil

import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.core.types import Clip
from emofuse.datasets.affwild2.dataset import AffWild2
from emofuse.datasets.dataset import check_data
from emofuse.datasets.problems import KINDS, Level, Problem
from support.affwild2_trees import ALL, HEADER, TRAIN, VALIDATION, Tree
from support.media_files import moving_bar, write_media

CLEAN = "v0"  # an entry with nothing wrong, so that a tree has all classes


@pytest.fixture
def tree(tree: Tree) -> Tree:
    tree.entry(CLEAN)
    return tree


def found(tree: Tree, **options: object) -> list[Problem]:
    return list(AffWild2(tree.root, **options).problems())


def kinds(tree: Tree) -> set[tuple[str, str]]:
    problems = found(tree)
    assert {p.kind for p in problems} <= KINDS.keys()
    return {(p.kind, p.where) for p in problems}


def only(tree: Tree) -> Problem:
    (problem,) = found(tree)
    assert problem.kind in KINDS
    assert "\n" not in str(problem)
    return problem


def test_a_folder_without_faults_yields_nothing(tree: Tree):
    tree.entry("v1", folder=VALIDATION)
    tree.video("v2")
    tree.labels("v2_left")
    tree.images("v2_left")
    assert found(tree) == []


# -- labels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "means"),
    [
        ([*ALL, *ALL, 0], "15 labels, but the video has 14 frames; the last label is dropped"),
        ([*ALL, *ALL[1:]], "13 labels, but the video has 14 frames; the last frame is not labelled"),
    ],
)
def test_one_label_more_or_less_than_frames_is_tolerated(tree: Tree, labels, means):
    tree.entry("v1", labels)
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.WARNING, "off-by-one", "v1")
    assert str(problem) == f"{tree.root / TRAIN / 'v1.txt'}: {means}"


@pytest.mark.parametrize("count", [9, 12, 16, 19])
def test_a_larger_difference_is_an_error(tree: Tree, count):
    tree.entry("v1", [0] * count)
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.ERROR, "count", "v1")
    assert problem.found == f"{count} labels, but the video has 14 frames"


@pytest.mark.parametrize(
    ("lines", "kind", "place", "told"),
    [
        ([HEADER.replace("Fear", "Feer"), *ALL, *ALL], "header", 1, "an unknown class 'feer' (did you mean 'fear'?)"),
        ([*ALL, *ALL], "header", 1, "the first line is '0', not the names of the classes"),
        ([HEADER, *ALL, *ALL[:6], 8], "label", 15, "label 8 is outside the set (0 to 6, or -1)"),
        ([HEADER, *ALL, "", *ALL[1:]], "missing-label", 9, "empty line"),
        ([HEADER, *ALL, "", *ALL], "missing-label", 9, "empty line"),
        ([HEADER, *ALL, "angry", *ALL[1:]], "text", 9, "'angry' is no whole number"),
        ([HEADER, *ALL, "1.5", *ALL[1:]], "text", 9, "'1.5' is no whole number"),
    ],
)
def test_a_fault_in_a_label_file_is_one_error_with_its_line(tree: Tree, lines, kind, place, told):
    tree.entry("v1")
    path = tree.text("v1", lines)
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.ERROR, kind, "v1")
    assert str(problem).startswith(f"{path}:{place}: ")
    assert problem.found.endswith(told)


def test_unlabelled_frames_are_noted_with_their_count_and_first_line(tree: Tree):
    tree.entry("v1", [*ALL, -1, -1, *ALL[2:]])
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where, problem.line) == (Level.NOTE, "unlabelled", "v1", 9)
    assert problem.found == "2 of 14 labels are -1, the first in line 9"


def test_a_label_that_is_dropped_is_not_counted_as_unlabelled(tree: Tree):
    tree.entry("v1", [*ALL, *ALL, -1])
    assert kinds(tree) == {("off-by-one", "v1")}


def test_unlabelled_frames_show_beside_a_fault(tree: Tree):
    tree.entry("v1")
    tree.text("v1", ["wrong", *ALL, -1, *ALL[1:]])
    assert kinds(tree) == {("header", "v1"), ("unlabelled", "v1")}


def test_an_entry_without_any_label_is_a_warning(tree: Tree):
    tree.entry("v1", [-1] * 14)
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.WARNING, "empty", "v1")
    assert problem.found == "all 14 labels are -1"


def test_a_class_that_a_part_lacks_is_a_warning(tree: Tree):
    tree.entry("v1", [0, 1, 2, 4, 5] * 2 + [0] * 4, folder=VALIDATION)
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.WARNING, "absent-class", "validation")
    assert problem.found == "no label fear, surprise in all of validation"


def test_labels_in_eight_classes_used_as_seven_need_no_other(tree: Tree):
    later = "annotations/EXPR_Recognition_Challenge/Train_Set"
    tree.labels(CLEAN, folder=later)
    assert [p.where for p in found(tree, edition="2022")] == ["train"]
    assert found(tree, edition="2022", label_set=AFFWILD2) == []


# -- videos ---------------------------------------------------------------------------------------------------


def test_a_video_without_sound_is_told_once_for_its_persons(tree: Tree):
    tree.video("v1", sound=False)
    for entry in ("v1_left", "v1_right"):
        tree.labels(entry)
        tree.images(entry)
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.WARNING, "no-sound", "v1")


def test_an_absent_video_is_an_error(tree: Tree):
    tree.labels("v1")
    tree.images("v1")
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.ERROR, "no-video", "v1")
    assert problem.found == "there is no video v1 (.mp4, .avi or the like)"


def test_an_unreadable_video_is_an_error_in_the_words_of_the_reader(tree: Tree):
    tree.entry("v1")
    path = tree.video("v1")
    path.write_bytes(b"")
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.ERROR, "unreadable", "v1")
    assert str(problem) == f"{path}: is empty (0 bytes). Copy or record it again; its entries are left out"


def test_a_video_that_is_cut_off_is_a_warning(tree: Tree):
    path = tree.root / "videos" / "v1.mp4"
    write_media(path, moving_bar(60), container_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: (data.index(b"mdat") + len(data)) // 2])
    problem = next(p for p in found(tree) if p.kind == "damaged-video")
    assert (problem.level, problem.where, problem.path) == (Level.WARNING, "v1", path)
    assert "the header promises 2.0 s: the file is cut off" in problem.found


def test_two_videos_of_one_name_are_a_warning_if_one_fits(tree: Tree):
    tree.entry("v1")
    tree.video("v1", 21, folder="videos/batch2", suffix=".avi")
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.WARNING, "ambiguous-stem", "v1")
    assert "v1.mp4 (14 frames)" in problem.found
    assert "v1.avi (21 frames)" in problem.found
    assert problem.means == "batch1/v1.mp4 is taken, since only its frames fit"


def test_two_videos_of_one_name_are_an_error_if_both_fit(tree: Tree):
    tree.entry("v1")
    tree.video("v1", folder="videos/batch2")
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.ERROR, "ambiguous-stem", "v1")


def test_persons_of_one_video_in_two_parts_share_its_sound(tree: Tree):
    path = tree.video("v1")
    for entry, folder in (("v1_left", TRAIN), ("v1_right", VALIDATION)):
        tree.labels(entry, folder=folder)
        tree.images(entry)
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.WARNING, "leak", "v1")
    assert str(problem) == (
        f"{path}: its persons are in different parts: v1_left in train, v1_right in validation; "
        "they share one sound, so scores of systems that listen come out too high"
    )


# -- images ---------------------------------------------------------------------------------------------------


def test_frames_without_an_image_are_noted_with_the_first_range(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    folder = tree.images("v1", [1, 2, 6, 7, 8, 9, 10, 14])
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where, problem.path) == (Level.NOTE, "no-face", "v1", folder)
    assert problem.found == "6 of 14 frames have no image, the first are 3 to 5"


def test_gaps_that_both_folders_share_are_noted_once(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    for folder in ("cropped_aligned", "cropped"):
        tree.images(CLEAN, folder=folder)
        tree.images("v1", [1, 2], folder=folder)
    assert only(tree).kind == "no-face"


def test_an_annotated_entry_without_images_is_a_warning(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.WARNING, "no-images", "v1")
    assert problem.found == "v1 has no images in cropped_aligned"


def test_without_any_image_folder_there_is_one_warning_for_all(film, tmp_path):
    tree = Tree(tmp_path / "bare", film)
    for entry in ("v1", "v2"):
        tree.video(entry)
        tree.labels(entry)
    assert kinds(tree) == {("no-images", "affwild2-2020")}


@pytest.mark.parametrize(("number", "kind", "level"), [(15, "off-by-one", Level.WARNING), (16, "count", Level.ERROR)])
def test_images_beyond_the_last_frame_are_told(tree: Tree, number, kind, level):
    tree.entry("v1")
    tree.images("v1", [number])
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (level, kind, "v1")
    assert problem.found == f"images up to number {number}, but the video has 14 frames"


def test_images_that_count_from_zero_are_an_error(tree: Tree):
    tree.entry("v1")
    tree.images("v1", [0])
    assert (only(tree).kind, only(tree).level) == ("count", Level.ERROR)


def test_two_image_folders_of_one_entry_are_an_error(tree: Tree):
    tree.video("v1")
    tree.labels("v1")
    for batch in ("a", "b"):
        tree.images("v1", folder=f"cropped_aligned/{batch}")
    assert (only(tree).kind, only(tree).where) == ("ambiguous-stem", "v1")


def test_images_that_cannot_be_listed_are_an_error_that_stops_nothing(tree: Tree):
    tree.entry("v1", [*ALL, *ALL, 0])
    data = AffWild2(tree.root)
    shutil.rmtree(tree.root / "cropped_aligned" / CLEAN)
    problems = list(data.problems())
    assert [(p.kind, p.where) for p in problems] == [("unreadable", CLEAN), ("off-by-one", "v1")]
    assert problems[0].found == "the folder cannot be listed (No such file or directory)"


# -- parts ----------------------------------------------------------------------------------------------------


def test_with_a_list_what_is_nowhere_is_left_out_with_a_warning(tree: Tree):
    (tree.root / "annotations/EXPR_Set/Test_Set.txt").write_text("v1\n")
    for entry in ("v1", "v2"):
        tree.video(entry)
    tree.images("v3_left")
    tree.video("v3")
    assert kinds(tree) == {("no-annotation", "v2"), ("no-annotation", "v3_left")}
    assert {clip.id for clip in AffWild2(tree.root).clips} == {CLEAN, "v1"}


def test_without_a_list_a_note_says_what_counts_as_test(tree: Tree):
    tree.video("v1")
    problem = only(tree)
    assert (problem.level, problem.kind) == (Level.NOTE, "no-test-list")
    assert problem.found == "no test list, and 1 entries without an annotation, v1 the first"


def test_an_entry_of_two_parts_is_an_error(tree: Tree):
    tree.entry("v1")
    tree.labels("v1", folder=VALIDATION)
    problem = only(tree)
    assert (problem.level, problem.kind, problem.where) == (Level.ERROR, "leak", "v1")
    assert str(problem).startswith(
        f"{tree.root / TRAIN / 'v1.txt'}: the entry is in train and in validation; it counts"
    )


def test_a_train_entry_in_the_test_list_is_an_error(tree: Tree):
    tree.entry("v1")
    (tree.root / "Test_Set.txt").write_text("v1\n")
    assert kinds(tree) == {("leak", "v1")}


def test_one_fault_hides_no_other(tree: Tree):
    tree.entry("v1", [9] * 14)
    tree.labels("v2")
    tree.entry("v3", [-1, *ALL, *ALL])
    tree.images("v3", [15])
    tree.video("v4", sound=False)
    (tree.root / "Test_Set.txt").write_text("v5\n")
    assert kinds(tree) == {
        ("label", "v1"),
        ("no-video", "v2"),
        ("no-images", "v2"),
        ("off-by-one", "v3"),
        ("unlabelled", "v3"),
        ("no-annotation", "v4"),
        ("no-video", "v5"),
    }


def test_problems_come_as_they_are_found(tree: Tree):
    tree.entry("v1", [9] * 14)
    tree.video("v2").write_bytes(b"")
    data = AffWild2(tree.root)
    problems = data.problems()
    assert [next(problems).kind, next(problems).kind] == ["no-test-list", "label"]


# -- figures --------------------------------------------------------------------------------------------------


def test_figures_count_clips_recordings_frames_labels_and_images(tree: Tree):
    tree.video("v1")
    tree.labels("v1_left", [0] * 7 + [-1] * 7)
    tree.labels("v1_right")
    tree.images("v1_left", range(1, 8))
    tree.images("v1_right")
    seen: list[Clip] = []
    data = AffWild2(tree.root)
    (train,) = check_data(data, on_clip=seen.append).splits
    assert (train.split, train.clips, train.recordings, train.subjects) == ("train", 3, 2, None)
    assert (train.frames, train.labels, train.seconds) == (42, 42, pytest.approx(1.4, abs=0.01))
    assert train.labelled_fraction == pytest.approx(35 / 42)
    assert train.class_fractions["neutral"] == pytest.approx((2 + 7 + 2) / 35)
    assert sum(train.class_fractions.values()) == pytest.approx(1)
    assert train.face_fraction == pytest.approx(35 / 42)
    assert seen == list(data.clips)


def test_a_clip_with_an_error_counts_as_a_clip_but_adds_no_frames(tree: Tree):
    tree.entry("v1", [9] * 14)
    (train,) = check_data(AffWild2(tree.root)).splits
    assert (train.clips, train.frames) == (2, 14)


def test_an_examination_has_errors_first_and_becomes_json(tree: Tree):
    import json

    tree.entry("v1", [-1, *ALL, *ALL[1:]])
    tree.entry("v2", [*ALL, *ALL, 0])
    tree.entry("v3", ["x"] * 14)
    report = check_data(AffWild2(tree.root))
    assert [p.level for p in report.problems] == [Level.ERROR, Level.WARNING, Level.NOTE]
    assert [report.count(level) for level in Level] == [1, 1, 1]
    back = json.loads(json.dumps(report.as_dict()))
    assert back["problems"][0]["kind"] == "text"
    assert back["splits"][0]["clips"] == 4
