"""Quantises a network of a bundle to int8, unless its accuracy drops too much.

Activation ranges are measured on the train split of a data set, accuracy before and after on its validation split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse import metrics
from emofuse.core.calibration import LogitCalibration
from emofuse.datasets import DataSet, open_data
from emofuse.errors import SettingsError
from emofuse.evaluation.evaluate import aligned, predicted_classes
from emofuse.inference.audio_stages import choose_audio_stages
from emofuse.inference.collector import audio_scores
from emofuse.metrics import Estimate
from emofuse.models.bundle import Bundle, load, refuse_own_folder, write_bundle
from emofuse.models.detectors import choose_detector
from emofuse.models.face import OUTPUT, FaceModality
from emofuse.models.voice import VoiceModality, voice_scorer
from emofuse.runtime import Engine, OnnxNetwork
from emofuse.systems.spec import FACE, VOICE
from emofuse.training import loop as fit
from emofuse.training.audio_cache import AudioCache
from emofuse.training.face import face_examples
from emofuse.training.face_cache import FaceSource
from emofuse.training.loop.quantise import FIRST, LAST
from emofuse.training.voice import window_examples

# Layers of log-mel front ends: in int8 quiet audio would be rounded to zero.
_FRONT_ENDS = ("/spectrum", "/logmel")


@dataclass(frozen=True)
class QuantiseRequest:
    """A request to quantise a bundle.

    bundle: one network for single faces or for the voice; or fused, of which the face network is quantised if the data
        has single images, and otherwise the voice network.
    data: the data that the network was trained on, with a train and a validation split.
    max_accuracy_drop: largest acceptable drop in accuracy on the validation split, in percentage points.
    ranges: number of examples to measure activation ranges on.
    keep: layers that stay in float32, as in `quantise_onnx`; those of a log-mel front end always do.
    """

    bundle: str
    data: Path
    out: Path
    max_accuracy_drop: float = 0.3
    ranges: int = 512
    keep: tuple[str, ...] = (FIRST, LAST)
    detector: str = "default"
    rate_hz: float = 5.0


@dataclass(frozen=True)
class Cost:
    """The cost of int8: accuracy before, its change with a paired interval, and the sizes of the networks in bytes."""

    examples: int
    accuracy: float
    change: Estimate
    before: int
    after: int

    def to_json(self) -> dict[str, Any]:
        return {
            "examples": self.examples,
            "float32": round(self.accuracy, 4),
            "change": round(self.change.value, 4),
            "interval": [round(self.change.low, 4), round(self.change.high, 4)],
            "bytes": [self.before, self.after],
        }


def summary(bundle: Bundle, cost: Cost, out: Path) -> str:
    """Accuracy and size before and after, in words."""
    change = cost.change
    return (
        f"float32: accuracy {cost.accuracy:.2%}, {cost.before / 1e6:.1f} MB\n"
        f"int8:    accuracy {cost.accuracy + change.value:.2%}, {cost.after / 1e6:.1f} MB; change {change.value:+.2%} "
        f"[{change.low:+.2%}, {change.high:+.2%}] on {cost.examples} examples\n"
        f"bundle {bundle.name} written to {out}; use it with: emofuse predict FILE --bundle {out}"
    )


def quantise(request: QuantiseRequest, report: Callable[[str], None]) -> tuple[Bundle, Cost]:
    """Write the bundle with a network in int8 to `out`.

    Raises:
        SettingsError: the bundle has no network to quantise with this data, lies in `out`, or accuracy drops too much;
            nothing is written.
        DataError: the data set lacks a split or labels.
    """
    bundle = load(request.bundle)
    refuse_own_folder(request.bundle, request.out)
    data = open_data(request.data, still_images=True)
    modality = _modality(bundle, data)
    with TemporaryDirectory() as folder:
        network = Path(folder) / modality.net.name
        if isinstance(modality, VoiceModality) and modality.chunks is not None:
            fit.quantise_dense_onnx(modality.net, network)
            truth, predictions = _predict_clips(request, data, modality, network)
        else:
            truth, predictions = _quantise_and_predict(request, data, modality, network, report)
        cost = cost_of(truth, predictions, len(bundle.label_set), (modality.net.stat().st_size, network.stat().st_size))
        if -100 * cost.change.value > request.max_accuracy_drop:
            raise SettingsError(
                f"{request.bundle}: int8 costs {-cost.change.value:.2%} of accuracy on {cost.examples} examples, "
                f"more than {request.max_accuracy_drop:.2f}%; keep more layers in float32 with --keep, or allow more "
                "with --max-accuracy-drop."
            )
        name = FACE if isinstance(modality, FaceModality) else VOICE
        changed: dict[str, Any] = {
            name: replace(modality, net=network),
            "card": dict(bundle.card) | {"int8": dict(bundle.card.get("int8", {})) | {name: cost.to_json()}},
        }
        return write_bundle(request.out, replace(bundle, **changed)), cost


def _quantise_and_predict(
    request: QuantiseRequest,
    data: DataSet,
    modality: FaceModality | VoiceModality,
    network: Path,
    report: Callable[[str], None],
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Writes the int8 network; returns the truth and both predictions of the validation examples."""
    train, validation = (_examples(request, data, modality, split, report) for split in ("train", "validation"))
    prepare, rows = _prepare(modality), np.linspace(0, len(train) - 1, min(request.ranges, len(train))).astype(np.int64)
    fit.quantise_onnx(
        modality.net,
        network,
        calibration=fit.prepared(train.inputs, rows, prepare),
        keep=(*request.keep, *_front_end(modality.net)),
    )
    predictions = [
        _predict(net, validation, prepare, modality.calibration, len(data.label_set)) for net in (modality.net, network)
    ]
    return fit.labels(validation.targets).reshape(-1), predictions


