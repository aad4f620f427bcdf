"""Heads on windows of embeddings: their features and labels, the estimator of a definition, and fitting it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse import heads
from emofuse.core.align import pool
from emofuse.core.time import Ints
from emofuse.core.types import Clip, Track
from emofuse.core.windows import Windows
from emofuse.datasets import DataSet
from emofuse.errors import DataError, SettingsError
from emofuse.systems import Head, System
from emofuse.training.face_cache import Embeddings


def window_rows(
    windows: Windows, embeddings: Callable[[Clip], Track], data: DataSet, clips: Sequence[Clip]
) -> tuple[NDArray[np.float32], Ints, Ints]:
    """Features, labels and groups (index of the clip) of all labelled windows of some clips.

    Raises:
        DataError: there is none.
    """
    features, labels, groups = [], [], []
    for n, clip in enumerate(clips):
        truth, track = data.annotation(clip), embeddings(clip)
        bounds = windows.timeline(int(data.timeline(clip).end[-1]))
        pooled = pool(track.values, track.timeline, bounds, valid=track.valid)
        # Labels are taken at the faces, so that a label of a whole clip counts too.
        label = truth.onto(track.timeline).over(bounds).labels
        use = pooled.valid & (label >= 0)
        features.append(pooled.functionals()[use])
        labels.append(label[use])
        groups.append(np.full(int(use.sum()), n))
    if not sum(map(len, labels)):
        raise DataError(f"{data.path}: none of {len(clips)} clips has a labelled window with a face.")
    return np.concatenate(features), np.concatenate(labels), np.concatenate(groups)


def head_of(head: Head) -> Any:
    """The estimator of a definition, with probabilities.

    Raises:
        SettingsError: the kind is unknown.
    """
    weighting: dict[str, Any] = {"class_weight": "log", "mu": head.mu} if head.mu else {}
    if head.kind == "svm":
        return heads.SVM(
            kernel=head.kernel, degree=head.degree, gamma=head.gamma, C=head.C, probability=True, **weighting
        )
    if head.kind == "kelm":
        return heads.KernelELM(
            kernel=head.kernel,
            g=head.g or None,
            C=head.C,
            normalisation=head.normalisation,
            probability=True,
            **weighting,
        )
    raise SettingsError(f"head {head.kind!r}: unknown; choose svm or kelm.")


def fit_head(
    system: System, embeddings: Embeddings, clips: Sequence[Clip], *, report: Callable[[str], None]
) -> tuple[Any, int]:
    """Fit the head of a system on windows of clips; also returns the number of windows.

    Raises:
        DataError: no clip has a labelled window with a face.
        SettingsError: the head is of an unknown kind, or does not fit the data.
    """
    assert system.windows is not None
    assert system.head is not None
    features, labels, groups = window_rows(system.windows, embeddings, embeddings.faces.data, clips)
    report(f"{len(labels)} windows of {features.shape[1]} features to fit the head on")
    without = len(clips) - len(np.unique(groups))
    if without:
        report(f"{without} of {len(clips)} clips have no labelled window with a face and are left out")
    return head_of(system.head).fit(features, labels, groups), len(labels)
