"""Cross-validation folds: classes distributed evenly, rows of one group (a video, a subject) together.

scikit-learn's StratifiedGroupKFold refuses data with fewer groups than folds, and does not try to put a class that
occurs in two groups into two folds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emofuse.errors import SettingsError, ShapeError

Ints = NDArray[np.int64]


def group_numbers(groups: ArrayLike | None, rows: int) -> Ints:
    """Groups numbered from 0, int64 [rows]; without groups each row is a group of its own.

    Raises:
        ShapeError: there is not one group for each row.
    """
    if groups is None:
        return np.arange(rows, dtype=np.int64)
    given: NDArray[Any] = np.asarray(groups)
    if given.shape != (rows,):
        raise ShapeError(f"groups have shape {given.shape}, the features {rows} rows; give one group for each row.")
    return np.unique(given, return_inverse=True)[1].astype(np.int64)


def assign_folds(labels: ArrayLike, *, groups: ArrayLike | None = None, count: int = 5, seed: int = 0) -> Ints:
    """Fold of each row, int64 [rows], from 0; with fewer groups than `count` there are fewer folds.

    Groups with the rarest classes are assigned first, each to the fold with the fewest rows of its rarest class, then
    of the next, then with the fewest rows. So a class that occurs in two groups is in two folds, where possible.

    Args:
        labels: int [rows], class indices.
        groups: [rows], rows that must stay together; None for single rows.
    Raises:
        ShapeError: the lengths differ.
        SettingsError: fewer than two folds, or fewer than two groups.

    >>> assign_folds([0, 0, 0, 0, 1, 1], groups=["a", "a", "b", "b", "a", "b"], count=2).tolist()
    [0, 0, 1, 1, 0, 1]
    """
    classes, codes = np.unique(np.asarray(labels), return_inverse=True)
    member = group_numbers(groups, len(codes))
    size = int(member.max(initial=-1)) + 1
    if count < 2 or size < 2:
        raise SettingsError(
            f"{count} folds of {size} separate groups: at least two of each are needed to hold rows out. "
            "Give rows of more videos or subjects."
        )
    held = np.zeros((size, len(classes)), np.int64)
    np.add.at(held, (member, codes), 1)
    held = held[:, np.argsort(held.sum(axis=0), kind="stable")]  # columns from the rarest class on
    shuffled = np.random.default_rng(seed).permutation(size)
    rarest = np.argmax(held > 0, axis=1)
    order = shuffled[np.lexsort((-held[shuffled].sum(axis=1), rarest[shuffled]))]
    fold, loads = np.zeros(size, np.int64), np.zeros((min(count, size), len(classes) + 1), np.int64)
    for group in order:
        used = np.append(held[group] > 0, True)
        fold[group] = np.lexsort(loads[:, used].T[::-1])[0]
        loads[fold[group]] += np.append(held[group], held[group].sum())
    # Folds are numbered in the order of their first rows.
    names, first, numbers = np.unique(fold[member], return_index=True, return_inverse=True)
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(first)] = np.arange(len(names))
    return rank[numbers]
