"""Training of the face network of the default bundle on RAF-DB, FER-2013 and LFW.

MobileFaceNet, which starts from identities, learns expressions from RAF-DB's labels and from FER-2013's labels and FER+
votes, and keeps its identities: the published network is distilled into a second head on LFW and RAF-DB, whose output
is whitened by LFW's people. It is trained first on all faces with strong augmentation, and then, with weaker, on RAF-DB
and a part of FER-2013.
`emofuse train default-face --data FACES --weights mobilefacenet.pt --out DIR` repeats this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emofuse import metrics
from emofuse.core.calibration import LogitCalibration
from emofuse.core.class_weights import log_weights
from emofuse.core.labels import AFFWILD2
from emofuse.datasets.fer2013.dataset import FERPLUS_RULES, USAGES, FaceImages, Fer2013
from emofuse.errors import SettingsError
from emofuse.faces.crop import fer_crop
from emofuse.models.bundle import Bundle, write_bundle
from emofuse.models.face import EMBEDDING, IDENTITY, NET, OUTPUT, FaceInput, FaceModality, Identity
from emofuse.nets import mobilefacenet, pretrained
from emofuse.nets.catalogue import published_weights
from emofuse.nets.expression import ExpressionNet, IdentityNet, WhitenedNet, at_size, of_identities
from emofuse.systems.training_settings import Balance
from emofuse.training import default_faces as faces
from emofuse.training import loop as fit
from emofuse.training.default_faces import Crops, Source, colour_faces
from emofuse.training.loop import FitSettings
from emofuse.training.training_run import WEIGHTS
from emofuse.training.whitening import whitening

START = faces.IDENTITIES
LICENCE = "code Apache-2.0; weights trained on RAF-DB and FER-2013, which are for research use"
BROAD, POLISH = "broad", "polish"  # names of the stages, their folders and settings
AUGMENT = fit.VideoAugment(
    turn_degrees=15,
    scale=1.15,
    shift=0.05,
    blur=0.02,
    side_light=0.35,
    contrast=0.3,
    noise=0.025,
    compression=1.5,
    grey=0.3,
    tint=1.15,
    small=0.35,
)

_BROAD = FitSettings(
    epochs=5,
    batch=64,
    optimiser="adamw",
    lr=1e-3,
    weight_decay=1e-2,
    warmup_epochs=0.3,
    balance=Balance("log", mu=0.34),
    ema_decay=0.998,
    keep="uar",
)
_POLISH = replace(
    _BROAD, epochs=0, polish_epochs=5, polish_lr=5e-4, polish_strength=0.5, balance=Balance(), keep="loss", seed=10
)


@dataclass(frozen=True)
class DefaultSettings:
    """Settings of the two stages.

    size: side of the faces in pixels, a multiple of 16.
    votes_weight: of the FER+ votes in the targets of FER-2013; the labels have the rest.
    smoothing: of RAF-DB's labels.
    rafdb_weight: of a face of RAF-DB in the loss; one of FER-2013 has 1.
    identity_threshold: cosine from which two faces belong to one person; chosen by benchmarks/persons.py.
    fer_part: part of FER-2013 in the second stage.
    balance_mu: of the rule `log`, by which classes are balanced within each data set in the second stage.

    Raises:
        SettingsError: the size is no multiple of 16, or a number is out of range.
    """

    broad: FitSettings = _BROAD
    polish: FitSettings = _POLISH
    size: int = 64
    votes_weight: float = 0.5
    smoothing: float = 0.1
    rafdb_weight: float = 1.5
    fer_part: float = 0.25
    balance_mu: float = 0.6
    identity_threshold: float = 0.46

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 16:
            raise SettingsError(f"default-face: size is {self.size}; give a multiple of 16.")
        for name in ("votes_weight", "smoothing", "fer_part"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"default-face: {name} is {getattr(self, name)}; give 0 to 1.")
        for name in ("rafdb_weight", "balance_mu"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"default-face: {name} is {getattr(self, name)}; give a number above 0.")


@dataclass(frozen=True)
class DefaultTraining:
    """Settings, the folder of landmarks and checkpoints, and a callback for each epoch of a stage by its name."""

    settings: DefaultSettings
    out: Path
    report: Callable[[str, fit.Epoch], None]

    def fit(self, name: str, net: ExpressionNet, data: fit.TrainingData, settings: FitSettings) -> None:
        """Train a network, resuming from the checkpoint in the folder of the stage."""
        callbacks = fit.Callbacks(epoch=partial(self.report, name))
        fit.fit(net, data, settings=settings, folder=self.out / name, callbacks=callbacks)


@dataclass(frozen=True, eq=False)
class DefaultData:
    """The sources; landmarks and identities are kept in `out`."""

    fer: Fer2013
    rafdb: Source
    lfw: Source
    weights: Path
    out: Path

    @classmethod
    def read(cls, folder: Path, weights: Path, out: Path) -> DefaultData:
        """The sources in a folder with fer2013.npz, rafdb/ and lfw/.

        Raises:
            DataError: one cannot be read.
        """
        return cls(Fer2013(folder), faces.rafdb(folder / "rafdb", out), faces.lfw(folder / "lfw", out), weights, out)

    def train(self, settings: DefaultSettings, stage: str) -> fit.Examples:
        """RAF-DB, FER-2013 and LFW without what is set aside."""
        fer, labelled = faces.fer2013(self.fer, USAGES[0], self.out)
        count = len(fer) if stage == BROAD else round(settings.fer_part * len(fer))
        chosen = np.sort(np.random.default_rng(0).permutation(len(fer))[:count])
        rafdb, lfw = self.rafdb.rows(range(2, 10)), self.lfw.rows(range(1, 10))
        parts = [self.rafdb.photographs[rafdb], fer[chosen], self.lfw.photographs[lfw]]
        targets = [
            _smoothed(self.rafdb.labels[rafdb], settings.smoothing),
            labelled[chosen].targets(votes_weight=settings.votes_weight),
            np.zeros((len(lfw), len(AFFWILD2)), np.float32),
        ]
        labels = [self.rafdb.labels[rafdb], labelled.labels[chosen]]
        weights = [
            factor * (np.ones(len(own)) if stage == BROAD else _balance(own, settings.balance_mu))
            for factor, own in zip((settings.rafdb_weight, 1), labels, strict=True)
        ]
        known = [faces.identities(parts[k], self.weights, self.out / f"identities-{k}") for k in (0, 2)]
        unknown = np.zeros((len(chosen), known[0].shape[1]), np.float32)
        return fit.Examples(
            Crops(parts, fer_crop(settings.size)),
            np.concatenate(targets),
            weights=np.concatenate([*weights, np.ones(len(lfw))]).astype(np.float32),
            identities=np.concatenate([known[0], unknown, known[1]]),
        )

    def validation(self, size: int) -> fit.Examples:
        """FER-2013's public test set and a tenth of RAF-DB, which select the epoch and the calibration."""
        fer, labelled = faces.fer2013(self.fer, USAGES[1], self.out)
        rows = self.rafdb.rows([faces.VALIDATION])
        targets = [_smoothed(self.rafdb.labels[rows], 0), labelled.targets(votes_weight=0.5)]
        return fit.Examples(Crops([self.rafdb.photographs[rows], fer], fer_crop(size)), np.concatenate(targets))


