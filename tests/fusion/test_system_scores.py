from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.core.labels import LabelSet
from emofuse.errors import LabelError, ShapeError
from emofuse.fusion import SystemScores
from support.fusion_scores import ABC, scores, steps

FACE = scores("face", [[2, 1, 1], [0, 3, 0]])
VOICE = scores("voice", [[1, 1, 2], [5, 5, 5]], [True, False])


def test_values_are_probabilities_and_zeros_where_a_system_is_not_valid():
    given = SystemScores.of([[FACE, VOICE]])
    assert given.values.tolist() == [[[0.5, 0.25, 0.25], [0, 1, 0]], [[0.25, 0.25, 0.5], [0, 0, 0]]]
    assert given.valid.tolist() == [[True, True], [True, False]]


def test_systems_are_bound_by_name_in_every_clip():
    given = SystemScores.of([[FACE, VOICE], [VOICE, FACE]])
    assert given.systems == ("face", "voice")
    assert np.array_equal(given.values[:, :2], given.values[:, 2:])


def test_indexing_selects_frames():
    given = SystemScores.of([[FACE, VOICE]])
    second = given[np.array([False, True])]
    assert second.valid.tolist() == [[True], [False]]
    assert np.array_equal(second.values, given.values[:, 1:])


@given(st.integers(1, 5), st.integers(0, 20), st.randoms(use_true_random=False))
def test_patterns_restore_which_systems_are_valid_at_each_frame(systems, frames, random):
    valid = np.array([[random.random() < 0.5 for _ in range(frames)] for _ in range(systems)], bool)
    values = np.zeros((systems, frames, 3), np.float32)
    validity, pattern = SystemScores(values, valid, tuple(map(str, range(systems))), ABC).patterns()
    assert np.array_equal(validity[pattern].T, valid)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], "no scores; give"),
        ([[FACE, VOICE], [FACE]], "clip 1: systems face, expected face, voice; give the scores of exactly these"),
        ([[FACE, FACE]], "'face' occurs twice"),
        ([[FACE, replace(VOICE, timeline=steps(3)[1:])]], "bring them onto one timeline first: scores.onto"),
    ],
)
def test_clips_that_do_not_fit_are_refused_in_one_line(clips, message):
    with pytest.raises(ShapeError, match=message) as caught:
        SystemScores.of(clips)
    assert "\n" not in str(caught.value)


def test_other_labels_are_refused():
    with pytest.raises(LabelError, match="labels of 'voice' are c, b, a, not a, b, c"):
        SystemScores.of([[FACE, replace(VOICE, label_set=LabelSet(("c", "b", "a")))]])


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ([0], "truth has shape .1,., the scores have 2 frames. Bring the scores onto the annotation"),
        ([-1, -1], "none of 2 frames has both a label and the scores of a system"),
        ([0, 3], "the largest index in truth is 3, but there are 3 labels"),
        ([0.0, 1.0], "truth has type float64; give class indices"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused_in_one_line(truth, message):
    with pytest.raises(ShapeError, match=message) as caught:
        SystemScores.of([[FACE, VOICE]]).fitting_frames(np.array(truth))
    assert "\n" not in str(caught.value)


def test_fitting_frames_have_a_label_and_a_valid_system():
    face_only = scores("face", [[1, 0, 0]] * 4, [True, False, True, False])
    frames = SystemScores.of([[face_only]]).fitting_frames(np.array([0, 0, -1, -1]))
    assert frames.tolist() == [True, False, False, False]


def test_labels_where_no_system_is_valid_cannot_be_fitted():
    face_only = scores("face", [[1, 0, 0]] * 2, [True, False])
    with pytest.raises(ShapeError, match="nothing to fit on"):
        SystemScores.of([[face_only]]).fitting_frames(np.array([-1, 0]))
