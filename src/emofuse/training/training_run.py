"""The context of a training, the network with its first weights, and fitting it.

Processes that torchrun started share the training of the network; everything else is done by the first of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from emofuse.core.calibration import LogitCalibration
from emofuse.core.files import file_digest
from emofuse.core.time import Ints
from emofuse.core.types import Clip, Scores
from emofuse.errors import SettingsError, WeightsError
from emofuse.models import bundle as bundles
from emofuse.models.face import FaceModality
from emofuse.models.voice import VoiceModality
from emofuse.nets import pretrained
from emofuse.nets.catalogue import published_weights
from emofuse.systems import System
from emofuse.training import loop as fit
from emofuse.training.loop.distributed import ProcessGroup

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class TrainingRun:
    """The context of a training.

    out: folder of checkpoints, caches and the bundle.
    weights: a file of the system's pretrained weights, as published or imported, or the folder of an earlier training
        of the same network; None if none are needed.
    detector: name of the face detector for videos. report: called with messages for the user.
    audio: folder of decoded audio and its embeddings, which several trainings may share; default: within `out`.
    """

    out: Path
    weights: Path | None = None
    detector: str = "default"
    machine: fit.Machine = fit.Machine()  # noqa: RUF009 (frozen)
    callbacks: fit.Callbacks = fit.Callbacks()  # noqa: RUF009 (frozen)
    report: Callable[[str], None] = lambda _: None
    audio: Path | None = None


class ModalityTraining(Protocol):
    """The parts of a training that differ between faces and voices."""

    @property
    def prepare(self) -> tuple[fit.Prepare, fit.Prepare]:
        """How examples become inputs of the network, in training and otherwise."""
        ...

    def build(self, classes: int) -> Any:
        """The network with random weights."""
        ...

    def examples(self, split: str) -> fit.Examples:
        """The examples of "train" or "validation".

        Raises:
            DataError: there is no such split, or nothing in it is labelled.
        """
        ...

    def modality(self, net: Any, calibration: LogitCalibration) -> tuple[FaceModality | VoiceModality, dict[str, Any]]:
        """Exports the network and fits the head, if there is one; also returns entries of the bundle's card."""
        ...

    def scores(self, bundle: bundles.Bundle) -> Callable[[Clip], Scores]:
        """The scores of a trained bundle on a clip of the data set; faces, audio and embeddings are cached."""
        ...


def network(training: ModalityTraining, system: System, classes: int, run: TrainingRun) -> tuple[Any, dict[str, Any]]:
    """The network with its first weights, and their licence and origin for the card.

    Raises:
        SettingsError: pretrained weights are missing, or given although the system starts from random weights.
        WeightsError: they are for another network.
    """
    settings, name = system.net, system.net.weights
    random = settings.scratch or not name
    net = fit.fresh(lambda: training.build(classes), seed=system.fit.seed)
    weights = run.weights or (None if random or settings.tiny else bundled_weights(name))
    if weights is None:
        if not (random or settings.tiny):
            raise without_weights(system.name, name, scratch="net.scratch")
        return net, {"licence": published_weights(name).licence if name else "that of the data it was trained on"}
    if random:
        why = "net.scratch" if name else "it"
        raise SettingsError(
            f"{system.name}: {why} starts from random weights, but --weights gives {weights}; leave one out."
        )
    path = _file_of(weights)
    pretrained.load_pretrained(net, path, name=name, fresh_head=True)
    origin = pretrained.origin(path)
    start = {"name": origin.get("name", name), "file": path.name, "sha256": file_digest(path)}
    return net, {"licence": origin.get("licence", published_weights(name).licence), "start": start}


def bundled_weights(name: str) -> Path | None:
    """The file of pretrained weights that are part of a bundled bundle; None for others."""
    entry = published_weights(name)
    return bundles.bundled()[entry.bundle] / entry.file if entry.bundle else None


def without_weights(system: str, name: str, *, scratch: str = "") -> SettingsError:
    """The error if pretrained weights are needed and not given; `scratch` names the setting that does without them."""
    entry = published_weights(name)
    without = f", or train from scratch with --set {scratch}=true" if scratch else ""
    return SettingsError(
        f"{system}: starts from the weights {entry.name!r} ({entry.what}); give their file with --weights "
        f"(from {entry.source}){without}."
    )


def _file_of(weights: Path) -> Path:
    if not weights.is_dir():
        return weights
    if not (weights / WEIGHTS).is_file():
        raise WeightsError(
            f"{weights}: a folder without {WEIGHTS}; give that of a finished `emofuse train` of a network, or a file."
        )
    return weights / WEIGHTS


@dataclass(frozen=True, eq=False)
class Trained:
    """The result of fitting a network.

    examples: number of training examples. logits, truth: of the validation split, float32 [n, classes] and int64 [n]
    with -1 where unlabelled. biased: whether the calibration has a bias for each class.
    """

    examples: int
    logits: NDArray[np.float32]
    truth: Ints
    biased: bool = True

    @property
    def calibration(self) -> LogitCalibration:
        """Fitted on the labelled rows."""
        labelled = self.truth >= 0
        return LogitCalibration.fit(self.logits[labelled], self.truth[labelled], biased=self.biased)


def fit_network(
    training: ModalityTraining, net: Any, settings: fit.FitSettings, *, run: TrainingRun, members: ProcessGroup
) -> Trained | None:
    """Train a network; the result is returned to the first process only."""

    def both() -> list[fit.Examples]:
        return [training.examples(split) for split in ("train", "validation")]

    with members.fail_together():
        # The first process fills the caches, the others read them.
        examples = both() if members.first else []
    train, validation = examples or both()
    prepare, plain = training.prepare
    data = fit.TrainingData(train, validation, prepare)
    fit.fit(net, data, settings=settings, folder=run.out, machine=run.machine, callbacks=run.callbacks)
    if not members.first:
        return None
    logits = fit.predict(net, validation.inputs, prepare=plain, batch=64, embeddings=False).logits
    if validation.possible is not None:
        logits = fit.possible_logits(torch.from_numpy(logits), torch.from_numpy(validation.possible)).numpy()
    truth = fit.labels(validation.targets).reshape(-1)
    return Trained(len(train), logits.reshape(len(truth), -1), truth)
