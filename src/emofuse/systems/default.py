"""The net on faces of the default bundle: what it is trained on, how, and how it is written down.

Nets that err differently judge as one: a compact net that knows nothing but FER-2013, and MobileFaceNet, trained once
with each of two seeds, which starts from identities and answers twice, as FER-2013's labels say it and as FER+'s
annotators do; only the first answer counts, the second one teaches.
`emofuse train default --data fer2013.npz --weights mobilefacenet.pt --out DIR` makes them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse import __version__, fit, metrics
from emofuse.core.colour import Colour
from emofuse.core.labels import AFFWILD2
from emofuse.data.fer2013 import SIZE, FaceImages, Fer2013
from emofuse.errors import SettingsError
from emofuse.fit import FitSettings
from emofuse.media.faces.crop import fer_crop
from emofuse.nets import mobilefacenet, pretrained
from emofuse.nets.committee import Committee, OneOpinion, TwoOpinions
from emofuse.nets.compact import CompactFace
from emofuse.nets.resized import Resized
from emofuse.systems.bundle import write_manifest
from emofuse.systems.calibration import Calibration, best_calibration
from emofuse.systems.face import OUTPUT

NET = "face.onnx"
START = "mobilefacenet"  # pretrained weights that some of the nets start from
COMPACT, MOBILE = "compact", "mobile"  # names of the nets: of folders, of settings, and where progress is told
MOBILE_SIZE = 64
OPINIONS = ("labels", "votes")
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
    average_decay=0.998,
)


@dataclass(frozen=True)
class DefaultSettings:
    """How the nets are trained, and how much each counts.

    mobile_seeds: MobileFaceNet is trained once with each; they count alike.
    votes_share: the part of FER+ in the soft targets of the compact net, whose polish epochs see the original labels
        alone. compact_share: how much the compact net counts, 0 to 1; chosen on the public test part.

    Raises:
        SettingsError: there is no seed.
    """

    compact: FitSettings = _COMPACT
    mobile: FitSettings = _MOBILE
    mobile_seeds: tuple[int, ...] = (0, 1)
    votes_share: float = 0.4
    compact_share: float = 0.3

    def __post_init__(self) -> None:
        if not self.mobile_seeds:
            raise SettingsError("default: mobile_seeds is empty; give one seed for each MobileFaceNet, as 0,1.")


@dataclass(frozen=True)
class Figures:
    """What was measured on one part of FER-2013, all fractions: by the original labels, and by the majority of FER+
    where there is one.
    """

    images: int
    accuracy: float
    uar: float
    calibration_error: float
    recall: dict[str, float]
    majority_images: int
    majority_accuracy: float
    majority_uar: float


def train(
    data: Path, weights: Path, out: Path, settings: DefaultSettings, report: Callable[[str, fit.Epoch], None]
) -> None:
    """Train all nets on FER-2013, going on from checkpoints in `out`, and write the bundle there.

    The public test part chooses the epochs and the calibration; the private test part is measured once, on the
    exported net's torch original, and changes nothing.

    Args:
        weights: MobileFaceNet as it knows identities.
        report: told of each epoch of the net of that name.
    Raises:
        DataError: the data set cannot be read.
        WeightsError: the weights are others.
        OutputError: `out` cannot be written.
    """
    faces = Fer2013(data)
    mobiles = [trained_mobile(faces, weights, out, settings, seed, report) for seed in settings.mobile_seeds]
    compact = trained_compact(faces, out / COMPACT, settings, lambda e: report(COMPACT, e))
    write(out, faces, compact, mobiles, settings)


def trained_compact(data: Fer2013, out: Path, settings: DefaultSettings, report: Callable[[fit.Epoch], None]) -> Any:
    """CompactFace from nothing."""
    learnt, validation = data.part("train"), data.part("public-test")
    net = fit.fresh(CompactFace, seed=settings.compact.seed)
    examples = fit.Data(
        fit.Examples(
            learnt.faces,
            learnt.targets(votes_share=settings.votes_share),
            polish_targets=learnt.targets(votes_share=0),
        ),
        fit.Examples(validation.faces, validation.targets(votes_share=0)),
    )
    fit.fit(net, examples, settings=settings.compact, folder=out, watch=fit.Watch(epoch=report))
    return net


def trained_mobile(
    data: Fer2013,
    weights: Path,
    out: Path,
    settings: DefaultSettings,
    seed: int,
    report: Callable[[str, fit.Epoch], None],
) -> TwoOpinions:
    """MobileFaceNet from identities, on faces of which most annotators see one of the seven emotions.

    Args:
        out: the training goes on from the folder of its name there.
    """
    learnt, validation = data.part("train"), data.part("public-test")
    learnt = learnt.some(learnt.clear)
    own, name = replace(settings.mobile, seed=seed), f"{MOBILE}-{seed}"
    identity = mobilefacenet.MobileFaceNetSettings(classes=len(OPINIONS) * len(AFFWILD2), dropout=0.2)
    start = fit.fresh(lambda: mobilefacenet.MobileFaceNet(identity), seed=seed)
    pretrained.load_pretrained(start, weights, name=START, head=pretrained.Head.FRESH)
    assert isinstance(start, mobilefacenet.MobileFaceNet)
    net = TwoOpinions(mobilefacenet.at_size(start, MOBILE_SIZE))
    train, judge = (fit.Examples(faces.faces, two_targets(faces)) for faces in (learnt, validation))
    examples = fit.Data(train, judge, PREPARE_MOBILE)
    fit.fit(net, examples, settings=own, folder=out / name, watch=fit.Watch(epoch=lambda e: report(name, e)))
    return net


def committee(compact: Any, mobiles: Sequence[TwoOpinions], settings: DefaultSettings, *, answer: str) -> Committee:
    """All nets as one, MobileFaceNets by one of their OPINIONS; the compact net comes first."""
    which, share = OPINIONS.index(answer), settings.compact_share
    members = [Resized(OneOpinion(net, which), MOBILE_SIZE) for net in mobiles]
    return Committee([compact, *members], [share, *[(1 - share) / len(members)] * len(members)]).eval()


def two_targets(faces: FaceImages) -> NDArray[np.float32]:
    """What both opinions should be, float32 [n, 2, 7]; that of FER+ is all zero where nobody voted for a name."""
    hard = np.eye(len(AFFWILD2), dtype=np.float32)[faces.labels]
    votes = faces.votes / np.maximum(faces.votes.sum(axis=1, keepdims=True), 1)
    return np.stack([hard, votes], axis=1)


def write(out: Path, data: Fer2013, compact: Any, mobiles: Sequence[TwoOpinions], settings: DefaultSettings) -> None:
    """Put the trained nets together, measure them, and write the bundle."""
    net = committee(compact, mobiles, settings, answer="labels")
    parts = {name: data.part(name) for name in ("public-test", "private-test")}
    logits = {name: fit.predict(net, part.faces).logits for name, part in parts.items()}
    calibration = best_calibration(logits["public-test"], parts["public-test"].labels)
    figures = {name: asdict(figures_of(part, calibration(logits[name]))) for name, part in parts.items()}
    error = fit.export_onnx(net, fit.face_example(SIZE), out / NET, outputs=("embedding", OUTPUT))
    write_manifest(out, _manifest(settings, calibration, figures, error), files=(NET,))


def figures_of(part: FaceImages, probabilities: NDArray[np.float32]) -> Figures:
    """How right probabilities [n, 7] are of a part."""
    guess, known = probabilities.argmax(axis=1), part.majority >= 0
    counts = metrics.confusion(part.labels, guess, classes=len(AFFWILD2))
    majority = metrics.confusion(part.majority[known], guess[known], classes=len(AFFWILD2))
    return Figures(
        images=len(part),
        accuracy=round(float(metrics.accuracy_of(counts)), 4),
        uar=round(float(metrics.uar_of(counts)), 4),
        calibration_error=round(metrics.calibration_error(part.labels, probabilities), 4),
        recall={n: round(float(r), 4) for n, r in zip(AFFWILD2.names, metrics.recalls_of(counts), strict=True)},
        majority_images=int(known.sum()),
        majority_accuracy=round(float(metrics.accuracy_of(majority)), 4) if known.any() else 0.0,
        majority_uar=round(float(metrics.uar_of(majority)), 4) if known.any() else 0.0,
    )


def _manifest(
    settings: DefaultSettings, calibration: Calibration, figures: dict[str, Any], error: float
) -> dict[str, Any]:
    return {
        "name": "default-face",
        "version": "3",
        "labels": list(AFFWILD2.names),
        "face": {
            "net": NET,
            "colour": Colour.GREY.value,
            "mean": [0.0],
            "scale": [255.0],
            "crop": fer_crop(SIZE).to_json(),
            "temperature": calibration.temperature,
            "bias": list(calibration.bias),
        },
        "card": {
            "what": "CompactFace and MobileFaceNets on single frames: grey 48x48 faces to seven displayed expressions",
            "data": "FER-2013 training part, FER+ votes beside its labels",
            "licence": "code Apache-2.0; weights trained on FER-2013, which is for research use",
            "command": "emofuse train default --data fer2013.npz --weights mobilefacenet.pt --out DIR",
            "start": pretrained.known(START).source,
            "settings": asdict(settings),
            "emofuse": __version__,
            "onnx_largest_error": error,
            "figures": figures,
        },
    }
