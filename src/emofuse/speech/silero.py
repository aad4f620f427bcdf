"""Speech detection by the Silero network: speech in many languages, as opposed to noise and, less reliably, music.

Its package contains the network as ONNX; only that file is read, so neither the package nor torch is imported.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from emofuse.core.files import digest, file_digest
from emofuse.errors import WeightsError
from emofuse.media.channels import Floats
from emofuse.runtime import OnnxNetwork
from emofuse.speech.activity import RATE_HZ, Bools, FramewiseActivity, VoteWindow
from emofuse.speech.stream import SPEECH_DETECTORS

CONTEXT = 64  # samples before each frame that are part of the input
STATE = (2, 1, 128)
THRESHOLD = 0.5


class SileroDetector:
    """Audio is speech where the network's probability is a half or more, and 0.2 s after and 0.1 s before it.

    model: `silero_vad.onnx` of version 5 or 6.

    Raises:
        WeightsError: the file is missing, damaged or a different network.
    """

    WINDOW = VoteWindow(before=6, after=3)

    def __init__(self, model: Path) -> None:
        # The network is so small that a second thread costs more than it saves.
        self._network = OnnxNetwork(model, error=WeightsError, remedy="fetch it again")
        names = {*self._network.inputs, *self._network.outputs}
        if names != {"input", "state", "sr", "output", "stateN"}:
            raise WeightsError(
                f"Silero: {model} is a different network ({', '.join(sorted(names))}); "
                "give silero_vad.onnx of silero-vad 5 or 6."
            )
        settings = {"model": file_digest(model), "threshold": THRESHOLD, **asdict(self.WINDOW)}
        self.identity = f"silero:{digest(settings)[:12]}"

    def stream(self, rate_hz: int) -> FramewiseActivity:
        """A new stream."""
        return FramewiseActivity(SileroClassifier(self._network), self.WINDOW, rate_hz)


SPEECH_DETECTORS.add("silero", lambda locate, engine: SileroDetector(*locate("silero")))


class SileroClassifier:
    """Classifies frames of 32 ms; the network is recurrent, so its state is kept."""

    frame = 512

    def __init__(self, network: OnnxNetwork) -> None:
        self._network = network
        self._state = np.zeros(STATE, np.float32)
        self._context = np.zeros(CONTEXT, np.float32)

    def __call__(self, frames: Floats) -> Bools:
        probabilities = np.zeros(len(frames), np.float32)
        for n, frame in enumerate(frames):
            samples = np.append(self._context, frame)[None]
            inputs = {"input": samples, "state": self._state, "sr": np.array(RATE_HZ)}
            probability, self._state = self._network.run(["output", "stateN"], inputs)
            probabilities[n] = probability[0, 0]
            self._context = frame[-CONTEXT:]
        return np.asarray(probabilities >= THRESHOLD)
