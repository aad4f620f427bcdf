"""Voice separation by Spleeter's two-stem model: audio is split into voice and accompaniment, and the voice is kept.

Two networks, one for each stem, estimate its magnitudes in a spectrogram of 512 frames (11.9 s) at a time; the fraction
of the voice is the mask of the spectrogram. Streams are cut where the published program cuts a whole file, so a stream
of any length returns what one pass over the file does. Consecutive splits overlap by 70 ms, as their frames do.

Source: Hennequin et al. (2020), doi:10.21105/joss.02154, and the settings of its `2stems` model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.fft

from emofuse.core.files import digest, file_digest
from emofuse.core.time import ticks
from emofuse.errors import WeightsError
from emofuse.media.audio import AudioBlock, Resampler
from emofuse.media.channels import Floats
from emofuse.runtime import ONE_THREAD, Engine, OnnxNetwork
from emofuse.speech.stream import SEPARATORS, ContiguousBlocks

RATE_HZ = 44100
FRAME, HOP = 4096, 1024
BINS = 1024  # of 2049: the networks process up to 11 kHz; above it the mask is 0
SPLIT = 512  # frames that the networks process at once
EPSILON = 1e-10
METHOD = "spleeter-2stems-1"  # to be changed whenever the same weights come to produce another voice

_STEP = SPLIT * HOP
_SPAN = _STEP - HOP + FRAME  # samples covered by the frames of a split
_LEAD = FRAME  # zeros before the audio, as in the published program: all frames of the first samples are complete
_WINDOW = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)
_OVERLAP = np.float32(1.5)  # sum of the squared windows over each sample
_REMEDY = "fetch it again; `emofuse weights list` shows which file belongs where"


class Spleeter:
    """The two networks, ready to run; serves any number of streams.

    vocals, accompaniment: ONNX, magnitudes float32 [2 channels, splits, 512, 1024] in and out, as the sherpa-onnx
    project publishes them.

    Raises:
        WeightsError: a file is missing, damaged, a different network, or that of the other stem.
    """

    def __init__(self, vocals: Path, accompaniment: Path, *, engine: Engine = ONE_THREAD) -> None:
        digests = {}
        self._networks, self._map = [], engine.parallel_map()
        for stem, path in (("vocals", vocals), ("accompaniment", accompaniment)):
            network = OnnxNetwork(path, engine.single_threaded, error=WeightsError, remedy=_REMEDY)
            _check_stem(network, stem, path)
            self._networks.append(network)
            digests[stem] = file_digest(path)
        if digests["vocals"] == digests["accompaniment"]:
            raise WeightsError(f"Spleeter: {vocals} and {accompaniment} are the same file; fetch them again.")
        self.identity = f"spleeter:{digest({'method': METHOD, **digests})[:12]}"

    def stream(self, rate_hz: int) -> SpleeterStream:
        """A new stream of mono audio at any rate."""
        return SpleeterStream(self, rate_hz)

    def mask(self, magnitudes: Floats) -> Floats:
        """Fraction of the voice, in [0, 1], at each point of a mono spectrogram float32 [512, 1024]; same shape."""
        both = np.broadcast_to(magnitudes, (2, 1, SPLIT, BINS))
        # Each has one thread: sums, and so the last bits, would depend on their number.
        voice, rest = self._map(lambda network: network.run(tuple(network.outputs), both)[0] ** 2, self._networks)
        mask: Floats = ((voice + EPSILON / 2) / (voice + rest + EPSILON)).mean(axis=(0, 1))
        return mask

    def separate(self, samples: Floats) -> Floats:
        """The voice in one split, float32 [527,360], same shape; its first and last 3,072 samples must be added to
        those of its neighbours.
        """
        frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP] * _WINDOW
        spectrum = scipy.fft.rfft(frames, axis=1)[:, :BINS]
        spectrum *= self.mask(np.abs(spectrum))
        frames = scipy.fft.irfft(spectrum, n=FRAME, axis=1) * (_WINDOW / _OVERLAP)
        voice = np.zeros((_SPAN // HOP, HOP), np.float32)
        for k in range(FRAME // HOP):
            voice[k : k + SPLIT] += frames[:, k * HOP : (k + 1) * HOP]
        return voice.reshape(-1)


SEPARATORS.add("spleeter", lambda locate, engine: Spleeter(*locate("spleeter"), engine=engine))


class SpleeterStream:
    """One stream through a `Spleeter`; each 11.9 s of audio are returned at once."""

    def __init__(self, spleeter: Spleeter, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._spleeter = spleeter
        self._blocks = ContiguousBlocks("voice separation", rate_hz)
        self._up, self._down = Resampler(rate_hz, RATE_HZ), Resampler(RATE_HZ, rate_hz)
        self.lookahead = ticks(_SPAN / RATE_HZ + self._up.seconds_held + self._down.seconds_held)
        self._waiting = [np.zeros(_LEAD, np.float32)]
        self._held = _LEAD  # number of samples in `_waiting`
        self._taken = 0  # samples at 44.1 kHz that were pushed
        self._separated = -_LEAD  # samples at 44.1 kHz that were separated
        self._overlap = np.zeros(_SPAN - _STEP, np.float32)  # of the last split, to be added to the next
        self._returned = 0

    def push(self, block: AudioBlock) -> list[AudioBlock]:
        pieces = self._separate(self._up.push(self._blocks.take(block)))
        return self._next_block([self._down.push(piece) for piece in pieces])

    def close(self) -> list[AudioBlock]:
        pieces = self._separate(self._up.close())
        while self._separated < self._taken:
            pieces += self._separate(np.zeros(_SPAN - self._held, np.float32), padding=True)
        return self._next_block([*(self._down.push(piece) for piece in pieces), self._down.close()], last=True)

    def _separate(self, samples: Floats, *, padding: bool = False) -> list[Floats]:
        """Add samples at 44.1 kHz; returns the voice of the splits that are complete, without that of the padding."""
        self._waiting.append(samples)
        self._held += len(samples)
        self._taken += 0 if padding else len(samples)
        if self._held < _SPAN:
            return []
        held, first, pieces = np.concatenate(self._waiting), 0, []
        while len(held) - first >= _SPAN:
            voice = self._spleeter.separate(held[first : first + _SPAN])
            voice[: len(self._overlap)] += self._overlap
            self._overlap = voice[_STEP:]
            pieces.append(voice[max(-self._separated, 0) : min(_STEP, self._taken - self._separated)])
            self._separated += _STEP
            first += _STEP
        self._waiting, self._held = [held[first:].copy()], len(held) - first
        return pieces

    def _next_block(self, pieces: list[Floats], *, last: bool = False) -> list[AudioBlock]:
        """The next block of the voice, if there is any; in total as long as the audio that was pushed."""
        missing = self._blocks.received - self._returned
        voice = np.concatenate([*pieces, np.empty(0, np.float32)])[:missing]
        if last:
            voice = np.pad(voice, (0, missing - len(voice)))
        if not len(voice):
            return []
        start = self._blocks.time(self._returned)
        self._returned += len(voice)
        # A part of the audio may be louder than the whole.
        return [AudioBlock(np.clip(voice, -1, 1), start, self.rate_hz)]


def _check_stem(network: OnnxNetwork, stem: str, path: Path) -> None:
    """Check that a network is one of Spleeter's, and that of this stem."""
    shapes = [*network.inputs.values(), *network.outputs.values()]
    # Another conversion has the splits first: [splits, 2, 512, 1024].
    if len(shapes) != 2 or any(s[:1] != [2] or s[2:] != [SPLIT, BINS] for s in shapes):
        found = ", ".join(map(str, shapes))
        raise WeightsError(
            f"Spleeter: {path} is a different network ({found}); "
            f"its input and output must be [2, splits, {SPLIT}, {BINS}]."
        )
    other = "accompaniment" if stem == "vocals" else "vocals"
    if network.metadata.get("comment") == other:
        raise WeightsError(f"Spleeter: {path} is the network of {other!r}, not of {stem!r}; rename it back.")
