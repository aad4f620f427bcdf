"""Fusion weights fitted on other videos and other people: what a fusion is worth where it has not been tuned.

The paper chooses weights and reports them on the same videos. Here clips that share a video or a person are one
group, groups are dealt to folds, and each fold is fused with the weights of the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from emofuse.core.time import Ints
from emofuse.core.types import Scores
from emofuse.errors import SettingsError, ShapeError
from emofuse.fusion.contract import FusionMethod, Measure
from emofuse.fusion.system_scores import SystemScores


def groups(videos: Sequence[str], subjects: Sequence[str | None]) -> Ints:
    """Which clips must stay together, int [clips]: those that share a video or a subject, also by way of others.

    Args:
        videos: the video that each clip is from.
        subjects: the person in each clip, None where unknown.
    Returns:
        Numbers of the groups, counted from 0 in the order of their first clips.
    Raises:
        ShapeError: the lengths differ.

    >>> groups(["v1", "v1", "v2", "v3"], ["anna", "ben", "ben", None])
    array([0, 0, 0, 1])
    """
    if len(videos) != len(subjects):
        raise ShapeError(f"groups: {len(videos)} videos, {len(subjects)} subjects; give one of each for each clip.")
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


def folds(groups: ArrayLike, sizes: ArrayLike, *, count: int = 5, seed: int = 0) -> list[Ints]:
    """Clips of each held-out part, int [clips of the part]; no group is divided, and frames are spread evenly.

    The largest groups are dealt first, each to the part with the fewest frames; the seed orders equals. With fewer
    groups than `count` each group is a part.

    Args:
        groups: int [clips].
        sizes: int [clips], frames of each clip.
    Raises:
        ShapeError: the lengths differ.
        SettingsError: fewer than two parts are wanted, or there are fewer than two groups.

    >>> [part.tolist() for part in folds([0, 0, 1, 2], [10, 20, 15, 15], count=2)]
    [[0, 1], [2, 3]]
    """
    groups, sizes = np.asarray(groups), np.asarray(sizes)
    if groups.shape != sizes.shape or groups.ndim != 1:
        raise ShapeError(f"folds: groups {groups.shape}, sizes {sizes.shape}; give one of each for each clip.")
    names, member = np.unique(groups, return_inverse=True)
    if count < 2 or len(names) < 2:
        raise SettingsError(
            f"folds: {count} parts of {len(names)} separate videos or subjects; weights can only be held out from "
            "at least two. Give more videos, or leave the held-out figure out."
        )
    frames = np.bincount(member, sizes, len(names))
    shuffled = np.random.default_rng(seed).permutation(len(names))
    part = np.zeros(len(names), np.int64)
    load = [(0.0, 0, n) for n in range(min(count, len(names)))]
    for group in shuffled[np.argsort(-frames[shuffled], kind="stable")]:
        total, held, n = min(load)
        part[group], load[n] = n, (total + float(frames[group]), held + 1, n)
    return [np.flatnonzero(part[member] == n) for n in range(len(load))]


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
        groups: int [clips], as from `groups`.
        seed: of the folds and, for each of them alike, of the method.
    Raises:
        ShapeError: the clips do not fit each other or the truth, or a fold's other clips have nothing to fit on.
        SettingsError: fewer than two groups.
    """
    if len(clips) != len(truths):
        raise ShapeError(f"cross_fit: {len(clips)} clips, {len(truths)} truths; give the labels of each clip.")
    whole = SystemScores.of(clips)
    edges = np.cumsum([0, *(len(clip[0]) for clip in clips)])
    for n, truth in enumerate(truths):
        if len(truth) != edges[n + 1] - edges[n]:
            raise ShapeError(
                f"cross_fit: clip {n} has {edges[n + 1] - edges[n]} frames, its truth {len(truth)}. "
                "Bring the scores onto the annotation first: scores.onto(annotation.timeline)."
            )
    clip_of, labels = np.repeat(np.arange(len(clips)), np.diff(edges)), np.concatenate(truths)
    fused: dict[int, Scores] = {}
    for part in folds(groups, np.diff(edges), count=count, seed=seed):
        others = ~np.isin(clip_of, part)
        rest = SystemScores(whole.values[:, others], whole.valid[:, others], whole.systems, whole.label_set)
        fitted = method.fit(rest, labels[others], measure, np.random.default_rng(seed))
        fused.update({int(n): fitted(clips[n]) for n in part})
    return [fused[n] for n in range(len(clips))]
