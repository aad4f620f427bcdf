"""The voice modality of a bundle: the windows of audio that it classifies, and its networks ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.calibration import LogitCalibration
from emofuse.core.chunks import RATE_HZ, SAMPLES_PER_FRAME, Chunks
from emofuse.core.windows import Windows
from emofuse.errors import BundleError, SettingsError
from emofuse.models.face import OUTPUT, calibration_of
from emofuse.runtime import Engine, OnnxNetwork

NET, POOL = "voice.onnx", "voice-pool.onnx"
FRAMES, SPEECH = "frames", "speech"  # output of a network on chunks, and inputs of the one that pools them


@dataclass(frozen=True)
class VoiceModality:
    """How a bundle classifies windows of audio; a window is valid if it contains speech.

    net: ONNX file; of waveforms of windows, or, if there are `chunks`, of waveforms of chunks to frames, which the
        network in the file `pool` classifies for each window.
    separation, activity: how the voice is separated from other audio and how speech is detected; names in
        `emofuse.speech`.

    Raises:
        SettingsError: there are chunks without a `pool` or the reverse, or the windows do not fit the chunks.
    """

    net: Path
    windows: Windows
    calibration: LogitCalibration
    separation: str = "none"
    activity: str = "none"
    chunks: Chunks | None = None
    pool: Path | None = None

    def __post_init__(self) -> None:
        if (self.chunks is None) != (self.pool is None):
            raise SettingsError("voice: chunks without a network that pools them, or such a network without chunks")
        if self.chunks is not None:
            check_windows_of_frames(self.windows)

    @property
    def files(self) -> dict[str, Path]:
        """Files by their names in a bundle."""
        return {NET: self.net} | ({POOL: self.pool} if self.pool else {})

    def to_json(self) -> dict[str, Any]:
        """As `bundle.json` contains it."""
        return asdict(self) | {"net": NET, "pool": POOL if self.pool else None}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], folder: Path) -> VoiceModality:
        """The modality in `bundle.json`.

        Raises:
            KeyError, TypeError, ValueError, SettingsError: it is incomplete or wrong.
        """
        return cls(
            net=folder / content["net"],
            windows=Windows(**content["windows"]),
            calibration=calibration_of(content["calibration"]),
            separation=content["separation"],
            activity=content["activity"],
            # Bundles for waveforms of windows may lack both.
            chunks=Chunks(**content["chunks"]) if content.get("chunks") else None,
            pool=folder / content["pool"] if content.get("pool") else None,
        )


class VoiceScorer:
    """Windows of audio to calibrated probabilities.

    Raises:
        BundleError: the network does not fit the windows and the labels.
    """

    batch = 8

    def __init__(self, voice: VoiceModality, engine: Engine, *, classes: int) -> None:
        self._voice, self._classes = voice, classes
        self._net, self._map = OnnxNetwork(voice.net, engine.single_threaded), engine.parallel_map()
        self.provider = self._net.provider
        segments, width = voice.windows.segments, voice.windows.samples[0]
        if OUTPUT not in self._net.outputs:
            raise BundleError(f"{voice.net}: the network has no output {OUTPUT!r}; get the bundle again.")
        found = self._net(np.zeros((1, width), np.float32), OUTPUT).shape[1:]
        expected = (classes,) if segments == 1 else (segments, classes)
        if found != expected:
            raise BundleError(
                f"{voice.net}: returns {list(found)} numbers for a window, but its segments and labels need "
                f"{list(expected)}; the bundle is mislabelled, get it again."
            )

    def __call__(self, waves: NDArray[np.float32]) -> NDArray[np.float32]:
        """Waveforms float32 [n, samples] -> probabilities float32 [n, segments, classes]."""
        if not len(waves):
            return np.zeros((0, self._voice.windows.segments, self._classes), np.float32)
        batches = [self._logits(waves[n : n + self.batch]) for n in range(0, len(waves), self.batch)]
        probabilities = self._voice.calibration(np.concatenate(batches).reshape(-1, self._classes))
        return probabilities.reshape(len(waves), -1, self._classes)

    def _logits(self, waves: NDArray[np.float32]) -> NDArray[np.float32]:
        (logits,) = self._net.run_in_pieces((OUTPUT,), waves, self._map)
        return logits


class FrameScorer:
    """Chunks of audio to frames, and the frames of windows to calibrated probabilities.

    frames: number of frames of a window.

    Raises:
        BundleError: the networks do not fit the chunks, each other, or the labels.
    """

    def __init__(self, voice: VoiceModality, engine: Engine, *, classes: int) -> None:
        assert voice.chunks is not None
        assert voice.pool is not None
        self.chunks, self.frames = voice.chunks, voice.windows.samples[0] // SAMPLES_PER_FRAME
        self._calibrate, self._map = voice.calibration, engine.parallel_map()
        self._net, self._pool = (OnnxNetwork(path, engine.single_threaded) for path in (voice.net, voice.pool))
        self.provider = self._net.provider
        samples, frames = (net.inputs[next(iter(net.inputs))][1] for net in (self._net, self._pool))
        if (samples, frames) != (sum(self.chunks.samples), self.frames):
            raise BundleError(
                f"{voice.net}: takes chunks of {samples} samples and windows of {frames} frames, but the bundle has "
                f"{sum(self.chunks.samples)} samples and {self.frames} frames; the bundle is mislabelled, get it again."
            )
        encoded = self.encode(np.zeros((1, samples), np.float32))
        logits = self._logits(np.zeros((1, frames, encoded.shape[2]), np.float32), np.ones((1, frames)))
        found = (encoded.shape[1], *logits.shape[1:])
        if found != (self.chunks.frames[1], classes):
            raise BundleError(
                f"{voice.net}: returns {found[0]} frames and {list(found[1:])} numbers, but its chunks and labels need "
                f"{self.chunks.frames[1]} frames and [{classes}] numbers; the bundle is mislabelled, get it again."
            )

    def encode(self, chunks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Frames float32 [n, frames, width] of chunks with their context, float32 [n, samples], at least one."""
        # One at a time, so that the last bits do not depend on how many are ready.
        encoded = self._map(lambda chunk: self._net(chunk[None], FRAMES), chunks)
        return np.asarray(np.concatenate(list(encoded)), np.float32)

    def score(self, frames: NDArray[np.float32], speech: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities float32 [classes] of one window: frames float32 [frames, width], speech float32 [frames]."""
        return np.asarray(self._calibrate(self._logits(frames[None], speech[None]))[0], np.float32)

    def _logits(self, frames: NDArray[np.float32], speech: NDArray[Any]) -> NDArray[np.float32]:
        inputs = {FRAMES: frames, SPEECH: speech.astype(np.float32)}
        (logits,) = self._pool.run((OUTPUT,), inputs)
        return np.asarray(logits, np.float32)


def voice_scorer(voice: VoiceModality, engine: Engine, *, classes: int) -> VoiceScorer | FrameScorer:
    """The networks of a voice modality, ready to run.

    Raises:
        BundleError: they do not fit the windows and the labels.
    """
    scorer: type[VoiceScorer | FrameScorer] = VoiceScorer if voice.chunks is None else FrameScorer
    return scorer(voice, engine, classes=classes)


def check_windows_of_frames(windows: Windows) -> None:
    """Refuse windows that do not consist of whole frames.

    Raises:
        SettingsError: another rate, several segments, or lengths that are not multiples of a frame.
    """
    if windows.rate_hz != RATE_HZ or windows.segments != 1 or any(n % SAMPLES_PER_FRAME for n in windows.samples):
        raise SettingsError(
            f"windows: {windows.seconds:g} s every {windows.step_seconds:g} s at {windows.rate_hz} Hz with "
            f"{windows.segments} segments; a network on chunks needs {RATE_HZ} Hz, one segment and multiples of 0.02 s."
        )
