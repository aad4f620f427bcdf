"""Training a network on windows of audio.

Every stage keeps its result in the folder (separated audio, checkpoint, network), so a killed training resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from emofuse.core.calibration import LogitCalibration
from emofuse.core.chunks import SAMPLES_PER_FRAME, Chunks
from emofuse.core.time import TICKS_PER_SECOND, Timeline
from emofuse.core.types import Clip, Scores
from emofuse.core.windows import Windows
from emofuse.datasets import DataSet
from emofuse.errors import DataError
from emofuse.heads.logistic import fit_logistic
from emofuse.inference.audio_stages import choose_audio_stages
from emofuse.inference.collector import audio_scores
from emofuse.models.bundle import Bundle
from emofuse.models.face import OUTPUT
from emofuse.models.voice import FRAMES, NET, POOL, SPEECH, VoiceModality, voice_scorer
from emofuse.nets.catalogue import Input, network
from emofuse.nets.speech_encoder import Frames, Pool, SpeechEncoder, levelled
from emofuse.runtime import Engine
from emofuse.systems import System, VoiceNet
from emofuse.training import loop as fit
from emofuse.training.audio_cache import AudioCache, mapped
from emofuse.training.corpora import corpus_classes, corpus_weights
from emofuse.training.training_run import Trained, TrainingRun
from emofuse.training.voice_embeddings import WindowEmbeddings


class VoiceTraining:
    """Training of a voice system on a data set."""

    def __init__(self, system: System, data: DataSet, run: TrainingRun) -> None:
        assert isinstance(system.net, VoiceNet)
        assert system.windows is not None
        self._system, self._net, self._windows, self._data, self._run = system, system.net, system.windows, data, run
        self.prepare = fit.Waveforms(self._net.augment), fit.Waveforms()

    @cached_property
    def _cache(self) -> AudioCache:
        stages = choose_audio_stages(self._net.separation, self._net.activity, Engine())
        if stages.note:
            self._run.report(f"note: {stages.note}")
        return AudioCache(self._windows, stages, self._run.audio or self._run.out / "audio")

    def build(self, classes: int) -> Any:
        """The network with random weights."""
        windows, entry = self._windows, network(self._net.network, Input.WAVEFORMS)
        shape = {"rate_hz": windows.rate_hz, "samples": windows.samples[0], "segments": windows.segments}
        return entry.build(classes, tiny=self._net.tiny, **shape)

    def examples(self, split: str) -> fit.Examples:
        """Labelled windows with speech of a split."""
        clips = self._data.split(split)
        found = window_examples(self._cache, self._data, clips, label_rate_hz=self._net.label_rate_hz)
        self._run.report(f"{split}: {len(found)} windows of {len(clips)} clips")
        return found

    @property
    def has_probe(self) -> bool:
        """Whether the network is not trained, but a linear layer on it fitted by `fit_probe`."""
        return self._net.probe is not None

    def fit_probe(self, net: SpeechEncoder) -> Trained:
        """Fit the last layer of a network on chunks to the embeddings of the windows of recordings and their copies.

        Raises:
            DataError: a split has no labelled window with voice.
        """
        assert self._net.chunks is not None
        assert self._net.probe is not None
        embeddings = WindowEmbeddings(self._cache, net.eval(), self._net.chunks, fit.Waveforms(self._net.augment))
        splits = (("train", self._net.probe.copies), ("validation", 0))
        train, validation = (self._probe_rows(embeddings, split, copies=copies) for split, copies in splits)
        found = fit_logistic(
            train.features,
            train.labels,
            weights=corpus_weights(train.clips, train.labels),
            possible=train.possible,
            penalty=self._net.probe.penalty,
        )
        net.set_linear(found.mean, found.deviation, found.coefficients, found.intercepts)
        logits = np.where(validation.possible, found(validation.features), np.float32(fit.IMPOSSIBLE))
        return Trained(len(train.labels), logits, validation.labels, biased=False)

    def _probe_rows(self, embeddings: WindowEmbeddings, split: str, *, copies: int) -> _ProbeRows:
        clips, classes = self._data.split(split), corpus_classes(self._data)
        features, labels, of = list[NDArray[np.float32]](), list[NDArray[np.int64]](), list[Clip]()
        for clip in clips:
            for copy in range(copies + 1):
                if not (found := embeddings(clip, copy)):
                    continue
                label = _labels(self._data, clip, found, self._windows, self._net.label_rate_hz)[:, 0]
                features.append(np.stack([window.values for window in found])[label >= 0])
                labels.append(label[label >= 0])
                of += [clip] * len(labels[-1])
        if not of:
            raise DataError(f"{self._data.path}: none of {len(clips)} clips has a labelled window with voice.")
        self._run.report(f"{split}: {len(of)} windows of {len(clips)} clips, each {copies + 1} times")
        possible = np.array([classes[clip.corpus] for clip in of])
        return _ProbeRows(np.concatenate(features), np.concatenate(labels), possible, of)

    def modality(self, net: Any, calibration: LogitCalibration) -> tuple[VoiceModality, dict[str, Any]]:
        """Exports the network, that on chunks in two parts."""
        path, chunks = self._run.out / NET, self._net.chunks
        if chunks is not None:
            pool, error = self._run.out / POOL, export_parts(net, chunks, self._windows, (path, self._run.out / POOL))
            voice = VoiceModality(
                path, self._windows, calibration, self._net.separation, self._net.activity, chunks, pool
            )
            return voice, {"onnx_largest_error": error}
        example = fit.wave_example(self._windows.samples[0])
        error = fit.export_onnx(net, example, path, outputs=("embedding", OUTPUT))
        voice = VoiceModality(path, self._windows, calibration, self._net.separation, self._net.activity)
        return voice, {"onnx_largest_error": error}

    def scores(self, bundle: Bundle) -> Callable[[Clip], Scores]:
        """Scores on the cached audio of clips."""
        assert bundle.voice is not None
        scorer = voice_scorer(bundle.voice, Engine(), classes=len(self._data.label_set))

        def scores(clip: Clip) -> Scores:
            path = self._cache.path(clip)
            windows = self._cache.scores(path, scorer) if path is not None else []
            return audio_scores(windows, self._data.label_set, self._system.name)

        return scores


@dataclass(frozen=True, eq=False)
class _ProbeRows:
    """Windows to fit a linear layer on.

    features: float32 [n, features]. labels: int64 [n]. possible: bool [n, classes], of the corpus of each window.
    clips: the clip of each window.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    possible: NDArray[np.bool_]
    clips: Sequence[Clip]