def train(data: Path, weights: Path, training: DefaultTraining) -> None:
    """Train the network, resuming from checkpoints, and write the bundle.

    What is set aside is measured once, before export, and selects nothing.

    Args:
        data: folder with fer2013.npz, rafdb/ and lfw/. weights: published weights of MobileFaceNet.
    Raises:
        DataError: a data set cannot be read.
        WeightsError: the weights are for another network.
        OutputError: the folder cannot be written.
    """
    settings = training.settings
    shape = mobilefacenet.MobileFaceNetSettings(dropout=0.3)
    start = fit.fresh(lambda: mobilefacenet.MobileFaceNet(shape), seed=settings.broad.seed)
    pretrained.load_pretrained(start, weights, name=START, fresh_head=True)
    assert isinstance(start, mobilefacenet.MobileFaceNet)
    given, net = DefaultData.read(data, weights, training.out / "faces"), at_size(of_identities(start), settings.size)
    validation, prepare = given.validation(settings.size), colour_faces(settings.size, AUGMENT)
    for stage in (BROAD, POLISH):
        examples = given.train(settings, stage)
        training.fit(stage, net, fit.TrainingData(examples, validation, prepare), getattr(settings, stage))
    write(training.out, given, net, settings)


def write(out: Path, data: DefaultData, net: ExpressionNet, settings: DefaultSettings) -> None:
    """Calibrate and measure the network, and write the bundle."""
    size, validation = settings.size, data.validation(settings.size)
    plain = colour_faces(size)

    def logits(inputs: fit.Inputs) -> NDArray[np.float32]:
        return fit.predict(net, inputs, prepare=plain, embeddings=False).logits

    truth = fit.labels(validation.targets)
    calibration = LogitCalibration.fit(logits(validation.inputs), truth, biased=False)
    rows = data.rafdb.rows([faces.TEST])
    images, fer = faces.fer2013(data.fer, USAGES[2], data.out)
    raf, private = (
        calibration(logits(Crops([given], fer_crop(size)))) for given in (data.rafdb.photographs[rows], images)
    )
    measured = {
        "rafdb-set-aside": measures_of(data.rafdb.labels[rows], raf),
        "fer2013-private-test": metrics_of(fer, private),
    }
    exported = _whitened(net, data.lfw, size)
    face = FaceModality(
        out / NET,
        fer_crop(size),
        FaceInput(plain.colour, plain.mean, plain.scale),
        calibration,
        identity=Identity(settings.identity_threshold),
    )
    example = fit.face_example(size, channels=3)
    card = {
        "what": "MobileFaceNet on single frames: colour faces to seven displayed expressions, and to identities",
        "data": "RAF-DB (training part), FER-2013 with the votes of FER+, LFW (identities)",
        "licence": LICENCE,
        "command": "emofuse train default-face --data FACES --weights mobilefacenet.pt --out DIR",
        "start": published_weights(START).source,
        "settings": asdict(settings),
        "onnx_largest_error": fit.export_onnx(exported, example, face.net, outputs=(EMBEDDING, OUTPUT, IDENTITY)),
        "metrics": measured,
    }
    pretrained.save_trained(net.expression.half(), out / WEIGHTS, name="default", about={"licence": LICENCE})
    write_bundle(out, Bundle("default-face", "5", AFFWILD2, card, face))