def _predict_clips(
    request: QuantiseRequest, data: DataSet, modality: VoiceModality, network: Path
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """The truth of the validation clips, and their predictions by the frames of both networks."""
    cache = AudioCache(
        modality.windows, choose_audio_stages(modality.separation, modality.activity, Engine()), request.out / "audio"
    )
    paths = [(clip, path) for clip in data.split("validation") if (path := cache.path(clip)) is not None]
    truths = [data.annotation(clip) for clip, _ in paths]
    predictions = []
    for net in (modality.net, network):
        scorer = voice_scorer(replace(modality, net=net), Engine(device="cpu"), classes=len(data.label_set))
        scores = [audio_scores(cache.scores(path, scorer), data.label_set, VOICE) for _, path in paths]
        found = [predicted_classes(aligned(s, truth)) for s, truth in zip(scores, truths, strict=True)]
        predictions.append(np.concatenate(found))
    return np.concatenate([truth.labels for truth in truths]), predictions


def _modality(bundle: Bundle, data: DataSet) -> FaceModality | VoiceModality:
    wanted = bundle.face if data.still_images or bundle.voice is None else bundle.voice
    if wanted is None:
        raise SettingsError(
            f"bundle {bundle.name}: needs audio, but {data.name} has single images; give clips with audio."
        )
    if isinstance(wanted, FaceModality) and (wanted.calibration is None or wanted.windows is not None):
        raise SettingsError(
            f"bundle {bundle.name}: classifies windows of faces, which cannot be quantised; give a bundle for single "
            "faces or for the voice."
        )
    return wanted


def _front_end(net: Path) -> tuple[str, ...]:
    import onnx

    nodes = onnx.load(net).graph.node
    return tuple(prefix for prefix in _FRONT_ENDS if any(node.name.startswith(prefix) for node in nodes))


def _examples(
    request: QuantiseRequest,
    data: DataSet,
    modality: FaceModality | VoiceModality,
    split: str,
    report: Callable[[str], None],
) -> fit.Examples:
    if isinstance(modality, VoiceModality):
        stages = choose_audio_stages(modality.separation, modality.activity, Engine())
        cache = AudioCache(modality.windows, stages, request.out / "audio")
        return window_examples(cache, data, data.split(split), label_rate_hz=request.rate_hz)
    rate = Fraction(request.rate_hz).limit_denominator(1001)
    detector = choose_detector(request.detector, Engine())
    return face_examples(FaceSource(data, modality.crop, detector, request.out / "faces", rate), split, report=report)


def _prepare(modality: FaceModality | VoiceModality) -> fit.Prepare:
    if isinstance(modality, VoiceModality):
        return fit.Waveforms()
    return fit.Faces(modality.input.colour, modality.input.mean, modality.input.scale, modality.crop.size, None)


def _predict(
    path: Path, examples: fit.Examples, prepare: fit.Prepare, calibration: LogitCalibration | None, classes: int
) -> NDArray[np.int64]:
    net, predicted = OnnxNetwork(path, Engine(device="cpu")), []
    for batch in fit.prepared(examples.inputs, np.arange(len(examples)), prepare):
        logits = net(batch, OUTPUT).reshape(-1, classes)
        predicted.append((calibration(logits) if calibration else logits).argmax(axis=1))
    return np.concatenate(predicted)


def cost_of(
    truth: NDArray[np.int64], predictions: list[NDArray[np.int64]], classes: int, sizes: tuple[int, int]
) -> Cost:
    """Accuracy before and its paired change, over the labelled examples; `sizes`: bytes of both networks."""
    known = truth >= 0
    before, after = (
        metrics.confusion_of_each(truth[known], predicted[known], classes=classes) for predicted in predictions
    )
    change = metrics.gain(after, before, metrics.accuracy_of)
    return Cost(int(known.sum()), float(metrics.accuracy_of(before.sum(axis=0))), change, *sizes)
