from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2, FER2013, FERPLUS
from emofuse.datasets import check_data, open_data
from emofuse.datasets.fer2013.dataset import USAGES, FaceImages, Fer2013, find_fer2013
from emofuse.errors import DataError
from support.fer2013_files import KAGGLE_USAGES, write_images, write_table

# Row:    0      1      2       3            4            5             6
USAGE = ["train", "train", "train", "public-test", "public-test", "private-test", "private-test"]
GROUP = [0, 1, 2, 1, 3, 2, 3]  # rows 1 and 3, 2 and 5, 4 and 6 show the same image
EMOTION = [1, 3, 0, 3, 6, 0, 6]  # AFFWILD2: anger, fear, neutral, fear, surprise, neutral, surprise


def votes(**counts: int) -> list[int]:
    return [counts.get(name.replace("-", "_"), 0) for name in FERPLUS.names]


VOTES = [
    votes(anger=7, neutral=1, contempt=2),
    votes(fear=10),
    votes(neutral=5, unknown=5),
    votes(surprise=4, fear=6),
    [-1] * 10,  # without FER+ votes
    votes(contempt=3, unknown=3, not_a_face=4),
    votes(happiness=1, sadness=2, disgust=3, surprise=4),
]


def write(path: Path, **changes: Any) -> Path:
    arrays = {
        "images": np.broadcast_to(np.arange(7, dtype=np.uint8)[:, None, None], (7, 48, 48)),
        "emotion": np.array(EMOTION, np.int8),
        "usage": np.array([USAGES.index(p) for p in USAGE], np.int8),
        "ferplus_votes": np.array(VOTES, np.int8),
        "duplicate_group": np.array(GROUP, np.int32),
    }
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return path


@pytest.fixture
def fer2013(tmp_path: Path) -> Path:
    return write(tmp_path / "fer2013.npz")


def rows(faces: FaceImages) -> list[int]:
    assert faces.faces.shape == (len(faces), 48, 48)
    return faces.faces[:, 0, 0].tolist()


def test_training_faces_that_occur_in_a_test_set_are_dropped(fer2013):
    assert rows(Fer2013(fer2013).images("train")) == [0]


@pytest.mark.parametrize(("usage", "expected"), [("public-test", [3, 4]), ("private-test", [5, 6])])
def test_the_test_sets_are_complete(fer2013, usage, expected):
    assert rows(Fer2013(fer2013).images(usage)) == expected


def test_training_faces_that_repeat_within_the_training_set_are_kept(tmp_path):
    path = write(tmp_path / "f.npz", duplicate_group=np.array([0, 0, 0, 1, 2, 3, 4]))
    assert rows(Fer2013(path).images("train")) == [0, 1, 2]


def test_labels_are_the_original_ones(fer2013):
    faces = Fer2013(fer2013).images("private-test")
    assert AFFWILD2.decode(faces.labels) == ["neutral", "surprise"]
    assert faces.labels.dtype == np.int64


@pytest.mark.parametrize("name", AFFWILD2.names)
def test_votes_are_matched_to_classes_by_name(tmp_path, name):
    path = write(tmp_path / "f.npz", ferplus_votes=np.array([votes(**{name: 3})] * 7, np.int8))
    assert Fer2013(path).images("train").votes.tolist() == [[3.0 * (n == name) for n in AFFWILD2.names]]


def test_votes_for_contempt_unknown_and_no_face_are_ignored(fer2013):
    assert Fer2013(fer2013).images("train").votes.tolist() == [[1, 7, 0, 0, 0, 0, 0]]
    assert Fer2013(fer2013).images("private-test").votes.tolist() == [[0] * 7, [0, 0, 3, 0, 1, 2, 4]]


def test_a_row_without_ferplus_has_no_votes(fer2013):
    assert Fer2013(fer2013).images("public-test").votes.tolist() == [[0, 0, 0, 6, 0, 0, 4], [0] * 7]


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("usage", USAGES)
def test_every_row_of_targets_sums_to_one(fer2013, usage, weight):
    targets = Fer2013(fer2013).images(usage).targets(votes_weight=weight)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert targets.dtype == np.float32


