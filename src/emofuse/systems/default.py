"""The definition of the default bundle: what it is trained on, how, and how it is written down.

`emofuse train default --data fer2013.npz --out DIR` makes it again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emofuse import __version__, fit, metrics
from emofuse.core.colour import Colour
from emofuse.core.labels import AFFWILD2
from emofuse.data.fer2013 import SIZE, FaceImages, load_fer2013
from emofuse.fit import FitSettings
from emofuse.media.faces.crop import fer_crop
from emofuse.nets.compact import CompactFace
from emofuse.systems.bundle import write_manifest
from emofuse.systems.calibration import Calibration, best_calibration
from emofuse.systems.face import OUTPUT

NET = "face.onnx"


@dataclass(frozen=True)
class DefaultSettings:
    """How the default bundle is trained; `votes_share` is the part of FER+ in the soft targets.

    The polish epochs see the original labels alone.
    """

    fit: FitSettings = field(default_factory=lambda: FitSettings(epochs=28, polish_epochs=5))
    votes_share: float = 0.4


@dataclass(frozen=True)
class Figures:
    """What was measured on one part of FER-2013, all fractions."""

    images: int
    accuracy: float
    uar: float
    calibration_error: float
    recall: dict[str, float]


def train(data: Path, out: Path, settings: DefaultSettings, report: Any = lambda _: None) -> None:
    """Train the face net on FER-2013, going on from a checkpoint in `out`, and write the bundle there.

    The public test part chooses the epoch and the calibration; the private test part is measured
    once, on the exported net's torch original, and changes nothing.

    Raises:
        DataError: the data set cannot be read.
        OutputError: `out` cannot be written.
    """
    train_part, validation = load_fer2013(data, "train"), load_fer2013(data, "public-test")
    net = fit.fresh(CompactFace, seed=settings.fit.seed)
    examples = fit.Data(
        fit.Examples(
            train_part.faces,
            train_part.targets(votes_share=settings.votes_share),
            polish_targets=train_part.targets(votes_share=0),
        ),
        fit.Examples(validation.faces, validation.targets(votes_share=0)),
    )
    history = fit.fit(net, examples, settings=settings.fit, folder=out, watch=fit.Watch(epoch=report))
    calibration = best_calibration(fit.predict(net, validation.faces).logits, validation.labels)
    error = fit.export_onnx(net, fit.face_example(SIZE), out / NET, outputs=("embedding", OUTPUT))
    parts = {"public-test": validation, "private-test": load_fer2013(data, "private-test")}
    figures = {name: asdict(_figures(net, part, calibration)) for name, part in parts.items()}
    write_manifest(out, _manifest(settings, calibration, figures, len(train_part), len(history), error), files=(NET,))


def _figures(net: Any, part: FaceImages, calibration: Calibration) -> Figures:
    probabilities = calibration(fit.predict(net, part.faces).logits)
    counts = metrics.confusion(part.labels, probabilities.argmax(axis=1), classes=len(AFFWILD2))
    return Figures(
        images=len(part),
        accuracy=round(float(metrics.accuracy_of(counts)), 4),
        uar=round(float(metrics.uar_of(counts)), 4),
        calibration_error=round(metrics.calibration_error(part.labels, probabilities), 4),
        recall={n: round(float(r), 4) for n, r in zip(AFFWILD2.names, metrics.recalls_of(counts), strict=True)},
    )


def _manifest(
    settings: DefaultSettings,
    calibration: Calibration,
    figures: dict[str, Any],
    examples: int,
    epochs: int,
    error: float,
) -> dict[str, Any]:
    return {
        "name": "default",
        "version": "1",
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
            "what": "CompactFace on single frames: grey 48x48 faces to seven displayed expressions",
            "data": f"FER-2013 training part, {examples} images, FER+ votes mixed into the targets",
            "licence": "code Apache-2.0; weights trained on FER-2013, which is for research use",
            "command": "emofuse train default --data fer2013.npz --out DIR",
            "settings": asdict(settings),
            "epochs": epochs,
            "emofuse": __version__,
            "onnx_largest_error": error,
            "figures": figures,
        },
    }
