from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dataclasses import replace  # noqa: E402 (torch may be missing)

from emofuse.errors import ShapeError  # noqa: E402
from emofuse.media.images import ImageRows, encode_jpeg  # noqa: E402
from emofuse.training.loop import Examples  # noqa: E402
from emofuse.training.loop.examples import labels, read  # noqa: E402
from support.small_trainings import SMALL, same_weights, trained  # noqa: E402

ONE_HOT = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
INPUTS = np.arange(4)


# Where inputs may lie


@pytest.mark.usefixtures("one_thread")
def test_memory_mapped_inputs_and_targets_train_like_those_in_memory(tmp_path):
    for name, array in (("inputs", SMALL.train.inputs), ("targets", SMALL.train.targets)):
        np.save(tmp_path / f"{name}.npy", array)
    mapped = Examples(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("inputs", "targets")))
    one = trained(tmp_path / "a", data=replace(SMALL, train=mapped))
    assert same_weights(one, trained(tmp_path / "b"))


@pytest.mark.usefixtures("one_thread")
def test_inputs_that_are_read_as_needed_train_like_those_in_memory(tmp_path):
    class Lazy:
        def __len__(self):
            return len(SMALL.train)

        def __getitem__(self, rows):
            return np.stack([SMALL.train.inputs[row] for row in rows])

    one = trained(tmp_path / "a", data=replace(SMALL, train=Examples(Lazy(), SMALL.train.targets)))
    assert same_weights(one, trained(tmp_path / "b"))


def test_image_files_can_be_inputs(tmp_path):
    for k in range(4):
        (tmp_path / f"{k}.jpg").write_bytes(encode_jpeg(np.full((8, 8, 3), 20 * k, np.uint8)))
    rows = ImageRows([tmp_path / f"{k}.jpg" for k in range(4)], (8, 8))
    assert Examples(rows, ONE_HOT).batch(np.array([3, 1]))[:, 0, 0, 0].tolist() == [60, 20]


def test_rows_of_a_read_only_array_are_writable():
    fixed = np.arange(4)
    fixed.flags.writeable = False
    assert read(fixed, np.array([0, 1])).flags.writeable


# Refused


@pytest.mark.parametrize(
    ("targets", "more", "message"),
    [
        (ONE_HOT[:3], {}, "4 inputs, but 3 targets"),
        (np.array([0, 1, 2, 0]), {}, r"targets are int64 \(4,\); give float32 \[n, classes\]"),
        (ONE_HOT * 2, {}, r"row 0 of targets is not a distribution over the classes \(sum 2\)"),
        (np.tile(np.float32([1.5, -0.5, 0]), (4, 1)), {}, "row 0 of targets is not a distribution"),
        (np.full((4, 3), np.nan, np.float32), {}, "row 0 of targets is not a distribution"),
        (np.tile(ONE_HOT[:, None] * [[1], [3]], 1).astype(np.float32), {}, "row 0, 1 of targets"),
        (ONE_HOT, {"polish_targets": np.eye(4, dtype=np.float32)}, r"polish_targets have the shape \(4, 4\), targets"),
    ],
)
def test_inconsistent_examples_are_refused_with_the_location(targets, more, message):
    with pytest.raises(ShapeError, match=message):
        Examples(INPUTS, targets, **more)


def test_rows_of_zeros_are_unlabelled():
    assert labels(Examples(INPUTS, ONE_HOT * [[1], [0], [1], [1]]).targets).tolist() == [0, -1, 2, 0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"weights": np.ones(2, np.float32)}, r"weights have the shape \(2,\); give \(3,\)"),
        ({"possible": np.ones((3, 6), bool)}, r"possible have the shape \(3, 6\); give \(3, 7\)"),
        ({"possible": np.zeros((3, 7), bool)}, "a row has a target that is not possible"),
    ],
)
def test_weights_and_possible_classes_that_do_not_fit_are_refused(more, message):
    with pytest.raises(ShapeError, match=message):
        Examples(np.zeros(3), np.eye(3, 7, dtype=np.float32), **more)