def test_targets_mix_the_label_and_the_normalised_votes(fer2013):
    targets = Fer2013(fer2013).images("public-test").targets(votes_weight=0.5)
    # Labels fear and surprise; the votes of the first: 6 of 10 fear, 4 of 10 surprise; the second has none.
    np.testing.assert_allclose(targets, [[0, 0, 0, 0.8, 0, 0, 0.2], [0, 0, 0, 0, 0, 0, 1]], atol=1e-6)


def test_a_row_with_only_ignored_votes_keeps_its_label(fer2013):
    targets = Fer2013(fer2013).images("private-test").targets(votes_weight=1.0)
    assert targets[0].tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_an_unknown_usage_is_an_error_that_lists_the_known_ones(fer2013):
    with pytest.raises(
        DataError,
        match=r"unknown usage 'test' \(did you mean 'public-test'\?\); choose train, public-test, private-test",
    ):
        Fer2013(fer2013).images("test")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"fer2013.npz: no such file; give the path of fer2013\.npz"):
        Fer2013(tmp_path / "fer2013.npz").images("train")


@pytest.mark.parametrize("name", ["images", "emotion", "usage"])
def test_a_missing_array_is_named(tmp_path, name):
    path = write(tmp_path / "f.npz", **{name: None})
    with pytest.raises(DataError, match=rf"f\.npz: not a FER-2013 npz file \(.*{name}"):
        Fer2013(path).images("train")


@pytest.mark.parametrize("content", [b"", b"emotion,pixels\n", b"PK\x03\x04 cut off"], ids=["empty", "csv", "cut"])
def test_a_file_that_is_not_npz_is_refused(tmp_path, content):
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"f\.npz: not a FER-2013 npz file"):
        Fer2013(tmp_path / "f.npz").images("train")


def test_a_truncated_download_is_refused(fer2013):
    fer2013.write_bytes(fer2013.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"fer2013\.npz: not a FER-2013 npz file"):
        Fer2013(fer2013).images("train")


def test_objects_in_the_file_are_never_unpickled(tmp_path):
    path = write(tmp_path / "f.npz", emotion=np.array([{}] * 7, object))
    with pytest.raises(DataError, match=r"not a FER-2013 npz file \(Object arrays cannot be loaded"):
        Fer2013(path).images("train")


def test_the_original_label_order_differs_from_that_of_aff_wild2():
    # The original label 0 is anger; read by position it would be neutral in Aff-Wild2.
    assert FER2013.names[0] == "angry"
    assert AFFWILD2.names[0] == "neutral"


def test_an_npz_without_votes_and_groups_has_hard_labels_and_finds_identical_images(tmp_path):
    images = np.broadcast_to(np.array([0, 1, 2, 1, 3, 2, 3], np.uint8)[:, None, None], (7, 48, 48))
    path = write(tmp_path / "f.npz", images=images, ferplus_votes=None, duplicate_group=None)
    faces = Fer2013(path).images("train")
    assert rows(faces) == [0]
    assert faces.targets(votes_weight=1.0).tolist() == [[0, 1, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((7, 48, 40), np.uint8)}, r"images is uint8 \[7, 48, 40\], expected .* \[7, 48, 48\]"),
        ({"images": np.zeros((0, 48, 48), np.uint8)}, "images is .* for at least one image"),
        ({"emotion": np.zeros(6, np.int8)}, r"emotion is int8 \[6\], expected whole numbers \[7\]"),
        ({"emotion": np.zeros(7)}, r"emotion is float64"),
        ({"emotion": np.full(7, 7, np.int8)}, r"emotion runs from 7 to 7, expected 0 to 6 \(neutral, anger"),
        ({"usage": np.array([0, 0, 0, 1, 1, 2, 3], np.int8)}, r"usage runs from 0 to 3, expected 0 to 2 \(train"),
        ({"ferplus_votes": np.zeros((7, 8), np.int8)}, r"ferplus_votes is int8 \[7, 8\], expected .* \[7, 10\]"),
    ],
)
def test_an_invalid_array_is_named(tmp_path, changes, message):
    with pytest.raises(DataError, match=rf"f\.npz: {message}"):
        Fer2013(write(tmp_path / "f.npz", **changes)).images("train")


# -- Kaggle's table -------------------------------------------------------------------------------------------

