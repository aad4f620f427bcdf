"""The part of a bundle that listens: which windows of sound a net judges, and the net ready to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emofuse.core.calibration import LogitCalibration
from emofuse.core.windows import Windows
from emofuse.errors import BundleError
from emofuse.runtime import Engine, OnnxNetwork

OUTPUT = "logits"


@dataclass(frozen=True)
class VoicePart:
    """How a system judges sound: a net on windows of the waveform, each valid where somebody speaks.

    separation: a name in `emofuse.speech`, of what takes the voice out of the sound.
    activity: a name there, of what finds where there is voice.
    """

    net: Path
    windows: Windows
    calibration: LogitCalibration
    separation: str = "none"
    activity: str = "none"


class VoiceScorer:
    """Windows of sound to calibrated probabilities.

    Raises:
        BundleError: the net does not fit the windows and the labels.
    """

    batch = 8

    def __init__(self, part: VoicePart, engine: Engine, *, classes: int) -> None:
        self._part, self._net = part, OnnxNetwork(part.net, engine)
        answers, width = part.windows.segments, part.windows.samples[0]
        if OUTPUT not in self._net.outputs:
            raise BundleError(f"{part.net}: the net has no output {OUTPUT!r}; get the bundle again.")
        found = self._net(np.zeros((1, width), np.float32), OUTPUT).shape[1:]
        self._shape = (classes,) if answers == 1 else (answers, classes)
        if found != self._shape:
            raise BundleError(
                f"{part.net}: gives {list(found)} numbers for a window, but {list(self._shape)} are needed for its "
                "answers and labels; the bundle is mislabelled, get it again."
            )
        self._classes = classes

    def __call__(self, waves: NDArray[np.float32]) -> NDArray[np.float32]:
        """Waveforms float32 [n, samples] -> probabilities float32 [n, answers, classes]."""
        rows = [self._net(waves[n : n + self.batch], OUTPUT) for n in range(0, len(waves), self.batch)]
        if not rows:
            return np.zeros((0, self._part.windows.segments, self._classes), np.float32)
        logits = np.concatenate(rows)
        judged = self._part.calibration(logits.reshape(-1, self._classes))
        return judged.reshape(len(waves), -1, self._classes)