def _whitened(net: ExpressionNet, lfw: Source, size: int) -> WhitenedNet:
    """The network with identities that are whitened by the people it was trained on."""
    rows = lfw.rows(range(1, 10))
    inputs, plain = Crops([lfw.photographs[rows]], fer_crop(size)), colour_faces(size)
    found = fit.predict(IdentityNet(net), inputs, prepare=plain).embeddings
    assert found is not None  # the identities
    mean, matrix = whitening(found, [lfw.names[row] for row in rows])
    return WhitenedNet(net, torch.from_numpy(mean), torch.from_numpy(matrix))


def metrics_of(images: FaceImages, probabilities: NDArray[np.float32]) -> dict[str, Any]:
    """`measures_of` FER-2013's labels; "ferplus": accuracy and UAR by each of FERPLUS_RULES."""
    guess = probabilities.argmax(axis=1)
    return measures_of(images.labels, probabilities) | {
        "ferplus": {
            name: _accuracies(metrics.confusion(rule(images), guess, classes=len(AFFWILD2)))
            for name, rule in FERPLUS_RULES.items()
        },
    }


def measures_of(truth: NDArray[np.int64], probabilities: NDArray[np.float32]) -> dict[str, Any]:
    """Metrics of probabilities [n, 7] as fractions."""
    counts = metrics.confusion(truth, probabilities.argmax(axis=1), classes=len(AFFWILD2))
    recalls = zip(AFFWILD2.names, metrics.recalls_of(counts), strict=True)
    return _accuracies(counts) | {
        "calibration_error": round(metrics.calibration_error(truth, probabilities), 4),
        "recall": {name: None if np.isnan(recall) else round(float(recall), 4) for name, recall in recalls},
    }


def _accuracies(counts: NDArray[np.int64]) -> dict[str, Any]:
    """The number of labelled images and, if there are any, the accuracy and UAR."""
    images = int(counts.sum())
    measured = {"accuracy": metrics.accuracy_of(counts), "uar": metrics.uar_of(counts)} if images else {}
    return {"images": images} | {name: round(float(value), 4) for name, value in measured.items()}


def _balance(labels: NDArray[np.int64], mu: float) -> NDArray[np.float64]:
    """The weight of each row by the rule `log` on these rows alone."""
    return log_weights(np.bincount(labels, minlength=len(AFFWILD2)), mu)[labels]


def _smoothed(labels: NDArray[np.int64], smoothing: float) -> NDArray[np.float32]:
    classes = len(AFFWILD2)
    return np.asarray((1 - smoothing) * np.eye(classes)[labels] + smoothing / classes, np.float32)