def export_parts(net: Any, chunks: Chunks, windows: Windows, paths: tuple[Path, Path]) -> float:
    """Write both parts of a network on chunks as ONNX; returns the largest difference from torch.

    Args:
        net: has `encode` and `pool`, as `emofuse.nets.speech_encoder.SpeechEncoder`.
    Raises:
        SettingsError: a difference is above 1e-4.
    """
    before, inside, _ = chunks.frames
    encode, pool = Frames(net, slice(before, before + inside)), Pool(net)
    waves = levelled(fit.wave_example(sum(chunks.samples)))
    error = fit.export_onnx(encode, waves, paths[0], outputs=(FRAMES,))
    count = windows.samples[0] // SAMPLES_PER_FRAME
    with torch.inference_mode():
        frames = net.encode(levelled(fit.wave_example(windows.samples[0])))
    example = (frames.clone(), (torch.arange(count) < count // 2).float().expand(len(frames), -1).clone())
    return max(error, fit.export_onnx(pool, example, paths[1], inputs=(FRAMES, SPEECH), outputs=("embedding", OUTPUT)))


@dataclass(frozen=True, eq=False)
class Waves:
    """Windows of audio files as rows float32 [samples], read from disk on access.

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


def window_examples(cache: AudioCache, data: DataSet, clips: Sequence[Clip], *, label_rate_hz: float) -> fit.Examples:
    """The windows with speech of some clips, with the commonest label of each segment.

    Clips of several corpora are weighted by `corpus_weights`, each with the classes of its corpus alone.

    Raises:
        DataError: there is none.
    """
    files, places, labels, of = list[Path](), list[tuple[int, int]](), list[NDArray[np.int64]](), list[Clip]()
    windows = cache.windows
    for clip in clips:
        path = cache.path(clip)
        spoken = cache.spoken(path) if path is not None else []
        if path is None or not spoken:
            continue
        found = _labels(data, clip, spoken, windows, label_rate_hz)
        for window, row in zip(spoken, found, strict=True):
            if (row >= 0).any():
                places.append((len(files), _sample(window.start, windows)))
                labels.append(row)
                of.append(clip)
        files.append(path)
    if not places:
        raise DataError(f"{data.path}: none of {len(clips)} clips has a labelled window with voice.")
    rows = np.array(labels)
    targets = np.zeros((*rows.shape, len(data.label_set)), np.float32)
    np.put_along_axis(targets, np.maximum(rows, 0)[..., None], (rows >= 0).astype(np.float32)[..., None], axis=-1)
    inputs = Waves(files, np.array(places), windows.samples[0])
    if windows.segments > 1:
        return fit.Examples(inputs, targets)
    examples = fit.Examples(inputs, targets[:, 0])
    if all(clip.corpus is None for clip in data.clips):
        return examples
    classes = corpus_classes(data)
    return replace(
        examples,
        weights=corpus_weights(of, rows[:, 0]),
        possible=np.array([classes[clip.corpus] for clip in of]),
    )


class _Interval(Protocol):
    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


def _labels(
    data: DataSet, clip: Clip, spoken: Sequence[_Interval], windows: Windows, rate_hz: float
) -> NDArray[np.int64]:
    """The commonest label of each segment of some windows of a clip, int64 [windows, segments]."""
    end = max(window.end for window in spoken)
    truth = data.annotation(clip).onto(Timeline.steps(Fraction(rate_hz).limit_denominator(1001), end=end))
    parts = windows.width // windows.segments
    bounds = [(w.start + k * parts, w.start + (k + 1) * parts) for w in spoken for k in range(windows.segments)]
    order = sorted(range(len(bounds)), key=bounds.__getitem__)
    start, stop = np.array([bounds[k] for k in order], np.int64).T
    commonest = np.empty(len(bounds), np.int64)
    commonest[order] = truth.over(Timeline(start, stop)).labels
    return commonest.reshape(len(spoken), windows.segments)


def _sample(ticks: int, windows: Windows) -> int:
    return ticks * windows.rate_hz // TICKS_PER_SECOND
