from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.time import Timeline
from emofuse.core.types import Annotation, Clip, Scores, Track
from emofuse.errors import LabelError, ShapeError

ABC = LabelSet(("a", "b", "c"))


def steps(n: int) -> Timeline:
    return Timeline.windows(10, 10, end=10 * n)


def scores(values: Any, valid: Any = None, timeline: Timeline | None = None) -> Scores:
    values = np.asarray(values)
    valid = np.ones(len(values), bool) if valid is None else np.asarray(valid)
    return Scores(values, timeline or steps(len(values)), ABC, valid, "face")


rows = st.integers(0, 8)
flags = rows.flatmap(lambda n: hnp.arrays(bool, n))


@st.composite
def any_scores(draw: st.DrawFn, elements: st.SearchStrategy[float]) -> Scores:
    valid = draw(flags)
    return scores(draw(hnp.arrays(np.float32, (len(valid), 3), elements=elements)), valid)


positive = st.floats(0, width=32, allow_infinity=False, allow_nan=False)  # up to 3.4e38, down to 1.4e-45

# What scores refuse


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf, -np.inf, 1e300])
def test_a_valid_score_that_is_negative_or_not_finite_is_refused(bad):
    with pytest.raises(ShapeError, match="Scores of face: a valid score is negative or not finite; give probabilities"):
        scores([[0.1, 0.2, 0.3], [0.5, bad, 0.5]])


@pytest.mark.parametrize("shape", [(2, 2), (2, 4), (2,), (2, 3, 1)])
def test_scores_with_another_number_of_columns_than_labels_are_refused(shape):
    with pytest.raises(
        ShapeError, match=r"values have shape \(2.*but there are 3 labels; give one column for each label"
    ):
        scores(np.zeros(shape))


def test_scores_of_another_length_than_their_timeline_are_refused():
    with pytest.raises(ShapeError, match="Scores of face: values has 2 rows, the timeline 3; give one row for each"):
        scores(np.zeros((2, 3)), timeline=steps(3))


def test_flags_of_another_length_than_the_timeline_are_refused():
    with pytest.raises(ShapeError, match="Scores of face: valid has 1 rows, the timeline 2; give one row for each"):
        scores(np.zeros((2, 3)), valid=[True])


@pytest.mark.parametrize("kind", [int, float, object])
def test_flags_that_are_not_booleans_are_refused(kind):
    with pytest.raises(ShapeError, match=r"Scores of face: valid has type .*; give booleans"):
        scores(np.zeros((2, 3)), valid=np.ones(2, kind))


def test_two_dimensional_flags_are_refused():
    with pytest.raises(ShapeError, match=r"valid has shape \(2, 1\); give one boolean for each interval"):
        scores(np.zeros((2, 3)), valid=np.ones((2, 1), bool))


# What scores are


@given(st.floats())
def test_rows_that_are_not_valid_are_set_to_zero(rubbish):
    result = scores([[rubbish] * 3, [0.5, 0.25, 0.25]], valid=[False, True])
    assert result.values.tolist() == [[0, 0, 0], [0.5, 0.25, 0.25]]


def test_scores_copy_their_array():
    values = np.array([[1, 2, 3]], np.float32)
    result = scores(values)
    values[0, 0] = 9
    assert result.values.tolist() == [[1, 2, 3]]
    with pytest.raises(ValueError, match="read-only"):
        result.values[0, 0] = 9


def test_scores_of_any_number_type_become_float32():
    assert {scores(np.ones((1, 3), kind)).values.dtype for kind in (int, np.float16, float, bool)} == {np.dtype("f4")}


@given(any_scores(positive))
def test_probabilities_sum_to_one_where_valid_and_positive(result):
    sums = result.probabilities().sum(axis=1, dtype=float)
    np.testing.assert_allclose(sums, (result.valid & (result.values > 0).any(axis=1)).astype(float), atol=1e-6)


@given(any_scores(st.integers(0, 2**20).map(float)))
def test_probabilities_have_the_same_largest_class_as_the_scores(result):
    np.testing.assert_array_equal(result.probabilities().argmax(axis=1), result.values.argmax(axis=1))


@given(any_scores(positive))
def test_probabilities_never_change_the_order_of_scores(result):
    order, p = np.argsort(result.values, axis=1, kind="stable"), result.probabilities()
    assert (np.diff(np.take_along_axis(p, order, axis=1)) >= 0).all()


def test_the_predicted_class_has_the_highest_score():
    result = scores([[0, 2, 1], [5, 0, 0], [0, 0, 1]], valid=[True, True, False])
    assert result.predictions().tolist() == [1, 0, -1]


def test_a_tie_is_predicted_as_the_first_class():
    assert scores([[0, 2, 2]]).predictions().tolist() == [1]


