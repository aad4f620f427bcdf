"""The voice modality of a bundle: the windows of audio that a network classifies, and the network ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.calibration import LogitCalibration
from emofuse.core.windows import Windows
from emofuse.errors import BundleError
from emofuse.models.face import OUTPUT, calibration_of
from emofuse.runtime import Engine, OnnxNetwork

NET = "voice.onnx"


@dataclass(frozen=True)
class VoiceModality:
    """How a bundle classifies windows of audio; a window is valid if it contains speech.

    net: ONNX file. separation, activity: how the voice is separated from other audio and how speech is detected;
        names in `emofuse.speech`.
    """

    net: Path
    windows: Windows
    calibration: LogitCalibration
    separation: str = "none"
    activity: str = "none"

    @property
    def files(self) -> dict[str, Path]:
        """Files by their names in a bundle."""
        return {NET: self.net}

    def to_json(self) -> dict[str, Any]:
        """As `bundle.json` contains it."""
        return asdict(self) | {"net": NET}

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
