from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emofuse.core.types import Clip
from emofuse.datasets import open_data
from emofuse.training.corpora import corpus_classes, corpus_weights
from support.speech_bundles import tone, write_wave


def test_all_corpora_weigh_the_same_and_so_do_all_classes_within_one():
    rows = [("a", label) for label in [0] * 9 + [1] * 3] + [("b", 0)] * 5
    clips = [Clip("x", corpus=corpus) for corpus, _ in rows]
    labels = np.array([label for _, label in rows])
    weights = corpus_weights(clips, labels)
    corpora = np.array([corpus for corpus, _ in rows])
    sums = {(c, k): weights[(corpora == c) & (labels == k)].sum() for c, k in (("a", 0), ("a", 1), ("b", 0))}
    assert weights.mean() == pytest.approx(1)
    assert sums["a", 0] == pytest.approx(sums["a", 1])
    assert sums["a", 0] + sums["a", 1] == pytest.approx(sums["b", 0])


def test_the_classes_of_a_corpus_are_those_of_its_training_and_validation_clips(tmp_path: Path):
    write_wave(tmp_path / "a.wav", tone(0, 1.0, 0))
    for name in "bcd":
        (tmp_path / f"{name}.wav").symlink_to(tmp_path / "a.wav")
    (tmp_path / "clips.csv").write_text(
        "path,label,corpus,split\na.wav,anger,x,train\nb.wav,fear,x,validation\nc.wav,sad,x,test\nd.wav,neutral,y,train\n"
    )
    found = corpus_classes(open_data(tmp_path / "clips.csv"))
    assert {corpus: np.flatnonzero(classes).tolist() for corpus, classes in found.items()} == {"x": [1, 3], "y": [0]}
