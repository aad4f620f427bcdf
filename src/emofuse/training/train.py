"""Training a system: fit the network, calibrate, export, fit the head, measure, write the bundle."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.core.registry import find
from emofuse.core.settings import with_settings
from emofuse.errors import SettingsError
from emofuse.systems import FACE, SYSTEMS, VOICE, WORDS_SYSTEMS, System, VoiceNet, WordsSystem

if TYPE_CHECKING:
    from emofuse.core.types import Clip, Scores
    from emofuse.datasets import DataSet
    from emofuse.models.bundle import Bundle
    from emofuse.training.loop import Epoch, FitSettings, Progress
    from emofuse.training.training_run import ModalityTraining, Trained, TrainingRun

DEFAULT_FACE = "default-face"
FACE_DETECTOR, ACTIVE_SPEAKER = "face-detector", "active-speaker"


@dataclass(frozen=True)
class TrainRequest:
    """A request for a training: the system by name ("default-face": the face network of the bundled model,
    "face-detector" and "active-speaker": the bundled networks of these names), data, folder, and changes of its
    definition.

    changes: values by dotted name, as `--set` gives them. weights: a file of pretrained weights, or the folder of a
        training whose network to start from. teacher: of a face detector, the detector that labels its photographs, or
        a CSV file of boxes.
    """

    system: str
    data: Path
    out: Path
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: Path | None = None
    detector: str = "default"
    device: str = "auto"
    epochs: int | None = None
    teacher: str = "yunet"


def train(
    request: TrainRequest, *, report: Callable[[str], None], progress: Callable[[Progress], None] = lambda _: None
) -> None:
    """Train a system by name and write its bundle.

    Args:
        report: called with messages for the user. progress: called after each step of a network's training.
    Raises:
        SettingsError: an unknown system or setting, or torch is not installed.
        DataError: the data set cannot be read, or lacks a split.
    """
    known: dict[str, System | WordsSystem | None] = {
        DEFAULT_FACE: None,
        FACE_DETECTOR: None,
        ACTIVE_SPEAKER: None,
        **SYSTEMS,
        **WORDS_SYSTEMS,
    }
    definition = find(request.system, known, "system")
    if not isinstance(definition, WordsSystem) and importlib.util.find_spec("torch") is None:
        raise SettingsError("training needs torch, which is not installed; pip install 'emofuse[train]'.")
    if request.system == FACE_DETECTOR:
        _train_face_detector(request, report, progress)
        return
    if request.system == ACTIVE_SPEAKER:
        _train_active_speaker(request, report, progress)
        return
    if definition is None:
        _train_default_face(request, report)
    elif isinstance(definition, WordsSystem):
        _train_words(definition, request, report)
    elif not _train_definition(definition, request, report, progress):
        return
    report(f"bundle written to {request.out}; use it with: emofuse predict FILE --bundle {request.out}")


def _train_default_face(request: TrainRequest, report: Callable[[str], None]) -> None:
    from emofuse.training import default_face
    from emofuse.training.training_run import without_weights

    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise SettingsError(f"{DEFAULT_FACE}: is trained by one process; start it without torchrun.")
    if request.weights is None:
        raise without_weights(DEFAULT_FACE, default_face.START)
    settings = with_settings(default_face.DefaultSettings(), dict(request.changes))
    if request.epochs is not None:
        settings = replace(
            settings,
            broad=replace(settings.broad, epochs=request.epochs),
            polish=replace(settings.polish, polish_epochs=request.epochs),
        )

    def on_epoch(stage: str, epoch: Epoch) -> None:
        own: FitSettings = getattr(settings, stage)
        report(f"{stage}: {_line(epoch, own.epochs + own.polish_epochs)}")

    default_face.train(request.data, request.weights, default_face.DefaultTraining(settings, request.out, on_epoch))


def _train_face_detector(
    request: TrainRequest, report: Callable[[str], None], progress: Callable[[Progress], None]
) -> None:
    from emofuse.models.detectors import choose_detector
    from emofuse.runtime import ONE_THREAD
    from emofuse.training.face_detector.fit import NETWORK, DetectorSettings
    from emofuse.training.face_detector.train import DetectorTraining, train_detector

    if request.epochs is not None:
        raise SettingsError(f"{FACE_DETECTOR}: has no epochs but steps; use --set steps=N.")
    settings = with_settings(DetectorSettings(), dict(request.changes))
    labels = Path(request.teacher)
    teacher = labels if labels.suffix == ".csv" else choose_detector(request.teacher, ONE_THREAD)
    training = DetectorTraining(request.data, request.out, teacher, settings, request.device, request.weights)
    accuracy = train_detector(training, report=report, progress=progress)
    report(
        f"validation: recall {accuracy.recall:.3f} with {accuracy.false_positives:.3f} false positives per canvas, "
        f"landmark error {accuracy.landmark_error:.3f} of the distance of the eyes"
    )
    report(f"detector written to {request.out / NETWORK}")


def _train_words(definition: WordsSystem, request: TrainRequest, report: Callable[[str], None]) -> None:
    from emofuse.training.words import train_words

    if request.epochs is not None:
        raise SettingsError(f"{definition.name}: has no epochs but steps; use --set steps=N.")
    if request.weights is not None:
        raise SettingsError(f"{definition.name}: starts from nothing, but --weights gives {request.weights}.")
    bundle = train_words(with_settings(definition, dict(request.changes)), request.data, request.out, report)
    values = bundle.card["metrics"]["validation"]
    report(f"validation: macro F1 {values['macro_f1']:.3f}, calibration error {values['calibration_error']:.3f}")


def _train_active_speaker(
    request: TrainRequest, report: Callable[[str], None], progress: Callable[[Progress], None]
) -> None:
    from emofuse.training.active_speaker.fit import SpeakerSettings
    from emofuse.training.active_speaker.train import SpeakerTraining, train_speaker

    if request.epochs is not None:
        raise SettingsError(f"{ACTIVE_SPEAKER}: has no epochs but steps; use --set steps=N.")
    settings = with_settings(SpeakerSettings(), dict(request.changes))
    accuracy = train_speaker(SpeakerTraining(request.data, request.out, settings), report=report, progress=progress)
    report(
        f"speakers left out: {accuracy.half_seconds:.3f} of half seconds, {accuracy.clips:.3f} of clips for the right "
        f"mouth, AUC {accuracy.auc:.3f}"
    )
    report(f"networks written to {request.out}")


def _train_definition(
    definition: System, request: TrainRequest, report: Callable[[str], None], progress: Callable[[Any], None]
) -> bool:
    """Whether this process is the one that reports."""
    from emofuse.datasets import open_data
    from emofuse.training import loop as fit
    from emofuse.training.training_run import TrainingRun

    definition = with_settings(definition, dict(request.changes))
    if request.epochs is not None:
        definition = replace(definition, fit=replace(definition.fit, epochs=request.epochs))
    callbacks = fit.Callbacks(epoch=lambda e: report(_line(e, definition.fit.epochs)), step=progress, note=report)
    machine = fit.Machine(device=request.device)
    run = TrainingRun(request.out, request.weights, request.detector, machine, callbacks, report)
    bundle = train_system(definition, open_data(request.data, still_images=True), run)
    if bundle is None:
        return False
    for split, values in bundle.card["metrics"].items():
        report(f"{split}: {_metrics_line(values)}")
    return True


def train_system(system: System, data: DataSet, run: TrainingRun) -> Bundle | None:
    """Train a system on the train split of a data set, selecting on its validation split; the bundle is in `run.out`.

    The folder also contains the network's weights, which other systems can start from.

    Returns:
        The bundle; None in all processes of torchrun but the first.
    Raises:
        DataError: a split is missing, or has nothing labelled.
        WeightsError: the pretrained weights are missing or wrong, or those of a stage that processes the audio.
        SettingsError: a setting does not fit the data.
    """
    from emofuse.core.calibration import LogitCalibration
    from emofuse.datasets.clip_digests import clip_digests
    from emofuse.models.bundle import TRAIN_FILES, Bundle, write_bundle
    from emofuse.nets import pretrained
    from emofuse.training import loop as fit
    from emofuse.training.loop.distributed import process_group
    from emofuse.training.training_run import WEIGHTS, fit_network, network
    from emofuse.training.voice import VoiceTraining

    _check(system, data)
    net, origin = network(_training_of(system, data, run), system, len(data.label_set), run)
    with process_group(fit.device(run.machine.device)) as members:
        if not members.first:
            run = replace(run, report=lambda _: None)
        training, trained = _training_of(system, data, run), None
        if system.fit.epochs:
            trained = fit_network(training, net, system.fit, run=run, members=members)
        if not members.first:
            return None
    if isinstance(training, VoiceTraining) and training.has_probe:
        trained = training.fit_probe(net)
    card: dict[str, Any] = {"what": _what(system), "definition": system.to_json(), "data": data.name, **origin}
    if files := sorted(set(clip_digests(data.split("train")).values())):
        card[TRAIN_FILES] = " ".join(files)
    if data.terms:
        card["licence"] = f"{card['licence']}; {data.terms}"
    calibration = LogitCalibration.identity(len(data.label_set))
    if trained:
        calibration = trained.calibration
        about = {"licence": card["licence"], "data": data.name, "start": system.net.weights or "scratch"}
        pretrained.save_trained(net, run.out / WEIGHTS, name=system.name, about=about)
    modality, added = training.modality(net, calibration)
    card |= added | ({"examples": trained.examples} if trained else {})
    name, version = system.name, system.digest[:12]
    bundle = Bundle(name, version, data.label_set, card, **{system.modality: modality})  # type: ignore[arg-type]
    card["metrics"] = {"validation": _validation_metrics(training, data, bundle, trained)}
    return write_bundle(run.out, bundle)


def system_scores(system: System, bundle: Bundle, data: DataSet, run: TrainingRun) -> Callable[[Clip], Scores]:
    """Scores of a trained system by clip of a data set; faces, audio and embeddings are cached in `run.out`."""
    return _training_of(system, data, run).scores(bundle)


def _training_of(system: System, data: DataSet, run: TrainingRun) -> ModalityTraining:
    from emofuse.training.face import FaceTraining
    from emofuse.training.voice import VoiceTraining

    kinds: dict[str, Callable[..., ModalityTraining]] = {FACE: FaceTraining, VOICE: VoiceTraining}
    return kinds[system.modality](system, data, run)


def _check(system: System, data: DataSet) -> None:
    probe = isinstance(system.net, VoiceNet) and system.net.probe is not None
    if not (system.fit.epochs or system.head or probe):
        raise SettingsError(
            f"{system.name}: fit.epochs is 0 and there is no head, so nothing is trained; set fit.epochs."
        )
    if probe and system.fit.epochs:
        raise SettingsError(
            f"{system.name}: fit.epochs is {system.fit.epochs}, but its network is not trained; set fit.epochs=0."
        )
    if data.still_images and system.modality == VOICE:
        raise SettingsError(f"{system.name}: needs audio, but {data.name} has single images; give clips with audio.")
    if data.still_images and system.head is not None:
        raise SettingsError(
            f"{system.name}: classifies windows of clips, but {data.name} has single images; train a network without "
            "windows on it, such as mobile-fer, or give clips."
        )


def _what(system: System) -> str:
    if system.modality == VOICE and system.windows is not None:
        network: str = getattr(system.net, "network", "")
        return f"{system.title}: {network} on windows of {system.windows.seconds:g} s of audio"
    windows = f", windows classified by {system.head.kind}" if system.head else ""
    return f"{system.title}: {system.net.weights} on faces{windows}"


def _validation_metrics(
    training: ModalityTraining, data: DataSet, bundle: Bundle, trained: Trained | None
) -> dict[str, Any]:
    """Metrics of the validation split, on which nothing was fitted but the epoch and the calibration.

    Each measure is None if nothing is labelled, and has an interval if there are two clips or images.
    """
    from emofuse import metrics
    from emofuse.evaluation.evaluate import aligned, confusions

    if data.still_images and trained is not None:
        guess = trained.calibration(trained.logits).argmax(axis=1)
        number = {"images": len(trained.truth)}
        counts = metrics.confusion_of_each(trained.truth, guess, classes=len(data.label_set))
    else:
        clips, scores = data.split("validation"), training.scores(bundle)
        truths, number = [data.annotation(clip) for clip in clips], {"clips": len(clips)}
        counts = confusions(truths, [aligned(scores(c), truth) for c, truth in zip(clips, truths, strict=True)])
    return number | metrics.card_metrics(metrics.bootstraps(counts))


def _metrics_line(values: Mapping[str, Any]) -> str:
    """
    >>> _metrics_line({"cpm": 0.5, "accuracy": 0.61, "uar": None, "interval": {"cpm": [0.4, 0.6]}})
    'CPM 0.500 [0.400, 0.600], accuracy 0.610'
    """
    words = []
    for name, label in (("cpm", "CPM"), ("accuracy", "accuracy"), ("uar", "UAR")):
        if values[name] is not None:
            low, high = values["interval"].get(name, (float("nan"), float("nan")))
            words.append(f"{label} {values[name]:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low == low else ""))
    return ", ".join(words) or "nothing is labelled, so there are no metrics"


def _line(epoch: Epoch, total: int) -> str:
    left = (total - epoch.epoch - 1) * epoch.seconds / 60
    return (
        f"epoch {epoch.epoch + 1}/{total}  train loss {epoch.train_loss:.3f}  "
        f"validation loss {epoch.validation_loss:.3f}  accuracy {epoch.measures['accuracy']:.4f}  "
        f"{epoch.seconds:.0f} s, about {left:.0f} min left"
    )
