"""Training a system that listens: separate and keep the sound once, learn from its windows, write a bundle.

Every stage leaves its result in the folder (sound, checkpoint, net), so that a killed training goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse import __version__, fit, metrics
from emofuse.core.time import TICKS_PER_SECOND, Timeline
from emofuse.core.types import Clip
from emofuse.data.dataset import DataSet
from emofuse.errors import DataError, SettingsError
from emofuse.nets import pretrained, voices
from emofuse.run.evaluate import aligned, decided
from emofuse.run.hearing import choose_hearing
from emofuse.run.prediction import voice_scores
from emofuse.run.sounds import Sounds, mapped
from emofuse.run.visual import Place
from emofuse.systems.bundle import Bundle, load, write_manifest
from emofuse.systems.calibration import best_calibration
from emofuse.systems.engine import Engine
from emofuse.systems.spec import VoiceSystem
from emofuse.systems.voice import OUTPUT, VoicePart, VoiceScorer

NET = "voice.onnx"


def train_audible(system: VoiceSystem, data: DataSet, place: Place) -> Bundle:
    """Train a system on the sound of the train part of a data set, choosing on its validation part.

    Raises:
        DataError: a part is missing, or none of its clips has a labelled window with voice.
        WeightsError: the pretrained weights are missing or others, or those of a stage of the sound are not here.
        SettingsError: a setting does not fit the data.
    """
    voice = system.voice
    hearing = choose_hearing(voice.separation, voice.activity, Engine())
    if hearing.note:
        place.say(f"note: {hearing.note}")
    sounds = Sounds(voice.windows, hearing, place.out / "sounds")
    train, validation = data.part("train"), data.part("validation")
    net = _net(system, len(data.label_set), place)
    examples = fit.Data(
        window_examples(sounds, data, train, labels_hz=voice.labels_hz),
        window_examples(sounds, data, validation, labels_hz=voice.labels_hz),
        voice.augment,
    )
    place.say(f"{system.name}: {len(examples.train)} windows of {len(train)} clips to learn from")
    fit.fit(net, examples, settings=system.fit, folder=place.out, machine=place.machine, watch=place.watch)
    said = fit.predict(net, examples.validation.inputs, prepare=voice.augment, batch=32, embeddings=False).logits
    labels = fit.labels(examples.validation.targets).reshape(-1)
    calibration = best_calibration(said.reshape(len(labels), -1)[labels >= 0], labels[labels >= 0])
    example = fit.wave_example(voice.windows.samples[0])
    error = fit.export_onnx(net, example, place.out / NET, outputs=("embedding", OUTPUT))
    part = VoicePart(place.out / NET, voice.windows, calibration, voice.separation, voice.activity)
    figures = _figures(part, sounds, data, validation)
    card = {
        "examples": len(examples.train),
        "onnx_largest_error": error,
        "data": data.name,
        "figures": {"validation": figures},
    }
    _write(system, part, data, card)
    return load(place.out)


# -- the net --------------------------------------------------------------------------------------------------


def _net(system: VoiceSystem, classes: int, place: Place) -> Any:
    voice = system.voice
    shape = voices.VoiceShape(voice.rate_hz, voice.windows.samples[0], voice.answers, classes, voice.tiny)
    net = fit.fresh(lambda: voices.build(voice.net, shape), seed=system.fit.seed)
    if not voice.weights or voice.scratch or voice.tiny:
        return net
    entry = pretrained.known(voice.weights)
    if place.weights is None:
        raise SettingsError(
            f"{system.name}: starts from the weights {entry.name!r} ({entry.what}); give their file with --weights "
            f"(from {entry.source}), or train from nothing with --set voice.scratch=true."
        )
    pretrained.load_pretrained(net, place.weights, name=entry.name, head=pretrained.Head.FRESH)
    return net


# -- examples -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Waves:
    """Windows of many sounds as rows float32 [samples], read from the disk as they are needed.

    places: int64 [n, 2]: number of the file, and the first sample.
    """

    files: Sequence[Path]
    places: NDArray[np.int64]
    samples: int

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        waves = np.zeros((len(rows), self.samples), np.float32)
        for wave, (file, first) in zip(waves, self.places[rows], strict=True):
            found = mapped(self.files[file])[first : first + self.samples]
            wave[: len(found)] = found
        return waves


def window_examples(sounds: Sounds, data: DataSet, clips: Sequence[Clip], *, labels_hz: float) -> fit.Examples:
    """The windows with voice of some clips, each with the commonest of its labels, or with one for each answer.

    Raises:
        DataError: there is none.
    """
    files, places, labels = list[Path](), list[tuple[int, int]](), list[NDArray[np.int64]]()
    windows = sounds.windows
    for clip in clips:
        path = sounds.path(clip)
        spans = sounds.spans(path) if path is not None else []
        if path is None or not spans:
            continue
        end = max(span[1] for span in spans)
        truth = data.annotation(clip).onto(Timeline.steps(Fraction(labels_hz).limit_denominator(1001), end=end))
        parts = windows.width // windows.answers
        bounds = [(s + k * parts, s + (k + 1) * parts) for s, _ in spans for k in range(windows.answers)]
        order = sorted(range(len(bounds)), key=bounds.__getitem__)
        start, stop = np.array([bounds[k] for k in order], np.int64).T
        commonest = np.empty(len(bounds), np.int64)
        commonest[order] = truth.over(Timeline(start, stop)).labels
        found = commonest.reshape(len(spans), windows.answers)
        use = np.flatnonzero((found >= 0).any(axis=1))
        places += [(len(files), spans[k][0] * windows.rate_hz // TICKS_PER_SECOND) for k in use]
        labels += list(found[use])
        files.append(path)
    if not places:
        raise DataError(f"{data.root}: none of {len(clips)} clips has a labelled window with voice.")
    rows = np.array(labels)
    targets = np.zeros((*rows.shape, len(data.label_set)), np.float32)
    np.put_along_axis(targets, np.maximum(rows, 0)[..., None], (rows >= 0).astype(np.float32)[..., None], axis=-1)
    if windows.answers == 1:
        targets = targets[:, 0]
    return fit.Examples(Waves(files, np.array(places), windows.samples[0]), targets)


# -- the bundle -----------------------------------------------------------------------------------------------


def _write(system: VoiceSystem, part: VoicePart, data: DataSet, card: dict[str, Any]) -> None:
    voice = system.voice
    licence = pretrained.known(voice.weights).licence if voice.weights else "that of the data it was trained on"
    content = {
        "name": system.name,
        "version": system.digest[:12],
        "labels": list(data.label_set.names),
        "voice": {
            "net": NET,
            "rate_hz": voice.rate_hz,
            "seconds": str(voice.seconds),
            "step_seconds": str(voice.step_seconds),
            "answers": voice.answers,
            "least_voice_seconds": str(voice.least_voice_seconds),
            "separation": voice.separation,
            "activity": voice.activity,
            "temperature": part.calibration.temperature,
            "bias": list(part.calibration.bias),
        },
        "card": {
            "what": f"{system.row}: {voice.net} on windows of {voice.seconds:g} s of sound",
            "licence": licence,
            "emofuse": __version__,
            "definition": system.to_json(),
            **card,
        },
    }
    write_manifest(part.net.parent, content, files=(NET,))


def _figures(part: VoicePart, sounds: Sounds, data: DataSet, clips: Sequence[Clip]) -> dict[str, Any]:
    """How well the system does on clips that nothing was fitted on: figures and their intervals over clips."""
    scorer, counts = VoiceScorer(part, Engine(), classes=len(data.label_set)), []
    for clip in clips:
        path, truth = sounds.path(clip), data.annotation(clip)
        heard = list(sounds.heard(path, scorer)) if path is not None else []
        guess = decided(aligned(voice_scores(heard, data.label_set, data.name), truth))
        counts.append(metrics.confusion(truth.labels, guess, classes=len(data.label_set)))
    estimates = {n: metrics.bootstrap(np.stack(counts), m) for n, m in metrics.MEASURES.items()}
    interval = {n: [round(v, 4) for v in (e.low, e.high)] for n, e in estimates.items() if e.low == e.low}
    return {"clips": len(clips), **{n: round(e.value, 4) for n, e in estimates.items()}, "interval": interval}
