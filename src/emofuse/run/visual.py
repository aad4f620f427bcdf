"""Training a visual system: fine-tune its net on faces, embed all faces once, fit a head on windows, write a bundle.

Every stage leaves its result in the folder (checkpoint, net, embeddings), so that a killed training goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse import __version__, fit, heads, metrics
from emofuse.core.align import pool
from emofuse.core.labels import LabelSet
from emofuse.core.settings import with_settings
from emofuse.core.store import file_digest
from emofuse.core.time import Ints, Timeline
from emofuse.core.types import Clip, Scores, Track
from emofuse.data.dataset import DataSet
from emofuse.errors import DataError, SettingsError
from emofuse.media.faces.crop import identity_crop
from emofuse.nets import pretrained
from emofuse.nets.resized import Resized
from emofuse.run.evaluate import aligned, decided
from emofuse.run.tracks import Embeddings, FaceSource
from emofuse.systems.bundle import (
    EMBEDDING,
    OUTPUT,
    Bundle,
    Calibration,
    FaceInput,
    WindowPart,
    load,
    write_manifest,
)
from emofuse.systems.default import best_calibration
from emofuse.systems.detectors import Chosen
from emofuse.systems.engine import Engine
from emofuse.systems.spec import Head, System, Window

NET, HEAD = "face.onnx", "head.safetensors"


@dataclass(frozen=True)
class Place:
    """Where a training happens: its folder, the pretrained weights, who finds faces, and what it tells.

    weights: a file of the system's pretrained weights, as published or imported; None where none are needed.
    """

    out: Path
    weights: Path | None
    detector: Chosen
    machine: fit.Machine = fit.Machine()  # noqa: RUF009 (frozen)
    watch: fit.Watch = fit.Watch()  # noqa: RUF009 (frozen)
    say: Callable[[str], None] = lambda _: None


def train_visual(system: System, data: DataSet, place: Place) -> Bundle:
    """Train a visual system on the train part of a data set, choosing on its validation part; the bundle is in `out`.

    Raises:
        DataError: a part is missing, or has no labelled face.
        WeightsError: the pretrained weights are missing or others.
        SettingsError: a setting does not fit the data.
    """
    face = system.face
    rate = Fraction(face.rate_hz).limit_denominator(1001) if face.rate_hz else None
    source = FaceSource(data, identity_crop(face.side), place.detector, rate)
    train, validation = data.part("train"), data.part("validation")
    net = _net(system, data.label_set, place)
    calibration: Calibration | None = None
    learned = 0
    if system.fit.epochs:
        examples = fit.Data(_examples(source, train), _examples(source, validation), _prepare(system))
        learned = len(examples.train)
        place.say(f"{system.name}: {learned} faces of {len(train)} clips to learn from")
        fit.fit(net, examples, settings=system.fit, folder=place.out, machine=place.machine, watch=place.watch)
        said = fit.predict(net, examples.validation.inputs, prepare=_prepare(system, augment=False), batch=64)
        calibration = best_calibration(said.logits, fit.labels(examples.validation.targets))
    elif system.window is None:
        raise SettingsError(
            f"{system.name}: fit.epochs is 0 and there is no head, so nothing is learned; set fit.epochs."
        )
    error = _export(net, system, place.out / NET)
    bundle = _bundle(system, data.label_set, calibration, place.out)
    embeddings = Embeddings(source, bundle.face_scorer(Engine()), file_digest(bundle.net), place.out / "embeddings")
    if bundle.window is not None:
        _fit_head(system, embeddings, train, bundle.window.head, place)
    figures = _figures(bundle, embeddings, validation)
    card = {"examples": learned, "onnx_largest_error": error, "data": data.name, "figures": {"validation": figures}}
    _write(system, bundle, card)
    return load(place.out)


# -- the net --------------------------------------------------------------------------------------------------


def _net(system: System, label_set: LabelSet, place: Place) -> Any:
    entry = pretrained.known(system.face.weights)
    if system.face.tiny:
        return fit.fresh(lambda: entry.net.tiny(classes=len(label_set)), seed=system.fit.seed)
    net = fit.fresh(lambda: entry.build(classes=len(label_set)), seed=system.fit.seed)
    if not system.face.scratch:
        if place.weights is None:
            raise SettingsError(
                f"{system.name}: starts from the weights {entry.name!r} ({entry.what}); give their file with --weights "
                f"(from {entry.source}), or train from nothing with --set face.scratch=true."
            )
        pretrained.load_pretrained(net, place.weights, name=entry.name, head=pretrained.Head.FRESH)
    return net


def _prepare(system: System, *, augment: bool = True) -> fit.Faces:
    face = system.face
    changes = fit.AUGMENTS[face.augment]() if augment and face.augment in fit.AUGMENTS else None
    if face.augment not in fit.AUGMENTS:
        raise SettingsError(f"face.augment {face.augment}: unknown; choose {', '.join(fit.AUGMENTS)}.")
    return fit.Faces(face.colour, face.mean, face.scale, _size(system), changes)


def _size(system: System) -> int:
    return (
        int(pretrained.known(system.face.weights).net.tiny().preprocessing.size)
        if system.face.tiny
        else system.face.size
    )


def _export(net: Any, system: System, path: Path) -> float:
    size, side = _size(system), system.face.side
    whole = net if size == side else Resized(net, size)
    example = fit.face_example(side, n=2, channels=system.face.colour.channels)
    return fit.export_onnx(whole, example, path, outputs=(EMBEDDING, OUTPUT))


@dataclass(frozen=True, eq=False)
class _Faces:
    """Faces of many clips as rows, read as they are needed."""

    tracks: Sequence[Track]
    places: NDArray[np.int64]  # [n, 2]: track and row in it

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        return np.stack([self.tracks[t].values[int(r)] for t, r in self.places[rows]])


def _examples(source: FaceSource, clips: Sequence[Clip]) -> fit.Examples:
    tracks, places, labels = list[Track](), list[tuple[int, int]](), list[int]()
    for clip in clips:
        faces = source(clip)
        truth = source.data.annotation(clip).onto(faces.timeline).labels
        rows = np.flatnonzero(faces.valid & (truth >= 0))
        places += [(len(tracks), int(r)) for r in rows]
        labels += truth[rows].tolist()
        tracks.append(faces)
    if not labels:
        raise DataError(
            f"{source.data.root}: none of {len(clips)} clips has a face with a label; run emofuse data check."
        )
    targets = np.eye(len(source.data.label_set), dtype=np.float32)[labels]
    return fit.Examples(_Faces(tracks, np.array(places)), targets)


# -- the head -------------------------------------------------------------------------------------------------


def window_rows(
    window: Window, embeddings: Callable[[Clip], Track], data: DataSet, clips: Sequence[Clip]
) -> tuple[NDArray[np.float32], Ints, Ints]:
    """Features, labels and groups (number of the clip) of all labelled windows of some clips."""
    features, labels, groups = [], [], []
    for n, clip in enumerate(clips):
        truth, track = data.annotation(clip), embeddings(clip)
        windows = Timeline.windows(*window.ticks, end=int(data.timeline(clip).end[-1]))
        pooled = pool(track.values, track.timeline, windows, valid=track.valid)
        # At the faces, so that a label for a whole clip counts too.
        label = truth.onto(track.timeline).over(windows).labels
        use = pooled.valid & (label >= 0)
        features.append(pooled.functionals()[use])
        labels.append(label[use])
        groups.append(np.full(int(use.sum()), n))
    if not sum(map(len, labels)):
        raise DataError(f"{data.root}: none of {len(clips)} clips has a labelled window with a face.")
    return np.concatenate(features), np.concatenate(labels), np.concatenate(groups)


def head_of(head: Head) -> Any:
    """The estimator of a definition, with probabilities.

    Raises:
        SettingsError: another kind.
    """
    weighting: dict[str, Any] = {"class_weight": "log", "mu": head.mu} if head.mu else {}
    if head.kind == "svm":
        return heads.SVM(
            kernel=head.kernel, degree=head.degree, gamma=head.gamma, C=head.C, probability=True, **weighting
        )
    if head.kind == "kelm":
        return heads.KernelELM(
            kernel=head.kernel,
            g=head.g or None,
            C=head.C,
            normalisation=head.normalisation,
            probability=True,
            **weighting,
        )
    raise SettingsError(f"head {head.kind!r}: unknown; choose svm or kelm.")


def _fit_head(system: System, embeddings: Embeddings, train: Sequence[Clip], path: Path, place: Place) -> None:
    assert system.window is not None
    data = embeddings.faces.data
    features, labels, groups = window_rows(system.window, embeddings, data, train)
    place.say(f"{system.name}: {len(labels)} windows of {features.shape[1]} features to fit the head on")
    head = head_of(system.window.head).fit(features, labels, groups)
    heads.save(path, head, label_set=data.label_set)


# -- the bundle -----------------------------------------------------------------------------------------------


def _bundle(system: System, label_set: LabelSet, calibration: Calibration | None, out: Path) -> Bundle:
    face, window = system.face, None
    if system.window is not None:
        width, step = system.window.ticks
        window = WindowPart(width, step, out / HEAD)
    even = Calibration(1.0, (0.0,) * len(label_set))
    return Bundle(
        name=system.name,
        version=system.digest[:12],
        label_set=label_set,
        crop=identity_crop(face.side),
        face_input=FaceInput(face.colour, face.mean, face.scale),
        net=out / NET,
        calibration=calibration or even,
        identity="",  # has one once it is written
        card={},
        window=window,
    )


def _write(system: System, bundle: Bundle, card: dict[str, Any]) -> None:
    face, calibration = system.face, bundle.calibration
    assert calibration is not None
    judged = f", windows judged by {system.window.head.kind}" if system.window else ""
    content: dict[str, Any] = {
        "name": bundle.name,
        "version": bundle.version,
        "labels": list(bundle.label_set.names),
        "face": {
            "net": NET,
            "colour": face.colour.value,
            "mean": list(face.mean),
            "scale": list(face.scale),
            "crop": bundle.crop.to_json(),
            "temperature": calibration.temperature,
            "bias": list(calibration.bias),
        },
        "card": {
            "what": f"{system.row}: {face.weights} on faces{judged}",
            "licence": pretrained.known(face.weights).licence,
            "emofuse": __version__,
            "definition": system.to_json(),
            **card,
        },
    }
    files: tuple[str, ...] = (NET,)
    if system.window is not None:
        content["window"] = {"seconds": str(system.window.seconds), "step_seconds": str(system.window.step_seconds)}
        content["window"]["head"] = HEAD
        files = (NET, HEAD)
    write_manifest(bundle.net.parent, content, files=files)


def _figures(bundle: Bundle, outputs: Embeddings, clips: Sequence[Clip]) -> dict[str, Any]:
    """How well the bundle does on clips that nothing was fitted on: figures and their intervals over clips."""
    data, head, counts = outputs.faces.data, bundle.window_head(), []
    for clip in clips:
        truth, track = data.annotation(clip), outputs(clip)
        values, timeline, valid = track.values, track.timeline, track.valid
        if bundle.window is not None and head is not None:
            timeline = bundle.window.timeline(int(data.timeline(clip).end[-1]))
            pooled = pool(values, track.timeline, timeline, valid=valid)
            values, valid = head.probabilities(pooled.functionals()), pooled.valid
        scores = Scores(values, timeline, data.label_set, valid, bundle.name)
        guess = decided(aligned(scores, truth))
        counts.append(metrics.confusion(truth.labels, guess, classes=len(data.label_set)))
    estimates = {n: metrics.bootstrap(np.stack(counts), m) for n, m in metrics.MEASURES.items()}
    interval = {n: [round(v, 4) for v in (e.low, e.high)] for n, e in estimates.items() if e.low == e.low}
    return {"clips": len(clips), **{n: round(e.value, 4) for n, e in estimates.items()}, "interval": interval}


def changed(system: System, changes: dict[str, str]) -> System:
    """A definition with settings changed by name, as `--set` gives them.

    Raises:
        SettingsError: an unknown name, or a value of another type.
    """
    return with_settings(system, changes) if changes else system
