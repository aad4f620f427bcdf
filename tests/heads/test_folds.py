"""Folds of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.errors import SettingsError, ShapeError
from emofuse.heads.folds import assign_folds


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=2, max_size=60), st.integers(2, 5))
def test_groups_stay_together_and_every_fold_has_rows(rows, count):
    labels, groups = np.array(rows).T
    if len(np.unique(groups)) < 2:
        return
    fold = assign_folds(labels, groups=groups, count=count)
    assert all(len(np.unique(fold[groups == g])) == 1 for g in np.unique(groups))
    assert set(fold) == set(range(min(count, len(np.unique(groups)))))


@given(st.lists(st.integers(0, 4), min_size=10, max_size=80))
def test_single_rows_distribute_each_class_evenly(labels):
    fold = assign_folds(labels, count=5)
    for name in set(labels):
        held = np.bincount(fold[np.array(labels) == name], minlength=5)
        assert held.max() - held.min() <= 1


def test_a_class_in_two_groups_is_in_two_folds():
    labels = [0] * 40 + [1, 1, 2, 2]
    groups = [*range(40), 0, 1, 0, 2]
    fold = assign_folds(labels, groups=groups, count=5)
    assert fold[40] != fold[41]
    assert fold[42] != fold[43]


def test_rows_of_one_group_cannot_be_held_out():
    with pytest.raises(SettingsError, match="Give rows of more videos or subjects"):
        assign_folds([0, 1, 0], groups=[7, 7, 7])
    with pytest.raises(ShapeError, match="one group for each row"):
        assign_folds([0, 1, 0], groups=[7, 7])
