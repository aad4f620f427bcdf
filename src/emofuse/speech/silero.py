"""Voice activity by the Silero net: speech in many languages, told from noise and, less surely, from music.

Its package brings the net as ONNX; only that file is read, so neither the package nor torch is imported.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from emofuse.core.files import digest, file_digest
from emofuse.errors import WeightsError
from emofuse.runtime import OnnxNetwork
from emofuse.speech.activity import RATE_HZ, Bools, FramewiseActivity, VoteWindow
from emofuse.speech.stream import Floats

CONTEXT = 64  # samples before each frame that the net is given too
STATE = (2, 1, 128)
THRESHOLD = 0.5


class SileroDetector:
    """Voice is what the Silero net says with a probability of a half or more, 0.2 s after it and 0.1 s before it.

    model: `silero_vad.onnx` of version 5 or 6.

    Raises:
        WeightsError: the file is missing, damaged or another network.
    """

    AROUND = VoteWindow(before=6, after=3)

    def __init__(self, model: Path) -> None:
        # The net is so small that a second thread costs more than it gains.
        self._net = OnnxNetwork(model, error=WeightsError, remedy="fetch it again")
        names = {*self._net.inputs, *self._net.outputs}
        if names != {"input", "state", "sr", "output", "stateN"}:
            raise WeightsError(
                f"Silero: {model} is another network ({', '.join(sorted(names))}); "
                "give silero_vad.onnx of silero-vad 5 or 6."
            )
        settings = {"model": file_digest(model), "threshold": THRESHOLD, **asdict(self.AROUND)}
        self.identity = f"silero:{digest(settings)[:12]}"

    def stream(self, rate_hz: int) -> FramewiseActivity:
        """A fresh stream."""
        return FramewiseActivity(SileroClassifier(self._net), self.AROUND, rate_hz)


class SileroClassifier:
    """Judges frames of 32 ms; the net remembers what it heard before."""

    frame = 512

    def __init__(self, net: OnnxNetwork) -> None:
        self._net = net
        self._state = np.zeros(STATE, np.float32)
        self._context = np.zeros(CONTEXT, np.float32)

    def __call__(self, frames: Floats) -> Bools:
        said = np.zeros(len(frames), np.float32)
        for n, frame in enumerate(frames):
            heard = np.append(self._context, frame)[None]
            given = {"input": heard, "state": self._state, "sr": np.array(RATE_HZ)}
            probability, self._state = self._net.run(["output", "stateN"], given)
            said[n] = probability[0, 0]
            self._context = frame[-CONTEXT:]
        return np.asarray(said >= THRESHOLD)
