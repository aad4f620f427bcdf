"""Training a visual system: fine-tune its net on faces, embed all faces once, fit a head on windows, write a bundle.

Every stage leaves its result in the folder (checkpoint, net, faces, embeddings), so that a killed training goes on.
Processes that torchrun started share the training of the net; all the rest is done by the first of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from emofuse import heads, metrics
from emofuse.core.align import pool
from emofuse.core.calibration import LogitCalibration
from emofuse.core.colour import Colour
from emofuse.core.files import file_digest
from emofuse.core.time import Ints
from emofuse.core.types import Clip, Scores
from emofuse.core.version import __version__
from emofuse.datasets import DataSet, Fer2013
from emofuse.errors import SettingsError
from emofuse.evaluation.evaluate import aligned, confusions
from emofuse.faces.crop import CROP_PRESETS
from emofuse.models.bundle import Bundle, load, write_manifest
from emofuse.models.detectors import ChosenDetector
from emofuse.models.face import EMBEDDING, OUTPUT, FaceInput, FacePart, FaceScorer
from emofuse.nets import pretrained
from emofuse.nets.catalogue import network_for, published_weights
from emofuse.nets.wrappers import Normalise, Resize, Standardise
from emofuse.runtime import Engine
from emofuse.systems import FaceNet, System
from emofuse.training import loop as fit
from emofuse.training.face_cache import Embeddings, FaceSource
from emofuse.training.face_examples import FacesOfClips, FacesOfFer2013
from emofuse.training.loop.distributed import process_group
from emofuse.training.training_run import WEIGHTS, Learned, Place, figures, learn, shipped, start, without_weights
from emofuse.training.window_head import fit_head

NET, HEAD = "face.onnx", "head.safetensors"


def train_visual(system: System, data: DataSet | Fer2013, place: Place, *, detector: ChosenDetector) -> Bundle | None:
    """Train a visual system on the train part of a data set, choosing on its validation part; the bundle is in `out`.

    A net that was trained is there too, as weights that other systems can start from.

    Args:
        detector: finds faces where the data set brings none.
    Returns:
        The bundle; None in all processes of torchrun but the first.
    Raises:
        DataError: a part is missing, or has no labelled face.
        WeightsError: the pretrained weights are missing or others.
        SettingsError: a setting does not fit the data.
    """
    if not system.fit.epochs and system.head is None:
        raise SettingsError(
            f"{system.name}: fit.epochs is 0 and there is no head, so nothing is learned; set fit.epochs."
        )
    faces = _faces(system, data, place, detector)
    net, begun = _net(system, place, classes=len(data.label_set))
    with process_group(fit.device(place.machine.device)) as members:
        if not members.first:
            place = replace(place, say=lambda _: None)
        learned = None
        if system.fit.epochs:
            both = _prepare(system), _prepare(system, augment=False)
            parts = partial(faces.examples, say=place.say)
            learned = learn(_seeing(net, system.net), parts, both, system.fit, place=place, members=members)
        if not members.first:
            return None
    card: dict[str, Any] = {"data": data.name, **begun}
    if isinstance(data, Fer2013):
        card["licence"] = f"{card['licence']}; {data.terms}"
    if learned:
        about = {"licence": card["licence"], "data": data.name, "start": system.net.weights}
        pretrained.save_trained(net, place.out / WEIGHTS, name=system.name, about=about)
    even = LogitCalibration.identity(len(data.label_set))
    part = _part(system, faces, LogitCalibration.fit(learned.logits, learned.truth) if learned else even, place.out)
    card["onnx_largest_error"] = _export(net, system, part)
    if isinstance(faces, FacesOfClips):
        said, windows = _figures_of_clips(system, part, faces.source, place)
        card["examples"] = learned.examples if learned else windows
    else:
        assert learned is not None
        card["examples"] = learned.examples
        said = {"images": len(learned.truth)} | figures(_one_by_one(learned, part.calibration))
    _write(system, part, data, card | {"figures": {"validation": said}})
    return load(place.out)


def _faces(
    system: System, data: DataSet | Fer2013, place: Place, detector: ChosenDetector
) -> FacesOfClips | FacesOfFer2013:
    face = system.net
    if isinstance(data, Fer2013):
        if system.head is not None:
            raise SettingsError(
                f"{system.name}: judges windows of clips, but FER-2013 has single faces; train a net without windows "
                "on it, such as mobile-fer, or give clips."
            )
        return FacesOfFer2013(data, face.votes_weight)
    return FacesOfClips(_source(system, data, place.out, detector))


# -- the net --------------------------------------------------------------------------------------------------


def _net(system: System, place: Place, *, classes: int) -> tuple[Any, dict[str, Any]]:
    """The net with its first weights, and what the card says of these."""
    face, entry = system.net, published_weights(system.net.weights)
    net = fit.fresh(lambda: network_for(entry.name).build(classes, tiny=face.tiny), seed=system.fit.seed)
    weights = place.weights or (None if face.scratch or face.tiny else shipped(entry.name))
    if weights is None:
        if not (face.scratch or face.tiny):
            raise without_weights(system.name, entry.name, scratch="net.scratch")
        return net, {"licence": entry.licence}
    if face.scratch:
        raise SettingsError(
            f"{system.name}: net.scratch starts from random weights, --weights from {weights}; leave one out."
        )
    return net, start(net, entry.name, weights)


def _prepare(system: System, *, augment: bool = True) -> fit.Faces:
    face = system.net
    if face.augment not in fit.AUGMENTS:
        raise SettingsError(f"net.augment {face.augment}: unknown; choose {', '.join(fit.AUGMENTS)}.")
    changes = fit.AUGMENTS[face.augment]() if augment else None
    if face.standardise:
        return fit.Faces(Colour.GREY, (0.0,), (1.0,), _size(system), changes)
    return fit.Faces(face.colour, face.mean, face.scale, _size(system), changes)


def _size(system: System) -> int:
    face = system.net
    return network_for(face.weights).tiny_size if face.tiny else face.size


def _seeing(net: Any, face: FaceNet) -> Any:
    """The net behind what is done to faces in it, not before."""
    if not face.standardise:
        return net
    return nn.Sequential(Standardise(mean=128, deviation=64), Normalise(face.mean, face.scale), net)


def _export(net: Any, system: System, part: FacePart) -> float:
    side, size, face = part.crop.size, _size(system), system.net
    example = fit.face_example(side, n=2, channels=part.input.colour.channels)
    whole = _seeing(net, face)
    whole = whole if size == side else nn.Sequential(Resize(size), whole)
    if part.input.colour is Colour.GREY:
        example = 255 * example
        whole = whole if face.standardise else nn.Sequential(Normalise(face.mean, face.scale), whole)
    return fit.export_onnx(whole, example, part.net, outputs=(EMBEDDING, OUTPUT))


# -- the bundle -----------------------------------------------------------------------------------------------


def _part(system: System, faces: FacesOfClips | FacesOfFer2013, calibration: LogitCalibration, out: Path) -> FacePart:
    face = system.net
    inputs = FaceInput(face.colour, face.mean, face.scale)
    if faces.grey or face.standardise or face.colour is Colour.GREY:
        inputs = FaceInput(Colour.GREY, (0.0,), (1.0,))  # the exported net does the rest
    return FacePart(out / NET, faces.crop, inputs, calibration, system.windows, out / HEAD if system.head else None)


def _write(system: System, part: FacePart, data: DataSet | Fer2013, card: dict[str, Any]) -> None:
    calibration = part.calibration
    assert calibration is not None
    judged = f", windows judged by {system.head.kind}" if system.head else ""
    content: dict[str, Any] = {
        "name": system.name,
        "version": system.digest[:12],
        "labels": list(data.label_set.names),
        "face": {
            "net": NET,
            "colour": part.input.colour.value,
            "mean": list(part.input.mean),
            "scale": list(part.input.scale),
            "crop": part.crop.to_json(),
            "temperature": calibration.temperature,
            "bias": list(calibration.bias),
        },
        "card": {
            "what": f"{system.title}: {system.net.weights} on faces{judged}",
            "emofuse": __version__,
            "definition": system.to_json(),
            **card,
        },
    }
    files: tuple[str, ...] = (NET,)
    if system.windows is not None:
        content["window"] = {"seconds": str(system.windows.seconds), "step_seconds": str(system.windows.step_seconds)}
        content["window"]["head"] = HEAD
        files = (NET, HEAD)
    write_manifest(part.net.parent, content, files=files)


# -- how well it does -----------------------------------------------------------------------------------------


def _figures_of_clips(system: System, part: FacePart, source: FaceSource, place: Place) -> tuple[dict[str, Any], int]:
    """Fits the head, if there is one; then figures of the validation part, which nothing else was fitted on.

    Also gives how many windows the head was fitted on.
    """
    data, outputs = source.data, _outputs(part, source, place.out)
    head, windows = None, 0
    if system.windows is not None and system.head is not None and part.head is not None:
        head, windows = fit_head(system.windows, system.head, outputs, data.split("train"), part.head, say=place.say)
    clips = data.split("validation")
    truths = [data.annotation(clip) for clip in clips]
    said = [aligned(_scores(part, head, outputs, clip), t) for clip, t in zip(clips, truths, strict=True)]
    return {"clips": len(clips)} | figures(confusions(truths, said)), windows


def face_scores(
    system: System, bundle: Bundle, data: DataSet, folder: Path, *, detector: ChosenDetector
) -> Callable[[Clip], Scores]:
    """What a trained system says of the clips of a data set, from the faces that it is trained on.

    Args:
        folder: where the training was, or another; faces and embeddings are kept there and not made twice.
    """
    part, head = bundle.face, bundle.window_head()
    assert part is not None
    outputs = _outputs(part, _source(system, data, folder, detector), folder)
    return lambda clip: replace(_scores(part, head, outputs, clip), system=system.name)


def _source(system: System, data: DataSet, folder: Path, detector: ChosenDetector) -> FaceSource:
    rate = Fraction(system.net.rate_hz).limit_denominator(1001) if system.net.rate_hz else None
    if system.net.framing not in CROP_PRESETS:
        raise SettingsError(f"net.framing {system.net.framing}: unknown; choose {', '.join(CROP_PRESETS)}.")
    crop = data.face_crop or CROP_PRESETS[system.net.framing](system.net.side)
    return FaceSource(data, crop, detector, folder / "faces", rate)


def _outputs(part: FacePart, source: FaceSource, folder: Path) -> Embeddings:
    output = EMBEDDING if part.windows else OUTPUT
    scorer = FaceScorer(part, Engine(), classes=len(source.data.label_set), output=output)
    return Embeddings(source, scorer, file_digest(part.net), folder / "embeddings")


def _scores(part: FacePart, head: heads.LabelledHead | None, outputs: Embeddings, clip: Clip) -> Scores:
    data, track = outputs.faces.data, outputs(clip)
    values, timeline, valid = track.values, track.timeline, track.valid
    if part.windows is not None and head is not None:
        timeline = part.windows.timeline(int(data.timeline(clip).end[-1]))
        pooled = pool(values, track.timeline, timeline, valid=valid)
        values, valid = head.probabilities(pooled.functionals()), pooled.valid
    return Scores(values, timeline, data.label_set, valid, data.name)


def _one_by_one(learned: Learned, calibrate: LogitCalibration | None) -> Ints:
    """A confusion matrix for each face, int64 [faces, classes, classes]."""
    guess = (calibrate(learned.logits) if calibrate else learned.logits).argmax(axis=1)
    return metrics.confusion_of_each(learned.truth, guess, classes=learned.logits.shape[1])
