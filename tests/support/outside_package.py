"""What another package can add to emofuse, in one file: a format of data sets, a network, a detector, a writer and a
fusion method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.core.files import write_bytes
from emofuse.core.labels import AFFWILD2
from emofuse.core.types import Annotation, Clip
from emofuse.datasets import DataFormat, DataSet
from emofuse.datasets.recordings import Recordings
from emofuse.datasets.statistics import ClipStatistics
from emofuse.export import ResultTable, Writer
from emofuse.faces import Face
from emofuse.fusion import METHODS
from emofuse.media.images import check_rgb
from emofuse.nets.catalogue import Network


class NamedClips(DataSet):
    """Videos whose names begin with their emotion, such as anger-1.mp4."""

    def __init__(self, path: Path) -> None:
        self.name, self.path, self.label_set = "named-clips", path, AFFWILD2
        self.clips = tuple(Clip(p.stem, video=p, split="validation") for p in sorted(path.glob("*-*.mp4")))
        self._recordings = Recordings()

    def timeline(self, clip: Clip) -> Any:
        return self._recordings.of(clip).timeline

    def annotation(self, clip: Clip) -> Annotation:
        timeline = self.timeline(clip)
        label = AFFWILD2.index(clip.id.partition("-")[0])
        return Annotation(np.full(len(timeline), label), timeline, AFFWILD2)

    def survey(self) -> Iterator[ClipStatistics]:
        for clip in self.clips:
            counts = np.bincount(self.annotation(clip).labels, minlength=len(AFFWILD2))
            yield ClipStatistics(clip, 0, 1.0, counts, 0)


named_clips = DataFormat(lambda path: any(path.glob("*-*.mp4")), NamedClips, "videos such as anger-1.mp4")


class CentreFace:
    """A detector that finds one face in every image that is not even, in its middle."""

    identity = "centre:1"
    colour = True
    certain_score = 0.85

    def __call__(self, image: Any) -> list[Face]:
        check_rgb(image, self.identity)
        if image.min() == image.max():
            return []
        height, width = image.shape[:2]
        return [Face(np.array([width / 3, height / 4, width / 3, height / 2]), 1.0)]


def centre_face(weights: Callable[[str], Path], engine: Any) -> CentreFace:
    return CentreFace()


def write_tsv(table: ResultTable, path: Path) -> None:
    write_bytes(path, "".join(block.to_csv(index=False, sep="\t") for block in table.blocks).encode())


tsv = Writer(write_tsv, ".tsv")


@dataclass(frozen=True)
class EqualWeights:
    """The mean under another name."""

    name: str = "equal-weights"

    def fit(self, scores: Any, truth: Any, measure: Any, rng: Any) -> Any:
        return replace(METHODS["mean"].fit(scores, truth, measure, rng), method=self.name)

    def restore(self, arrays: Any, systems: Any, label_set: Any) -> Any:
        return replace(METHODS["mean"].restore(arrays, systems, label_set), method=self.name)


equal_weights = EqualWeights()


def build_energies(classes: int = 7, *, tiny: bool = False) -> Any:
    from types import SimpleNamespace

    import torch

    class Energies(torch.nn.Module):
        head = ("classify.",)

        def __init__(self) -> None:
            super().__init__()
            self.settings = SimpleNamespace(classes=classes)
            self.dense, self.classify = torch.nn.Linear(16, 8), torch.nn.Linear(8, classes)

        def forward(self, waves: Any) -> Any:
            embedding = torch.tanh(self.dense(waves.unfold(1, 3_000, 3_000).square().sum(dim=2)))
            return embedding, self.classify(embedding)

    return Energies()


energies = Network("energies", build_energies)

ENTRY_POINTS = """
[emofuse.datasets]
named-clips = support.outside_package:named_clips
[emofuse.networks]
energies = support.outside_package:energies
[emofuse.detectors]
centre = support.outside_package:centre_face
[emofuse.writers]
tsv = support.outside_package:tsv
[emofuse.fusion]
equal-weights = support.outside_package:equal_weights
"""
