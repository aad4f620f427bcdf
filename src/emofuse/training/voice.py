"""Training a network on windows of audio.

Every stage keeps its result in the folder (separated audio, checkpoint, network), so a killed training resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

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
from emofuse.inference.audio_stages import AudioWindow, choose_audio_stages
from emofuse.inference.collector import audio_scores
from emofuse.models.bundle import Bundle
from emofuse.models.face import OUTPUT
from emofuse.models.voice import FRAMES, NET, POOL, SPEECH, VoiceModality, voice_scorer
from emofuse.nets.catalogue import Input, network
from emofuse.nets.speech_encoder import Frames, Pool, levelled
from emofuse.runtime import Engine
from emofuse.systems import System, VoiceNet
from emofuse.training import loop as fit
from emofuse.training.audio_cache import AudioCache, mapped
from emofuse.training.corpora import corpus_classes, corpus_weights
from emofuse.training.training_run import TrainingRun


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
        return AudioCache(self._windows, stages, self._run.out / "audio")

    def build(self, classes: int) -> Any:
        """The network with random weights."""
        windows, entry = self._windows, network(self._net.network, Input.WAVEFORMS)
        shape = {"rate_hz": windows.rate_hz, "samples": windows.samples[0], "segments": windows.segments}
        return entry.build(classes, tiny=self._net.tiny, **shape)

    def examples(self, split: str) -> fit.Examples:
        """Labelled windows with speech of a split."""
        clips = self._data.split(split)
        speech = self._net.chunks is not None
        found = window_examples(self._cache, self._data, clips, label_rate_hz=self._net.label_rate_hz, speech=speech)
        self._run.report(f"{split}: {len(found)} windows of {len(clips)} clips")
        return found

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
    speech: first and last sample of each part of a row in which somebody speaks. If it is given, rows are
        [2, samples], with 1 in the second half of the row where somebody speaks.
    """

    files: Sequence[Path]
    places: NDArray[np.int64]
    samples: int
    speech: Sequence[Sequence[tuple[int, int]]] | None = None

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        waves = np.zeros((len(rows), 2, self.samples), np.float32)
        for (wave, voiced), row, (file, first) in zip(waves, rows, self.places[rows], strict=True):
            found = mapped(self.files[file])[first : first + self.samples]
            wave[: len(found)] = found
            for start, stop in self.speech[row] if self.speech is not None else ():
                voiced[start:stop] = 1
        return waves if self.speech is not None else waves[:, 0]


def window_examples(
    cache: AudioCache, data: DataSet, clips: Sequence[Clip], *, label_rate_hz: float, speech: bool = False
) -> fit.Examples:
    """The windows with speech of some clips, with the commonest label of each segment.

    Clips of several corpora are weighted by `corpus_weights`, each with the classes of its corpus alone.

    Args:
        speech: whether rows have a second half that marks where somebody speaks.
    Raises:
        DataError: there is none.
    """
    files, places, labels, of = list[Path](), list[tuple[int, int]](), list[NDArray[np.int64]](), list[Clip]()
    parts = list[list[tuple[int, int]]]()
    windows = cache.windows
    for clip in clips:
        path = cache.path(clip)
        spoken = cache.spoken(path) if path is not None else []
        if path is None or not spoken:
            continue
        found = _labels(data, clip, spoken, windows, label_rate_hz)
        for window, row in zip(spoken, found, strict=True):
            if (row >= 0).any():
                first = _sample(window.start, windows)
                places.append((len(files), first))
                labels.append(row)
                of.append(clip)
                parts.append([(_sample(a, windows) - first, _sample(b, windows) - first) for a, b in window.speech])
        files.append(path)
    if not places:
        raise DataError(f"{data.path}: none of {len(clips)} clips has a labelled window with voice.")
    rows = np.array(labels)
    targets = np.zeros((*rows.shape, len(data.label_set)), np.float32)
    np.put_along_axis(targets, np.maximum(rows, 0)[..., None], (rows >= 0).astype(np.float32)[..., None], axis=-1)
    inputs = Waves(files, np.array(places), windows.samples[0], parts if speech else None)
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


def _labels(
    data: DataSet, clip: Clip, spoken: Sequence[AudioWindow], windows: Windows, rate_hz: float
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