# One image of each class for each usage, identified by its brightness.
FLAT = [(n % 7, np.full((48, 48), 10 + n, np.uint8), KAGGLE_USAGES[n // 7]) for n in range(21)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "fer2013.csv", FLAT)


@pytest.mark.parametrize(("usage", "first"), [("train", 10), ("public-test", 17), ("private-test", 24)])
def test_a_table_has_the_faces_of_each_usage_with_their_labels(table, usage, first):
    faces = Fer2013(table).images(usage)
    assert rows(faces) == list(range(first, first + 7))
    # Kaggle's order begins with angry and ends with neutral.
    assert AFFWILD2.decode(faces.labels) == [
        "anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"
    ]  # fmt: skip


def test_the_pixels_of_a_table_are_in_row_order(tmp_path):
    face = np.arange(2304).reshape(48, 48) % 251
    path = write_table(tmp_path / "f.csv", [(0, face, "Training")])
    assert Fer2013(path).images("train").faces[0].tolist() == face.tolist()


def test_a_table_has_no_votes(table):
    assert not Fer2013(table).images("train").votes.any()


def test_columns_may_be_in_any_order_with_spaces_and_quotes(tmp_path):
    pixels = " ".join(["7"] * 2304)
    path = tmp_path / "icml_face_data.csv"
    path.write_text(f'\ufeffemotion, Usage, pixels\n3,Training,"{pixels}"\n\n4,PublicTest,{pixels}\n', "utf-8")
    assert AFFWILD2.decode(Fer2013(path).images("public-test").labels) == ["sadness"]
    assert len(Fer2013(path).images("public-test")) == 1


def test_training_rows_of_a_table_with_the_image_of_a_test_row_are_dropped(tmp_path):
    dark, light = np.zeros((48, 48), int), np.full((48, 48), 9)
    path = write_table(tmp_path / "f.csv", [(0, dark, "Training"), (1, light, "Training"), (2, dark, "PrivateTest")])
    assert rows(Fer2013(path).images("train")) == [9]
    assert rows(Fer2013(path).images("private-test")) == [0]


GOOD = " ".join(["1"] * 2304)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r":1: no column 'emotion', found nothing; give Kaggle's fer2013\.csv"),
        ("emotion,pixels\n", r":1: no column 'usage', found emotion, pixels; give Kaggle's"),
        ("emotion,pixels,Usage\n", ": a header without rows"),
        (f"emotion,pixels,Usage\n0,{GOOD},Training\n1,{GOOD[:-2]},Training\n", ":3: 2303 pixels, expected 48x48"),
        (f"emotion,pixels,Usage\n0,{GOOD} x7,Training\n", r":2: 'x7' among the pixels, expected numbers from 0 to 255"),
        (f"emotion,pixels,Usage\n0,{GOOD[:-1]}-1,Training\n", ":2: '-1' among the pixels"),
        (f"emotion,pixels,Usage\n0,{GOOD[:-1]}256,Training\n", ":2: a pixel of 256, expected 0 to 255"),
        (f"emotion,pixels,Usage\n0,{GOOD[:-1]}{'9' * 30},Training\n", ":2: a pixel of "),
        ("emotion,pixels,Usage\n0,,Training\n", ":2: 'nothing' among the pixels"),
        (f"emotion,pixels,Usage\n7,{GOOD},Training\n", r":2: emotion '7', expected 0 to 6 \(angry, disgust"),
        (f"emotion,pixels,Usage\nhappy,{GOOD},Training\n", ":2: emotion 'happy', expected 0 to 6"),
        (f"emotion,pixels,Usage\n0,{GOOD},Test\n", ":2: Usage 'Test', expected Training, PublicTest or PrivateTest"),
        (f"emotion,pixels,Usage\n0,{GOOD}\n", ":2: 2 fields, the header has emotion, pixels, usage"),
        (f'emotion,pixels,Usage\n0,"{GOOD * 40}', r":2: is not CSV \(field larger than field limit"),
    ],
)  # fmt: skip
def test_a_faulty_table_is_an_error_with_its_line_and_a_remedy(tmp_path, content, message):
    path = tmp_path / "f.csv"
    path.write_text(content, "utf-8")
    with pytest.raises(DataError, match=rf"f\.csv{message}") as raised:
        Fer2013(path).images("train")
    assert "\n" not in str(raised.value)


def test_a_table_that_is_not_text_is_an_error_with_its_line(tmp_path):
    path = tmp_path / "f.csv"
    path.write_bytes(f"emotion,pixels,Usage\n0,{GOOD},Training\n".encode() + b"\x81\xfe\n")
    with pytest.raises(DataError, match=r"f\.csv:3: is not text in UTF-8 or Latin-1; save the table"):
        Fer2013(path).images("train")


