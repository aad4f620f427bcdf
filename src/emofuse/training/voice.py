"""Training a network on windows of audio.

Every stage keeps its result in the folder (separated audio, checkpoint, network), so a killed training resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.calibration import LogitCalibration
from emofuse.core.time import TICKS_PER_SECOND, Timeline
from emofuse.core.types import Clip, Scores
from emofuse.datasets import DataSet
from emofuse.errors import DataError
from emofuse.inference.audio_stages import choose_audio_stages
from emofuse.inference.collector import audio_scores
from emofuse.models.bundle import Bundle
from emofuse.models.face import OUTPUT
from emofuse.models.voice import NET, VoiceModality, VoiceScorer
from emofuse.nets.catalogue import Input, network
from emofuse.runtime import Engine
from emofuse.systems import System, VoiceNet
from emofuse.training import loop as fit
from emofuse.training.audio_cache import AudioCache, mapped
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
        found = window_examples(self._cache, self._data, clips, label_rate_hz=self._net.label_rate_hz)
        self._run.report(f"{split}: {len(found)} windows of {len(clips)} clips")
        return found

    def modality(self, net: Any, calibration: LogitCalibration) -> tuple[VoiceModality, dict[str, Any]]:
        """Exports the network."""
        path = self._run.out / NET
        example = fit.wave_example(self._windows.samples[0])
        error = fit.export_onnx(net, example, path, outputs=("embedding", OUTPUT))
        voice = VoiceModality(path, self._windows, calibration, self._net.separation, self._net.activity)
        return voice, {"onnx_largest_error": error}

    def scores(self, bundle: Bundle) -> Callable[[Clip], Scores]:
        """Scores on the cached audio of clips."""
        assert bundle.voice is not None
        scorer = VoiceScorer(bundle.voice, Engine(), classes=len(self._data.label_set))

        def scores(clip: Clip) -> Scores:
            path = self._cache.path(clip)
            windows = list(self._cache.scores(path, scorer)) if path is not None else []
            return audio_scores(windows, self._data.label_set, self._system.name)

        return scores


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

    Raises:
        DataError: there is none.
    """
    files, places, labels = list[Path](), list[tuple[int, int]](), list[NDArray[np.int64]]()
    windows = cache.windows
    for clip in clips:
        path = cache.path(clip)
        spans = cache.spans(path) if path is not None else []
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