# Onto another timeline


@given(any_scores(positive))
def test_scores_on_their_own_timeline_are_unchanged(result):
    same = result.onto(steps(len(result)))
    np.testing.assert_array_equal(same.values, result.values)
    np.testing.assert_array_equal(same.valid, result.valid)
    assert (same.timeline, same.label_set, same.system) == (result.timeline, ABC, "face")


def test_scores_are_valid_only_where_they_cover_the_timeline():
    result = scores([[1, 0, 0], [0, 1, 0]], valid=[True, False]).onto(Timeline.windows(5, 5, end=30))
    assert result.valid.tolist() == [True, True, False, False, False, False]


def test_overlapping_rows_are_averaged_on_a_finer_timeline():
    windows = Timeline(np.array([0, 10]), np.array([20, 30]))
    result = scores([[1, 0, 0], [0, 1, 0]], timeline=windows).onto(steps(3))
    assert result.values.tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0]]


# Tracks, annotations and clips


def track(values: NDArray[Any], valid: NDArray[Any]) -> Track:
    return Track(values, steps(2), valid, clip="talk")


@pytest.mark.parametrize("values", [np.zeros((3, 48, 48)), np.zeros(1), np.array(1.0)])
def test_a_track_of_another_length_than_its_timeline_is_refused(values):
    with pytest.raises(
        ShapeError, match=r"Track of talk: values has (\d rows|a single value), the timeline 2; give one"
    ):
        track(values, np.ones(2, bool))


def test_a_track_whose_flags_are_numbers_is_refused():
    with pytest.raises(ShapeError, match="Track of talk: valid has type int64; give booleans"):
        track(np.zeros((2, 4)), np.ones(2, int))


def test_a_track_keeps_rows_without_a_face():
    result = track(np.array([[1.0], [np.nan]]), np.array([True, False]))
    assert len(result.values) == len(result.timeline) == 2
    assert result.person == 1


def test_an_annotation_of_another_length_than_its_timeline_is_refused():
    with pytest.raises(ShapeError, match="Annotation: labels has 1 rows, the timeline 2"):
        Annotation(np.array([0]), steps(2), ABC)


@pytest.mark.parametrize(("labels", "found"), [([0, 3], "0 to 3"), ([-2, 0], "-2 to 0")])
def test_an_annotation_outside_its_label_set_is_refused(labels, found):
    with pytest.raises(LabelError, match=f"run from {found}, but the set has 3 names; give -1 to 2"):
        Annotation(np.array(labels), steps(2), ABC)


def test_an_annotation_with_fractional_labels_is_refused():
    with pytest.raises(LabelError, match="label indices have type float64; give integers"):
        Annotation(np.array([0.0, 1.7]), steps(2), ABC)


def test_a_two_dimensional_annotation_is_refused():
    with pytest.raises(ShapeError, match=r"labels have shape \(2, 1\); give one label for each interval"):
        Annotation(np.array([[0], [1]]), steps(2), ABC)


def test_an_annotation_may_leave_frames_unlabelled():
    assert Annotation(np.array([-1, 2]), steps(2), ABC).labels.tolist() == [-1, 2]


def test_a_clip_needs_only_a_name():
    assert Clip("talk") == Clip("talk", video=None, audio=None, split=None, subject=None)


def test_scores_over_windows_are_means_of_the_valid_probabilities_in_them():
    given = scores([[1, 0, 0], [0, 2, 2], [9, 9, 9], [0, 0, 4]], valid=[True, True, False, False])
    over = given.over(Timeline.windows(20, 20, end=40))
    assert over.values.tolist() == [[0.5, 0.25, 0.25], [0, 0, 0]]
    assert over.valid.tolist() == [True, False]


def test_gaps_are_filled_with_the_last_row_and_the_start_with_the_first():
    given = scores(np.eye(3)[[0, 1, 2, 0]], valid=[False, True, False, True])
    filled = given.filled()
    assert filled.predictions().tolist() == [1, 1, 1, 0]
    assert filled.valid.all()


def test_scores_without_any_valid_row_are_not_filled():
    assert not scores(np.ones((2, 3)), valid=[False, False]).filled().valid.any()


def test_an_annotation_at_another_rate_is_not_labelled_beyond_its_end():
    truth = Annotation(np.array([0, 1]), steps(2), ABC).onto(steps(4))
    assert truth.labels.tolist() == [0, 1, -1, -1]
    assert truth.timeline == steps(4)


def test_an_annotation_over_windows_ignores_unlabelled_frames():
    truth = Annotation(np.array([-1, 2, -1, -1]), steps(4), ABC).over(Timeline.windows(20, 20, end=40))
    assert truth.labels.tolist() == [2, -1]