def test_a_missing_table_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"f\.csv: cannot be read \(No such file or directory\); give Kaggle's"):
        Fer2013(tmp_path / "f.csv").images("train")


def test_a_missing_usage_is_an_error_that_lists_those_found(tmp_path):
    path = write_table(tmp_path / "f.csv", [(0, GOOD, "Training"), (1, GOOD, "PrivateTest")])
    with pytest.raises(DataError, match=r"f\.csv: no faces of public-test, found train \(1\), private-test"):
        Fer2013(path).images("public-test")


# -- Kaggle's folders of images -------------------------------------------------------------------------------


def test_folders_of_images_have_the_same_content_as_the_table(table, tmp_path):
    folder = write_images(tmp_path / "images", FLAT)
    for usage in USAGES:
        a, b = Fer2013(table).images(usage), Fer2013(folder).images(usage)
        assert dict(zip(rows(a), a.labels, strict=True)) == dict(zip(rows(b), b.labels, strict=True))


@pytest.mark.parametrize(
    "names",
    [
        ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
        ("Angry", "Disgust", "Fearful", "Happy", "Sad", "Surprised", "Neutral"),
    ],
)
def test_folders_may_be_named_with_synonyms(tmp_path, names):
    faces = Fer2013(write_images(tmp_path, FLAT, names=names)).images("train")
    assert dict(zip(rows(faces), AFFWILD2.decode(faces.labels), strict=True)) == {
        10: "anger", 11: "disgust", 12: "fear", 13: "happiness", 14: "sadness", 15: "surprise", 16: "neutral"
    }  # fmt: skip


def test_a_folder_validation_is_the_public_test_set_and_the_parent_folder_is_accepted(tmp_path):
    write_images(tmp_path / "images", FLAT[:14])
    (tmp_path / "images" / "test").rename(tmp_path / "images" / "validation")
    assert find_fer2013(tmp_path) == tmp_path / "images"
    assert rows(Fer2013(tmp_path).images("public-test")) == [17, 18, 19, 20, 23, 21, 22]  # by the folders' names


def test_test_images_with_other_names_are_private_test_images(tmp_path):
    root = write_images(tmp_path, FLAT[:14])
    for n, path in enumerate(sorted((root / "test").rglob("*.png"))):
        path.rename(path.with_name(f"{n}.png"))
    assert len(Fer2013(root).images("private-test")) == 7
    with pytest.raises(DataError, match=r"no faces of public-test, .*folders, public-test is validation/"):
        Fer2013(root).images("public-test")


def test_colour_images_become_grey(tmp_path):
    root = write_images(tmp_path, [(0, np.tile(np.array([0, 0, 200], np.uint8), (48, 48, 1)), "Training")])
    assert rows(Fer2013(root).images("train")) == [60]  # 0.299 of red; cv2 writes blue first


def test_an_unknown_folder_is_an_error_that_suggests_the_nearest_emotion(tmp_path):
    root = write_images(tmp_path, FLAT)
    (root / "train" / "happyy").mkdir()
    with pytest.raises(
        DataError, match=r"train/happyy: 'happyy' is not an emotion of FER-2013 \(did you mean 'happy'\?\)"
    ):
        Fer2013(root).images("train")


def test_an_image_of_another_size_is_named(tmp_path):
    root = write_images(tmp_path, [*FLAT, (3, np.zeros((48, 64), np.uint8), "PrivateTest")])
    with pytest.raises(DataError, match=r"PrivateTest_0021\.png: 64x48 pixels, FER-2013 has 48x48; get the file again"):
        Fer2013(root).images("train")


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    root = write_images(tmp_path, FLAT)
    (root / "train" / "sad" / "broken.jpg").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"sad/broken\.jpg: is not an image; copy it again"):
        Fer2013(root).images("train")


def test_other_files_are_ignored(tmp_path):
    root = write_images(tmp_path, FLAT)
    for name in ("train/sad/Thumbs.db", "train/sad/.hidden.png", "readme.txt", "train/notes.txt"):
        (root / name).write_bytes(b"x")
    (root / "__MACOSX").mkdir()
    assert len(Fer2013(root).images("train")) == 7


