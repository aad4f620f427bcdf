"""Training a network on faces, and a head on windows of its embeddings.

Every stage keeps its result in the folder (checkpoint, network, faces, embeddings), so a killed training resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from emofuse import heads
from emofuse.core.align import pool
from emofuse.core.calibration import LogitCalibration
from emofuse.core.colour import Colour
from emofuse.core.files import file_digest
from emofuse.core.registry import find
from emofuse.core.types import Clip, Scores, Track
from emofuse.datasets import DataSet
from emofuse.errors import DataError
from emofuse.faces.crop import CROP_PRESETS
from emofuse.models.bundle import Bundle
from emofuse.models.detectors import choose_detector
from emofuse.models.face import EMBEDDING, HEAD, NET, OUTPUT, FaceInput, FaceModality, FaceScorer
from emofuse.nets.catalogue import network_for
from emofuse.nets.wrappers import Normalise, Resize, Standardise
from emofuse.runtime import Engine
from emofuse.systems import FaceNet, System
from emofuse.training import loop as fit
from emofuse.training.face_cache import Embeddings, FaceSource
from emofuse.training.training_run import TrainingRun
from emofuse.training.window_head import fit_head


class FaceTraining:
    """Training of a face system on a data set.

    Raises:
        SettingsError: a setting names something unknown.
    """

    def __init__(self, system: System, data: DataSet, run: TrainingRun) -> None:
        assert isinstance(system.net, FaceNet)
        self._system, self._net, self._data, self._run = system, system.net, data, run
        preset = find(self._net.framing, CROP_PRESETS, "net.framing")
        self._crop = data.face_crop or preset(self._net.side)
        self._size = network_for(self._net.weights).tiny_size if self._net.tiny else self._net.size
        augment = find(self._net.augment, fit.AUGMENTS, "net.augment")
        self.prepare = self._prepare(augment()), self._prepare(None)

    def _prepare(self, augment: Any) -> fit.Faces:
        net = self._net
        return fit.Faces(net.colour, net.mean, net.scale, self._size, augment, net.standardise)

    @cached_property
    def _source(self) -> FaceSource:
        rate = Fraction(self._net.rate_hz).limit_denominator(1001) if self._net.rate_hz else None
        detector = choose_detector(self._run.detector, Engine())
        return FaceSource(self._data, self._crop, detector, self._run.out / "faces", rate)

    def build(self, classes: int) -> Any:
        """The network with random weights."""
        return network_for(self._net.weights).build(classes, tiny=self._net.tiny)

    def examples(self, split: str) -> fit.Examples:
        """Labelled faces of a split."""
        weight = self._net.votes_weight if split == "train" else 0.0
        return face_examples(self._source, split, votes_weight=weight, report=self._run.report)

    def modality(self, net: Any, calibration: LogitCalibration) -> tuple[FaceModality, dict[str, Any]]:
        """Exports the network and fits the head on windows, if there is one."""
        system, out, inputs = self._system, self._run.out, FaceInput(self._net.colour, self._net.mean, self._net.scale)
        grey_images = self._data.still_images and self._source(self._data.clips[0]).values.ndim == 3
        if grey_images or self._net.standardise or self._net.colour is Colour.GREY:
            inputs = FaceInput(Colour.GREY, (0.0,), (1.0,))  # the exported network does the rest
        head = out / HEAD if system.head else None
        face = FaceModality(out / NET, self._crop, inputs, None if head else calibration, system.windows, head)
        card: dict[str, Any] = {"onnx_largest_error": self._export(net, face)}
        if system.head is not None:
            saved, windows = fit_head(
                system, self._embeddings(face), self._data.split("train"), report=self._run.report
            )
            heads.save(out / HEAD, saved, label_set=self._data.label_set)
            card["examples"] = windows
        return face, card

    def _export(self, net: Any, face: FaceModality) -> float:
        side, size = face.crop.size, self._size
        example = fit.face_example(side, n=2, channels=face.input.colour.channels)
        front: list[nn.Module] = [] if size == side else [Resize(size)]
        if self._net.standardise:
            front.append(Standardise())
        if face.input.colour is Colour.GREY:
            example = 255 * example
            front.append(Normalise(self._net.mean, self._net.scale))
        whole = nn.Sequential(*front, net) if front else net
        return fit.export_onnx(whole, example, face.net, outputs=(EMBEDDING, OUTPUT))

    def _embeddings(self, face: FaceModality) -> Embeddings:
        """Embeddings for a head on windows, otherwise probabilities, of the faces of clips."""
        output = EMBEDDING if face.windows else OUTPUT
        scorer = FaceScorer(face, Engine(), classes=len(self._data.label_set), output=output)
        return Embeddings(self._source, scorer, file_digest(face.net), self._run.out / "embeddings")

    def scores(self, bundle: Bundle) -> Callable[[Clip], Scores]:
        """Scores on the faces that the system is trained on, not on those that prediction would cut."""
        assert bundle.face is not None
        data, windows, head, embeddings = self._data, bundle.face.windows, None, self._embeddings(bundle.face)
        if windows is not None:
            head = bundle.window_head()

        def scores(clip: Clip) -> Scores:
            track = embeddings(clip)
            values, timeline, valid = track.values, track.timeline, track.valid
            if windows is not None and head is not None:
                timeline = windows.timeline(int(data.timeline(clip).end[-1]))
                pooled = pool(values, track.timeline, timeline, valid=valid)
                values, valid = head.probabilities(pooled.functionals()), pooled.valid
            return Scores(values, timeline, data.label_set, valid, self._system.name)

        return scores


def face_examples(
    source: FaceSource, split: str, *, votes_weight: float = 0.0, report: Callable[[str], None] = lambda _: None
) -> fit.Examples:
    """The labelled faces of a split, which are read as they are needed.

    Args:
        votes_weight: weight of the annotators' votes in the targets; faces without votes keep their label alone.
    Raises:
        DataError: there is no such split, or it has no labelled face.
    """
    data, clips = source.data, source.data.split(split)
    tracks, places, labels, votes = list[Track](), list[tuple[int, int]](), list[int](), list[NDArray[np.float32]]()
    for clip in clips:
        faces = source(clip)
        truth = data.annotation(clip).onto(faces.timeline).labels
        rows = np.flatnonzero(faces.valid & (truth >= 0))
        places += [(len(tracks), int(r)) for r in rows]
        labels += truth[rows].tolist()
        tracks.append(faces)
        if votes_weight:
            given = data.votes(clip)
            votes.append(np.zeros((len(rows), len(data.label_set)), np.float32) if given is None else given[rows])
    if not labels:
        raise DataError(f"{data.path}: none of {len(clips)} clips has a face with a label; run emofuse data check.")
    unit = "images" if data.still_images else "clips"
    report(f"{split}: {len(labels)} faces of {len(clips)} {unit}")
    without = len(clips) - len({track for track, _ in places})
    if without:
        report(f"{split}: {without} of {len(clips)} {unit} have no face with a label and are left out")
    targets = np.eye(len(data.label_set), dtype=np.float32)[labels]
    if votes_weight:
        counts = np.concatenate(votes)
        total = counts.sum(axis=1, keepdims=True)
        soft = np.where(total > 0, counts / np.maximum(total, 1), targets)
        targets = ((1 - votes_weight) * targets + votes_weight * soft).astype(np.float32)
    return fit.Examples(_FaceRows(tracks, np.array(places)), targets)


@dataclass(frozen=True, eq=False)
class _FaceRows:
    """Faces of many clips as rows, read on access."""

    tracks: Sequence[Track]
    places: NDArray[np.int64]  # [n, 2]: track and row in it

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        return np.stack([self.tracks[t].values[int(r)] for t, r in self.places[rows]])
