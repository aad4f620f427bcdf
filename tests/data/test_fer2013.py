from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2, FER2013, FERPLUS
from emofuse.data.fer2013 import PARTS, FaceImages, load_fer2013
from emofuse.errors import DataError

# Row:    0      1      2       3            4            5             6
PART = ["train", "train", "train", "public-test", "public-test", "private-test", "private-test"]
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
        "usage": np.array([PARTS.index(p) for p in PART], np.int8),
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


def test_training_faces_that_occur_in_a_test_part_are_dropped(fer2013):
    assert rows(load_fer2013(fer2013, "train")) == [0]


@pytest.mark.parametrize(("part", "expected"), [("public-test", [3, 4]), ("private-test", [5, 6])])
def test_a_test_part_is_never_thinned_out(fer2013, part, expected):
    assert rows(load_fer2013(fer2013, part)) == expected


def test_training_faces_that_repeat_among_themselves_stay(tmp_path):
    path = write(tmp_path / "f.npz", duplicate_group=np.array([0, 0, 0, 1, 2, 3, 4]))
    assert rows(load_fer2013(path, "train")) == [0, 1, 2]


def test_labels_are_those_of_the_file(fer2013):
    faces = load_fer2013(fer2013, "private-test")
    assert AFFWILD2.decode(faces.labels) == ["neutral", "surprise"]
    assert faces.labels.dtype == np.int64


@pytest.mark.parametrize("name", AFFWILD2.names)
def test_a_vote_for_an_emotion_counts_for_the_emotion_of_that_name(tmp_path, name):
    path = write(tmp_path / "f.npz", ferplus_votes=np.array([votes(**{name: 3})] * 7, np.int8))
    assert load_fer2013(path, "train").votes.tolist() == [[3.0 * (n == name) for n in AFFWILD2.names]]


def test_votes_for_contempt_unknown_and_no_face_are_ignored(fer2013):
    assert load_fer2013(fer2013, "train").votes.tolist() == [[1, 7, 0, 0, 0, 0, 0]]
    assert load_fer2013(fer2013, "private-test").votes.tolist() == [[0] * 7, [0, 0, 3, 0, 1, 2, 4]]


def test_a_row_without_ferplus_has_no_votes(fer2013):
    assert load_fer2013(fer2013, "public-test").votes.tolist() == [[0, 0, 0, 6, 0, 0, 4], [0] * 7]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("part", PARTS)
def test_every_row_of_targets_sums_to_one(fer2013, part, share):
    targets = load_fer2013(fer2013, part).targets(votes_share=share)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert targets.dtype == np.float32


def test_targets_mix_the_label_and_the_shares_of_the_votes(fer2013):
    targets = load_fer2013(fer2013, "public-test").targets(votes_share=0.5)
    # Labels fear and surprise; the votes of the first: 6 of 10 fear, 4 of 10 surprise; the second has none.
    np.testing.assert_allclose(targets, [[0, 0, 0, 0.8, 0, 0, 0.2], [0, 0, 0, 0, 0, 0, 1]], atol=1e-6)


def test_a_row_with_ignored_votes_alone_keeps_its_label(fer2013):
    targets = load_fer2013(fer2013, "private-test").targets(votes_share=1.0)
    assert targets[0].tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_an_unknown_part_is_answered_with_the_known_ones(fer2013):
    with pytest.raises(DataError, match="no part 'test'; there are train, public-test, private-test"):
        load_fer2013(fer2013, "test")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"fer2013.npz: no such file; give the path of fer2013\.npz"):
        load_fer2013(tmp_path / "fer2013.npz", "train")


@pytest.mark.parametrize("name", ["images", "emotion", "usage", "ferplus_votes", "duplicate_group"])
def test_a_missing_array_is_named(tmp_path, name):
    path = write(tmp_path / "f.npz", **{name: None})
    with pytest.raises(DataError, match=rf"f\.npz: not a FER-2013 npz file \(.*{name}"):
        load_fer2013(path, "train")


@pytest.mark.parametrize("content", [b"", b"emotion,pixels\n", b"PK\x03\x04 cut off"], ids=["empty", "csv", "cut"])
def test_a_file_that_is_no_npz_is_refused(tmp_path, content):
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"f\.npz: not a FER-2013 npz file"):
        load_fer2013(tmp_path / "f.npz", "train")


def test_a_download_that_was_cut_off_is_refused(fer2013):
    fer2013.write_bytes(fer2013.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"fer2013\.npz: not a FER-2013 npz file"):
        load_fer2013(fer2013, "train")


def test_objects_in_the_file_are_never_unpickled(tmp_path):
    path = write(tmp_path / "f.npz", emotion=np.array([{}] * 7, object))
    with pytest.raises(DataError, match=r"not a FER-2013 npz file \(Object arrays cannot be loaded"):
        load_fer2013(path, "train")


def test_the_original_names_have_the_order_of_the_paper():
    # The original label 0 is anger; read by position it would be neutral in Aff-Wild2.
    assert FER2013.names[0] == "angry"
    assert AFFWILD2.names[0] == "neutral"
