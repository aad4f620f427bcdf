"""A data set in memory, and simulated scores for its clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from emofuse.core.labels import AFFWILD2, LabelSet
from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Annotation, Clip, Scores
from emofuse.datasets import DataSet


@dataclass
class InMemoryData(DataSet):
    """Clips with one label per frame, all of them in the validation split."""

    labels: Mapping[str, Sequence[int]]
    rate_hz: Fraction = Fraction(30000, 1001)
    label_set: LabelSet = AFFWILD2
    videos: Mapping[str, str] = field(default_factory=dict)
    name: str = "in-memory"
    path: Path = Path("in-memory")

    @property
    def clips(self) -> tuple[Clip, ...]:  # type: ignore[override]
        return tuple(Clip(n, Path(f"videos/{self.videos.get(n, n)}.mp4"), split="validation") for n in self.labels)

    def timeline(self, clip: Clip) -> Timeline:
        return Timeline.steps(self.rate_hz, end=ticks(len(self.labels[clip.id]) / self.rate_hz))

    def annotation(self, clip: Clip) -> Annotation:
        return Annotation(np.array(self.labels[clip.id], np.int64), self.timeline(clip), self.label_set)


@dataclass
class InMemoryScores:
    """A source of scores by clip id."""

    system: str
    by_clip: Mapping[str, Scores]

    def scores(self, clip: Clip, frames: Timeline, label_set: LabelSet) -> Scores | None:
        return self.by_clip.get(clip.id)

    def content(self) -> str:
        return f"{self.system} has {len(self.by_clip)} clips"


def random_labels(rng: np.random.Generator, frames: int) -> list[int]:
    """Labels in runs of 10 frames, half of them neutral, with 5 % of the frames unlabelled."""
    runs = [np.full(10, c) for c in rng.choice(7, frames // 10 + 1, p=[0.5, 0.1, 0.08, 0.07, 0.1, 0.08, 0.07])]
    labels = np.concatenate(runs)[:frames]
    labels[rng.random(frames) < 0.05] = -1
    return labels.tolist()


def random_data(clips: int = 8, frames: int = 120, seed: int = 0) -> InMemoryData:
    rng = np.random.default_rng(seed)
    return InMemoryData({f"v{n}": random_labels(rng, frames) for n in range(clips)})


def simulate_scores(data: InMemoryData, system: str, *, skill: float, seed: int, valid: float = 1.0) -> InMemoryScores:
    """Scores for every frame of every clip; `skill` is added to the logit of the true class.

    valid: the fraction of frames with scores.
    """
    rng = np.random.default_rng(seed)
    by_clip = {}
    for clip in data.clips:
        truth = np.maximum(np.array(data.labels[clip.id]), 0)
        logits = rng.normal(0, 1, (len(truth), len(data.label_set)))
        logits[np.arange(len(truth)), truth] += skill
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        is_valid = rng.random(len(truth)) < valid
        by_clip[clip.id] = Scores(probabilities, data.timeline(clip), data.label_set, is_valid, system)
    return InMemoryScores(system, by_clip)
