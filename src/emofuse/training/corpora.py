"""Several corpora in one training: their classes, and weights that make none of them tell the emotion.

A network that hears which corpus a recording is from (its microphone, language or codec) must learn nothing about the
emotion from that. So each class has the same weight within a corpus, and a class that a corpus lacks is not learned as
absent from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emofuse.core.types import Clip
from emofuse.datasets import DataSet


def corpus_classes(data: DataSet) -> dict[str | None, NDArray[np.bool_]]:
    """Whether each class has a label in each corpus, bool [classes], over the training and validation splits.

    Raises:
        DataError: an annotation is faulty.
    """
    found: defaultdict[str | None, NDArray[np.bool_]] = defaultdict(lambda: np.zeros(len(data.label_set), bool))
    for clip in data.clips:
        if clip.split in ("train", "validation"):
            labels = data.annotation(clip).labels
            found[clip.corpus][labels[labels >= 0]] = True
    return dict(found)


def corpus_weights(clips: Sequence[Clip], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights of rows with a mean of 1, float32 [n], from the clip and the label of each.

    All corpora weigh the same, and all classes within a corpus.

    >>> clips = [Clip("x", corpus=corpus) for corpus in "aaab"]
    >>> corpus_weights(clips, np.array([0, 0, 1, 0]))
    array([0.5, 0.5, 1. , 2. ], dtype=float32)
    """
    counts: defaultdict[tuple[str | None, int], int] = defaultdict(int)
    classes: defaultdict[str | None, set[int]] = defaultdict(set)
    for clip, label in zip(clips, labels.tolist(), strict=True):
        counts[clip.corpus, label] += 1
        classes[clip.corpus].add(label)
    weights = np.array(
        [1 / len(classes[c.corpus]) / counts[c.corpus, label] for c, label in zip(clips, labels.tolist(), strict=True)]
    )
    return np.asarray(weights / weights.mean(), np.float32)
