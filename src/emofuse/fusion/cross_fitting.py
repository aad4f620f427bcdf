"""Cross-fitting: clips fused by weights that were fitted on other videos and other subjects.

The paper selects fusion weights and reports their accuracy on the same videos. Here clips that share a video or a
subject form one group, groups are distributed over folds, and each fold is fused with weights of the other folds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from emofuse.core.time import Ints
from emofuse.core.types import Scores
from emofuse.errors import SettingsError, ShapeError
from emofuse.fusion.registry import FusionMethod, Measure
from emofuse.fusion.system_scores import SystemScores


def clip_groups(videos: Sequence[str], subjects: Sequence[str | None]) -> Ints:
    """Groups of clips that must stay together, int64 [clips]: clips that share a video or a subject, also indirectly.

    Args:
        videos: the video of each clip.
        subjects: the subject of each clip, None if unknown.
    Returns:
        Group numbers from 0, in the order of the first clip of each group.
    Raises:
        ShapeError: the lengths differ.

    >>> clip_groups(["v1", "v1", "v2", "v3"], ["anna", "ben", "ben", None])
    array([0, 0, 0, 1])
    """
    if len(videos) != len(subjects):
        raise ShapeError(f"groups: {len(videos)} videos, {len(subjects)} subjects; give one of each for every clip.")
    parent = list(range(len(videos)))

    def root(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    first: dict[tuple[str, str], int] = {}
    for n, (video, subject) in enumerate(zip(videos, subjects, strict=True)):
        for key in [("video", video)] + ([("subject", subject)] if subject is not None else []):
            parent[root(n)] = root(first.setdefault(key, n))
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(root(n), len(numbers)) for n in range(len(parent))], np.int64)


def clip_folds(groups: ArrayLike, sizes: ArrayLike, *, count: int = 5, seed: int = 0) -> list[Ints]:
    """Clips of each fold, int64 [clips of the fold]; groups stay together, and frames are distributed evenly.

    Groups are assigned from the largest on, each to the fold with the fewest frames; the seed orders groups of equal
    size. With fewer groups than `count`, each group is a fold.

    Args:
        groups: int [clips].
        sizes: int [clips], number of frames.
    Raises:
        ShapeError: the lengths differ.
        SettingsError: count is below two, or there are fewer than two groups.

    >>> [fold.tolist() for fold in clip_folds([0, 0, 1, 2], [10, 20, 15, 15], count=2)]
    [[0, 1], [2, 3]]
    """
    groups, sizes = np.asarray(groups), np.asarray(sizes)
    if groups.shape != sizes.shape or groups.ndim != 1:
        raise ShapeError(f"folds: groups {groups.shape}, sizes {sizes.shape}; give one of each for every clip.")
    names, member = np.unique(groups, return_inverse=True)
    if count < 2 or len(names) < 2:
        raise SettingsError(
            f"{count} folds of {len(names)} separate videos or subjects: cross-fitting needs at least two of each. "
            "Give more videos or subjects."
        )
    frames = np.bincount(member, sizes, len(names))
    shuffled = np.random.default_rng(seed).permutation(len(names))
    fold = np.zeros(len(names), np.int64)
    loads = [(0.0, 0, n) for n in range(min(count, len(names)))]
    for group in shuffled[np.argsort(-frames[shuffled], kind="stable")]:
        total, held, n = min(loads)
        fold[group], loads[n] = n, (total + float(frames[group]), held + 1, n)
    return [np.flatnonzero(fold[member] == n) for n in range(len(loads))]


def cross_fit(
    method: FusionMethod,
    clips: Sequence[Sequence[Scores]],
    truths: Sequence[Ints],
    groups: ArrayLike,
    measure: Measure,
    *,
    count: int = 5,
    seed: int = 0,
) -> list[Scores]:
    """Fused scores of each clip, by weights that were fitted without its group.

    Args:
        clips: for each clip the scores of every system on one timeline.
        truths: for each clip int [frames], -1 where there is no label.
        groups: int [clips], as from `clip_groups`.
        count: number of folds.
        seed: of the folds, and of the method in each fold.
    Raises:
        ShapeError: the clips do not fit each other or the truth, or the other folds of a fold have nothing to fit on.
        SettingsError: there are fewer than two groups.
    """
    if len(clips) != len(truths):
        raise ShapeError(f"cross_fit: {len(clips)} clips, {len(truths)} truths; give the labels of each clip.")
    scores = SystemScores.of(clips)
    edges = np.cumsum([0, *(len(clip[0]) for clip in clips)])
    for n, truth in enumerate(truths):
        if len(truth) != edges[n + 1] - edges[n]:
            raise ShapeError(
                f"cross_fit: clip {n} has {edges[n + 1] - edges[n]} frames, its truth {len(truth)}. "
                "Bring the scores onto the annotation first: scores.onto(annotation.timeline)."
            )
    clip_of, labels = np.repeat(np.arange(len(clips)), np.diff(edges)), np.concatenate(truths)
    fused: dict[int, Scores] = {}
    for fold in clip_folds(groups, np.diff(edges), count=count, seed=seed):
        others = ~np.isin(clip_of, fold)
        fitted = method.fit(scores[others], labels[others], measure, np.random.default_rng(seed))
        fused.update({int(n): fitted(clips[n]) for n in fold})
    return [fused[n] for n in range(len(clips))]
