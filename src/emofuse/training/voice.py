"""Training a system that listens: separate and keep the sound once, learn from its windows, write a bundle.

Every stage leaves its result in the folder (sound, checkpoint, net), so that a killed training goes on.
Processes that torchrun started share the training of the net; all the rest is done by the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.calibration import LogitCalibration
from emofuse.core.time import TICKS_PER_SECOND, Timeline
from emofuse.core.types import Clip, Scores
from emofuse.core.version import __version__
from emofuse.datasets import DataSet
from emofuse.errors import DataError, SettingsError
from emofuse.evaluation.evaluate import aligned, confusions
from emofuse.inference.audio_stages import choose_audio_stages
from emofuse.inference.collector import audio_scores
from emofuse.models.bundle import Bundle, load, write_manifest
from emofuse.models.voice import OUTPUT, VoicePart, VoiceScorer
from emofuse.nets import pretrained
from emofuse.nets.catalogue import Input, network
from emofuse.runtime import Engine
from emofuse.systems import System, VoiceNet
from emofuse.training import loop as fit
from emofuse.training.audio_cache import Sounds, mapped
from emofuse.training.loop.distributed import process_group
from emofuse.training.training_run import WEIGHTS, Place, figures, learn, start, without_weights

NET = "voice.onnx"


def train_audible(system: System, data: DataSet, place: Place) -> Bundle | None:
    """Train a system on the sound of the train part of a data set, choosing on its validation part.

    The net is in `out` too, as weights that other systems can start from.

    Returns:
        The bundle; None in all processes of torchrun but the first.
    Raises:
        DataError: a part is missing, or none of its clips has a labelled window with voice.
        WeightsError: the pretrained weights are missing or others, or those of a stage of the sound are not here.
        SettingsError: a setting does not fit the data.
    """
    voice, windows = system.net, system.windows
    assert isinstance(voice, VoiceNet)
    assert windows is not None
    if not system.fit.epochs:
        raise SettingsError(f"{system.name}: fit.epochs is 0, so nothing is learned; set fit.epochs.")
    stages = choose_audio_stages(voice.separation, voice.activity, Engine())
    if stages.note:
        place.say(f"note: {stages.note}")
    sounds = Sounds(windows, stages, place.out / "sounds")
    net, begun = _net(system, len(data.label_set), place)

    def examples(part: str) -> fit.Examples:
        found = window_examples(sounds, data, data.split(part), label_rate_hz=voice.label_rate_hz)
        place.say(f"{part}: {len(found)} windows of {len(data.split(part))} clips")
        return found

    with process_group(fit.device(place.machine.device)) as members:
        if not members.first:
            place = replace(place, say=lambda _: None)
        both = fit.Waveforms(voice.augment), fit.Waveforms()
        learned = learn(net, examples, both, system.fit, place=place, members=members)
        if learned is None:
            return None
    about = {"licence": begun["licence"], "data": data.name, "start": voice.weights or "nothing"}
    pretrained.save_trained(net, place.out / WEIGHTS, name=system.name, about=about)
    truth = learned.truth.reshape(-1)
    logits = learned.logits.reshape(len(truth), -1)
    calibration = LogitCalibration.fit(logits[truth >= 0], truth[truth >= 0])
    part = VoicePart(place.out / NET, windows, calibration, voice.separation, voice.activity)
    example = fit.wave_example(windows.samples[0])
    error = fit.export_onnx(net, example, part.net, outputs=("embedding", OUTPUT))
    card = {
        "data": data.name,
        "examples": learned.examples,
        **begun,
        "onnx_largest_error": error,
        "figures": {"validation": _figures_of_clips(part, sounds, data, data.split("validation"))},
    }
    _write(system, part, data, card)
    return load(place.out)


# -- the net --------------------------------------------------------------------------------------------------


def _net(system: System, classes: int, place: Place) -> tuple[Any, dict[str, Any]]:
    """The net with its first weights, and what the card says of these."""
    voice, windows = system.net, system.windows
    assert isinstance(voice, VoiceNet)
    assert windows is not None
    entry, samples = network(voice.network, Input.WAVEFORMS), windows.samples[0]
    shape = {"rate_hz": windows.rate_hz, "samples": samples, "answers": windows.segments}
    net = fit.fresh(lambda: entry.build(classes, tiny=voice.tiny, **shape), seed=system.fit.seed)
    if not voice.weights and place.weights is not None:
        raise SettingsError(f"{system.name}: starts from nothing; leave out --weights {place.weights}.")
    if place.weights is not None and not voice.scratch:
        return net, start(net, voice.weights, place.weights)
    if voice.weights and not (voice.scratch or voice.tiny):
        raise without_weights(system.name, voice.weights, scratch="net.scratch")
    return net, {"licence": "that of the data it was trained on"}


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


def window_examples(sounds: Sounds, data: DataSet, clips: Sequence[Clip], *, label_rate_hz: float) -> fit.Examples:
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
        truth = data.annotation(clip).onto(Timeline.steps(Fraction(label_rate_hz).limit_denominator(1001), end=end))
        parts = windows.width // windows.segments
        bounds = [(s + k * parts, s + (k + 1) * parts) for s, _ in spans for k in range(windows.segments)]
        order = sorted(range(len(bounds)), key=bounds.__getitem__)
        start, stop = np.array([bounds[k] for k in order], np.int64).T
        commonest = np.empty(len(bounds), np.int64)
        commonest[order] = truth.over(Timeline(start, stop)).labels
        found = commonest.reshape(len(spans), windows.segments)
        use = np.flatnonzero((found >= 0).any(axis=1))
        places += [(len(files), spans[k][0] * windows.rate_hz // TICKS_PER_SECOND) for k in use]
        labels += list(found[use])
        files.append(path)
    if not places:
        raise DataError(f"{data.path}: none of {len(clips)} clips has a labelled window with voice.")
    rows = np.array(labels)
    targets = np.zeros((*rows.shape, len(data.label_set)), np.float32)
    np.put_along_axis(targets, np.maximum(rows, 0)[..., None], (rows >= 0).astype(np.float32)[..., None], axis=-1)
    if windows.segments == 1:
        targets = targets[:, 0]
    return fit.Examples(Waves(files, np.array(places), windows.samples[0]), targets)


# -- the bundle -----------------------------------------------------------------------------------------------


def _write(system: System, part: VoicePart, data: DataSet, card: dict[str, Any]) -> None:
    voice, windows = system.net, part.windows
    assert isinstance(voice, VoiceNet)
    content = {
        "name": system.name,
        "version": system.digest[:12],
        "labels": list(data.label_set.names),
        "voice": {
            "net": NET,
            "rate_hz": windows.rate_hz,
            "seconds": str(windows.seconds),
            "step_seconds": str(windows.step_seconds),
            "answers": windows.segments,
            "least_voice_seconds": str(windows.min_voice_seconds),
            "separation": voice.separation,
            "activity": voice.activity,
            "temperature": part.calibration.temperature,
            "bias": list(part.calibration.bias),
        },
        "card": {
            "what": f"{system.title}: {voice.network} on windows of {windows.seconds:g} s of sound",
            "emofuse": __version__,
            "definition": system.to_json(),
            **card,
        },
    }
    write_manifest(part.net.parent, content, files=(NET,))


def _figures_of_clips(part: VoicePart, sounds: Sounds, data: DataSet, clips: Sequence[Clip]) -> dict[str, Any]:
    """How well the system does on clips that nothing was fitted on but its calibration."""
    truths, scores = [data.annotation(clip) for clip in clips], _scores(part, sounds, data)
    said = [aligned(scores(clip), truth) for clip, truth in zip(clips, truths, strict=True)]
    return {"clips": len(clips)} | figures(confusions(truths, said))


def voice_scores_of(system: System, bundle: Bundle, data: DataSet, folder: Path) -> Callable[[Clip], Scores]:
    """What a trained system says of the clips of a data set.

    Args:
        folder: where the training was, or another; sound is kept there and not read twice.
    """
    part = bundle.voice
    assert part is not None
    stages = choose_audio_stages(part.separation, part.activity, Engine())
    scores = _scores(part, Sounds(part.windows, stages, folder / "sounds"), data)
    return lambda clip: replace(scores(clip), system=system.name)


def _scores(part: VoicePart, sounds: Sounds, data: DataSet) -> Callable[[Clip], Scores]:
    scorer = VoiceScorer(part, Engine(), classes=len(data.label_set))

    def scores(clip: Clip) -> Scores:
        path = sounds.path(clip)
        heard = list(sounds.heard(path, scorer)) if path is not None else []
        return audio_scores(heard, data.label_set, data.name)

    return scores
