"""Training of the face networks of the default bundle on FER-2013.

Networks with different errors are averaged: a compact network trained on FER-2013 alone, and MobileFaceNet, which
starts from identities and has two outputs, for FER-2013's labels and for FER+'s votes. MobileFaceNet is trained with
each of two seeds; the first one is then distilled from the ensemble of these and the compact network, and it alone is
kept. `emofuse train default --data fer2013.npz --weights mobilefacenet.pt --out DIR` repeats this.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from emofuse import metrics
from emofuse.core.arrays import ArrayFormat
from emofuse.core.calibration import LogitCalibration
from emofuse.core.colour import Colour
from emofuse.core.files import digest
from emofuse.core.labels import AFFWILD2
from emofuse.datasets.fer2013.dataset import FERPLUS_RULES, SIZE, FaceImages, Fer2013
from emofuse.errors import BundleError, SettingsError
from emofuse.faces.crop import fer_crop
from emofuse.models.bundle import Bundle, write_bundle
from emofuse.models.face import EMBEDDING, NET, OUTPUT, FaceInput, FaceModality
from emofuse.nets import mobilefacenet, pretrained
from emofuse.nets.catalogue import published_weights
from emofuse.nets.compact import CompactFace
from emofuse.nets.wrappers import Ensemble, Resize, TwoLabelSets, ensemble_probabilities
from emofuse.training import loop as fit
from emofuse.training.loop import FitSettings

START = "mobilefacenet"  # pretrained weights of MobileFaceNet
_TEACHER = ArrayFormat("teacher", 1, remedy="delete it")
COMPACT, MOBILE, DISTILLED = "compact", "mobile", "distilled"  # names of the trainings, their folders and settings
MOBILE_SIZE = 64
LABEL_SETS = ("labels", "votes")
PREPARE_MOBILE = fit.Faces(
    size=MOBILE_SIZE,
    augment=fit.VideoAugment(
        turn_degrees=12,
        scale=1.15,
        shift=0.05,
        blur=0.014,
        side_light=0.35,
        contrast=0.25,
        noise=0.02,
        compression=1.2,
    ),
)


_COMPACT = FitSettings(epochs=28, polish_epochs=5)
_MOBILE = FitSettings(
    epochs=17,
    polish_epochs=2,
    batch=64,
    optimiser="adamw",
    lr=1e-3,
    polish_lr=1e-4,
    weight_decay=1e-2,
    warmup_epochs=0.5,
    label_smoothing=0.05,
    ema_decay=0.998,
)
_DISTILLED = replace(_MOBILE, epochs=15, lr=6e-4, polish_lr=6e-5, label_smoothing=0.0, seed=10)


@dataclass(frozen=True)
class DefaultSettings:
    """Settings of the trainings, and weights of the ensemble.

    mobile_seeds: MobileFaceNet is trained once with each; the first one is distilled.
    votes_weight: of the FER+ votes in the soft targets of the compact network, whose polish epochs use the original
        labels alone. teacher_weight: of the ensemble's probabilities in the targets of the distilled network.
    compact_weight: of the compact network in the output for the labels, 0 to 1; the MobileFaceNets have the rest.
    labels_weight: of the output for the labels against that for FER+, 0 to 1; selected, like `compact_weight`, on the
        public test set.

    Raises:
        SettingsError: there is no seed, or a weight is not in 0 to 1.
    """

    compact: FitSettings = _COMPACT
    mobile: FitSettings = _MOBILE
    distilled: FitSettings = _DISTILLED
    mobile_seeds: tuple[int, ...] = (0, 1)
    votes_weight: float = 0.4
    teacher_weight: float = 0.5
    compact_weight: float = 0.3
    labels_weight: float = 0.8

    def __post_init__(self) -> None:
        if not self.mobile_seeds:
            raise SettingsError("default: mobile_seeds is empty; give one seed for each MobileFaceNet, as 0,1.")
        for name in ("votes_weight", "teacher_weight", "compact_weight", "labels_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"default: {name} is {getattr(self, name)}; give 0 to 1.")


@dataclass(frozen=True)
class DefaultTraining:
    """Settings, the folder of checkpoints, and a callback for each epoch of a training by its name."""

    settings: DefaultSettings
    out: Path
    report: Callable[[str, fit.Epoch], None]

    def fit(self, name: str, net: Any, examples: fit.TrainingData, settings: FitSettings) -> None:
        """Train a network, resuming from the checkpoint in the folder of its name."""
        callbacks = fit.Callbacks(epoch=partial(self.report, name))
        fit.fit(net, examples, settings=settings, folder=self.out / name, callbacks=callbacks)


def train(data: Path, weights: Path, training: DefaultTraining) -> None:
    """Train all networks on FER-2013, resuming from checkpoints, and write the bundle.

    Epochs and calibration are selected on the public test set; the private test set is measured once, before export,
    and selects nothing.

    Args:
        weights: pretrained weights of MobileFaceNet.
    Raises:
        DataError: the data set cannot be read.
        WeightsError: the weights are for another network.
        OutputError: the folder cannot be written.
    """
    faces, seeds = Fer2013(data), training.settings.mobile_seeds
    # Before the compact network, since the weights may be wrong.
    mobiles = [train_mobile(faces, weights, training, seed=seed) for seed in seeds]
    compact = train_compact(faces, training)
    targets = distillation_targets(clear_faces(faces), compact, mobiles, training)
    distilled = distil_mobile(faces, targets, mobiles[0], training)
    write(training.out, faces, compact, distilled, training.settings)


def train_compact(data: Fer2013, training: DefaultTraining) -> Any:
    """CompactFace from scratch."""
    train, validation, settings = data.images("train"), data.images("public-test"), training.settings
    net = fit.fresh(CompactFace, seed=settings.compact.seed)
    examples = fit.TrainingData(
        fit.Examples(
            train.faces,
            train.targets(votes_weight=settings.votes_weight),
            polish_targets=train.targets(votes_weight=0),
        ),
        fit.Examples(validation.faces, validation.targets(votes_weight=0)),
    )
    training.fit(COMPACT, net, examples, settings.compact)
    return net


def train_mobile(data: Fer2013, weights: Path, training: DefaultTraining, *, seed: int) -> TwoLabelSets:
    """MobileFaceNet from pretrained weights, on the clear faces."""
    identity = mobilefacenet.MobileFaceNetSettings(classes=len(LABEL_SETS) * len(AFFWILD2), dropout=0.2)
    start = fit.fresh(lambda: mobilefacenet.MobileFaceNet(identity), seed=seed)
    pretrained.load_pretrained(start, weights, name=START, fresh_head=True)
    assert isinstance(start, mobilefacenet.MobileFaceNet)
    net = TwoLabelSets(mobilefacenet.at_size(start, MOBILE_SIZE))
    settings = replace(training.settings.mobile, seed=seed)
    training.fit(f"{MOBILE}-{seed}", net, _clear_examples(data, two_targets(clear_faces(data))), settings)
    return net


def distil_mobile(
    data: Fer2013, targets: NDArray[np.float32], start: TwoLabelSets, training: DefaultTraining
) -> TwoLabelSets:
    """A trained MobileFaceNet, trained again on the same faces with `distillation_targets`."""
    net = copy.deepcopy(start)
    training.fit(DISTILLED, net, _clear_examples(data, targets), training.settings.distilled)
    return net


def clear_faces(data: Fer2013) -> FaceImages:
    """The training faces for which most annotators chose one of the seven emotions."""
    train = data.images("train")
    return train[train.is_clear]


def distillation_targets(
    faces: FaceImages, compact: Any, mobiles: Sequence[TwoLabelSets], training: DefaultTraining
) -> NDArray[np.float32]:
    """`two_targets` mixed with the probabilities of the ensemble of all networks for the same faces; float32 [n, 2, 7].

    Labels of the faces are noisy, and trained networks give unlikely ones a low probability. The probabilities are
    cached in the training's folder: a checkpoint belongs to its targets, which may differ in the last bit on another
    machine.
    Source: Furlanello et al. 2018, Born-Again Neural Networks.
    """
    given, settings = two_targets(faces), training.settings
    relevant = {k: v for k, v in asdict(settings).items() if k not in ("distilled", "teacher_weight", "labels_weight")}
    key = digest(relevant | {"given": hashlib.sha256(given.tobytes()).hexdigest()})
    path = training.out / f"teacher-{key[:16]}.safetensors"
    try:
        teacher = _TEACHER.read(path)[0]["logits"]
    except (BundleError, KeyError):  # missing or incomplete: computed again
        nets = [compact, *(nn.Sequential(Resize(MOBILE_SIZE), net).eval() for net in mobiles)]
        outputs = [fit.predict(net, faces.faces).logits for net in nets]
        teacher = ensemble_probabilities(outputs, member_weights(len(mobiles), settings))
        _TEACHER.write(path, {"logits": teacher})
    known = given.any(axis=2, keepdims=True)
    mixed = (1 - settings.teacher_weight) * given + settings.teacher_weight * teacher
    return np.asarray(np.where(known, mixed, teacher))


def member_weights(mobiles: int, settings: DefaultSettings) -> tuple[list[float], list[float]]:
    """Weights of the compact network and of each MobileFaceNet for each of LABEL_SETS; the former has labels only."""
    compact = settings.compact_weight
    return [compact, *[(1 - compact) / mobiles] * mobiles], [0.0, *[1 / mobiles] * mobiles]


def ensemble(
    compact: Any, mobiles: Sequence[TwoLabelSets], settings: DefaultSettings, *, labels_weight: float | None = None
) -> Ensemble:
    """The ensemble of all networks; the compact network is the first member.

    Args:
        labels_weight: of the output for the labels; 1 and 0 select one output; default: that of the settings.
    """
    weight = settings.labels_weight if labels_weight is None else labels_weight
    members = [compact, *(nn.Sequential(Resize(MOBILE_SIZE), net) for net in mobiles)]
    return Ensemble(members, member_weights(len(mobiles), settings), (weight, 1 - weight)).eval()


def two_targets(faces: FaceImages) -> NDArray[np.float32]:
    """Targets of both outputs, float32 [n, 2, 7]: the label, and the normalised votes (zeros if there are none)."""
    hard = np.eye(len(AFFWILD2), dtype=np.float32)[faces.labels]
    votes = faces.votes / np.maximum(faces.votes.sum(axis=1, keepdims=True), 1)
    return np.stack([hard, votes], axis=1)


def write(out: Path, data: Fer2013, compact: Any, mobile: TwoLabelSets, settings: DefaultSettings) -> None:
    """Calibrate and measure the ensemble, and write the bundle."""
    net = ensemble(compact, [mobile], settings)
    splits = {name: data.images(name) for name in ("public-test", "private-test")}
    logits = {name: fit.predict(net, faces.faces).logits for name, faces in splits.items()}
    calibration = LogitCalibration.fit(logits["public-test"], splits["public-test"].labels, biased=False)
    measured = {name: metrics_of(faces, calibration(logits[name])) for name, faces in splits.items()}
    face = FaceModality(out / NET, fer_crop(SIZE), FaceInput(Colour.GREY, (0.0,), (255.0,)), calibration)
    card = {
        "what": "CompactFace and MobileFaceNet on single frames: grey 48x48 faces to seven displayed expressions",
        "data": "FER-2013 training split with its labels and the votes of FER+",
        "licence": "code Apache-2.0; weights trained on FER-2013, which is for research use",
        "command": "emofuse train default --data fer2013.npz --weights mobilefacenet.pt --out DIR",
        "start": published_weights(START).source,
        "settings": asdict(settings),
        "onnx_largest_error": fit.export_onnx(net, fit.face_example(SIZE), face.net, outputs=(EMBEDDING, OUTPUT)),
        "metrics": measured,
    }
    write_bundle(out, Bundle("default-face", "4", AFFWILD2, card, face))


def _clear_examples(data: Fer2013, targets: NDArray[np.float32]) -> fit.TrainingData:
    """The clear faces with targets [n, 2, 7], and the public test set, which selects the epoch."""
    validation = data.images("public-test")
    selection = fit.Examples(validation.faces, two_targets(validation))
    return fit.TrainingData(fit.Examples(clear_faces(data).faces, targets), selection, PREPARE_MOBILE)


def metrics_of(faces: FaceImages, probabilities: NDArray[np.float32]) -> dict[str, Any]:
    """Metrics of probabilities [n, 7] as fractions, by the original labels; "ferplus": by each of FERPLUS_RULES."""
    guess = probabilities.argmax(axis=1)
    counts = metrics.confusion(faces.labels, guess, classes=len(AFFWILD2))
    recalls = zip(AFFWILD2.names, metrics.recalls_of(counts), strict=True)
    return _accuracies(counts) | {
        "calibration_error": round(metrics.calibration_error(faces.labels, probabilities), 4),
        "recall": {name: round(float(recall), 4) for name, recall in recalls},
        "ferplus": {
            name: _accuracies(metrics.confusion(rule(faces), guess, classes=len(AFFWILD2)))
            for name, rule in FERPLUS_RULES.items()
        },
    }


def _accuracies(counts: NDArray[np.int64]) -> dict[str, Any]:
    """The number of labelled images and, if there are any, the accuracy and UAR."""
    images = int(counts.sum())
    measured = {"accuracy": metrics.accuracy_of(counts), "uar": metrics.uar_of(counts)} if images else {}
    return {"images": images} | {name: round(float(value), 4) for name, value in measured.items()}