def test_folders_without_images_are_an_error(tmp_path):
    (tmp_path / "train" / "happy").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no images in train/<emotion>; unpack the images of FER-2013 there"):
        Fer2013(tmp_path).images("train")


# -- as a data set ------------------------------------------------------------------------------------


def test_every_form_of_fer2013_is_recognised(table, fer2013, tmp_path):
    images = write_images(tmp_path / "kaggle", FLAT)
    (tmp_path / "mine.csv").write_text("path,label\n")
    assert all(isinstance(open_data(p, still_images=True), Fer2013) for p in (table, fer2013, images))
    assert not isinstance(open_data(tmp_path / "mine.csv", still_images=True), Fer2013)


def test_a_folder_that_holds_the_table_is_recognised(table):
    assert open_data(table.parent, still_images=True).path == table


def test_fer2013_is_refused_unless_still_images_are_accepted(table):
    with pytest.raises(
        DataError, match=r"fer2013 has single images without time or audio, but this command needs clips"
    ):
        open_data(table)


def test_a_folder_of_clips_sorted_by_emotion_is_not_fer2013(tmp_path):
    (tmp_path / "train" / "happy").mkdir(parents=True)
    (tmp_path / "train" / "happy" / "a.mp4").touch()
    (tmp_path / "labels.csv").write_text("path,label\ntrain/happy/a.mp4,happy\n")
    assert open_data(tmp_path).clips[0].id == "train/happy/a"


def test_faces_with_more_votes_for_no_emotion_are_not_clear(fer2013):
    # In order of usage: 8 of 10 votes for a name; 10 of 10, no votes; 0 of 10, 10 of 10.
    assert Fer2013(fer2013).images("train").is_clear.tolist() == [True]
    assert Fer2013(fer2013).images("public-test").is_clear.tolist() == [True, True]
    assert Fer2013(fer2013).images("private-test").is_clear.tolist() == [False, True]


def test_plurality_needs_most_votes_and_majority_more_than_half(tmp_path):
    cases = [  # votes; plurality, majority, and majority where single votes count as none
        (votes(anger=4, sadness=3, unknown=3), "anger", None, None),
        (votes(anger=5, sadness=5), None, None, None),
        (votes(anger=4, sadness=1, unknown=5), None, None, None),
        (votes(anger=5, sadness=1, fear=1, unknown=1, contempt=2), "anger", None, "anger"),
        (votes(anger=6, unknown=4), "anger", "anger", "anger"),
        ([-1] * 10, None, None, None),
        (votes(disgust=1), "disgust", "disgust", None),
    ]
    counted = np.array([case[0] for case in cases], np.int8)
    path = write(tmp_path / "f.npz", ferplus_votes=counted, usage=np.full(7, 2), duplicate_group=np.arange(7))
    faces = Fer2013(path).images("private-test")
    found = (faces.plurality, faces.majority, faces.without_single_votes().majority)
    names = [tuple(AFFWILD2.names[k] if k >= 0 else None for k in row) for row in zip(*found, strict=True)]
    assert names == [case[1:] for case in cases]


def test_each_image_is_a_clip_with_its_label_face_and_votes(fer2013):
    data = Fer2013(fer2013)
    assert [clip.id for clip in data.split("train")] == ["train-00000"]
    assert [clip.id for clip in data.split("validation")] == ["public-test-00003", "public-test-00004"]
    assert [clip.id for clip in data.split("test")] == ["private-test-00005", "private-test-00006"]
    clip = data.split("validation")[0]
    assert data.annotation(clip).labels.tolist() == [3]
    assert data.faces(clip).values.tolist() == np.full((1, 48, 48), 3).tolist()
    assert data.votes(clip).tolist() == [[0, 0, 0, 6, 0, 0, 4]]
    assert len(data.timeline(clip)) == 1


def test_without_ferplus_no_votes_are_known(table):
    data = Fer2013(table)
    assert data.votes(data.clips[0]) is None


def test_statistics_count_the_images_of_each_split(fer2013):
    splits = check_data(Fer2013(fer2013)).splits
    assert [(s.split, s.clips, s.labels, s.face_fraction) for s in splits] == [
        ("train", 1, 1, 1.0), ("validation", 2, 2, 1.0), ("test", 2, 2, 1.0)
    ]  # fmt: skip
