"""Spleeter's 2 stems: sound is split into voice and accompaniment, and the voice is kept.

Two nets judge the magnitudes of a spectrogram, 512 frames (11.9 s) at a time, one for each stem; the share of the
voice masks the spectrogram. Streams are cut where the published program cuts a whole file, so a stream gives what one
pass gives, whatever its length. Neighbouring parts are blended by the overlap of the frames, 70 ms.

Source: Hennequin et al. (2020), doi:10.21105/joss.02154, and the settings of its `2stems` model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.fft

from emofuse.core.files import digest, file_digest
from emofuse.core.time import ticks
from emofuse.errors import WeightsError
from emofuse.media.audio import AudioBlock
from emofuse.runtime import Engine, OnnxNetwork
from emofuse.speech.stream import ContiguousBlocks, Floats, Resampler

RATE_HZ = 44100
FRAME, HOP = 4096, 1024
BINS = 1024  # of 2049: the nets see up to 11 kHz, above it the mask is 0
SPLIT = 512  # frames that the nets see at once
EPSILON = 1e-10
METHOD = "spleeter-2stems-1"  # another number when the same weights come to give another voice

_STEP = SPLIT * HOP
_SPAN = _STEP - HOP + FRAME  # samples under the frames of a split
_LEAD = FRAME  # zeros before the sound, as in the published program: the first samples have all their frames
_WINDOW = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)
_ALL_CORES = Engine(0, "cpu")
_REMEDY = "fetch it again; `emofuse weights list` shows which file belongs where"
_OVERLAP = np.float32(1.5)  # sum of the squared windows over each sample


class Spleeter:
    """The two nets, ready to run; serves any number of streams.

    vocals, accompaniment: ONNX, magnitudes float32 [2 channels, splits, 512, 1024] in and out, as the sherpa-onnx
    project publishes them.

    Raises:
        WeightsError: a file is missing, damaged, another network, or that of the other stem.
    """

    def __init__(self, vocals: Path, accompaniment: Path, *, engine: Engine = _ALL_CORES) -> None:
        stems = {"vocals": vocals, "accompaniment": accompaniment}
        digests = {}
        self._nets = []
        for stem, path in stems.items():
            net = OnnxNetwork(path, engine, error=WeightsError, remedy=_REMEDY)
            _check(net, stem, path)
            self._nets.append(net)
            digests[stem] = file_digest(path)
        if digests["vocals"] == digests["accompaniment"]:
            raise WeightsError(f"Spleeter: {vocals} and {accompaniment} are the same file; fetch them again.")
        self.identity = f"spleeter:{digest({'method': METHOD, **digests})[:12]}"

    def stream(self, rate_hz: int) -> SpleeterStream:
        """A fresh stream of mono sound at any rate."""
        return SpleeterStream(self, rate_hz)

    def mask(self, magnitudes: Floats) -> Floats:
        """Share of the voice, in [0, 1], of each point of a mono spectrogram float32 [512, 1024]; same shape."""
        both = np.broadcast_to(magnitudes, (2, 1, SPLIT, BINS))
        voice, rest = (net.run(tuple(net.outputs), both)[0] ** 2 for net in self._nets)
        share: Floats = ((voice + EPSILON / 2) / (voice + rest + EPSILON)).mean(axis=(0, 1))
        return share

    def separate(self, samples: Floats) -> Floats:
        """The voice in one split, float32 [527,360] to the same; the first and last 3,072 samples are to be added to
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


class SpleeterStream:
    """One stream through a `Spleeter`; each 11.9 s of sound come out at once.

    Raises:
        SettingsError: the rate is below 1.
        ShapeError: on a push, the block has another rate or does not begin where the one before it ended.
    """

    def __init__(self, spleeter: Spleeter, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._spleeter = spleeter
        self._intake = ContiguousBlocks("voice", rate_hz)
        self._up, self._down = Resampler(rate_hz, RATE_HZ), Resampler(RATE_HZ, rate_hz)
        self.lookahead = ticks(_SPAN / RATE_HZ + self._up.seconds_held + self._down.seconds_held)
        self._waiting = [np.zeros(_LEAD, np.float32)]
        self._held = _LEAD  # samples in `_waiting`
        self._taken = 0  # samples at 44.1 kHz that went in
        self._made = -_LEAD  # and that came out
        self._carried = np.zeros(_SPAN - _STEP, np.float32)  # of the last split, to be added to the next
        self._given = 0

    def push(self, sound: AudioBlock) -> list[AudioBlock]:
        return self._blocks([self._down.push(part) for part in self._fed(self._up.push(self._intake.take(sound)))])

    def close(self) -> list[AudioBlock]:
        parts = self._fed(self._up.close())
        while self._made < self._taken:
            parts += self._fed(np.zeros(_SPAN - self._held, np.float32), real=False)
        rest = [*(self._down.push(part) for part in parts), self._down.close()]
        return self._blocks(rest, last=True)

    def _fed(self, samples: Floats, *, real: bool = True) -> list[Floats]:
        """What comes out at 44.1 kHz when these go in; never more than all `real` samples."""
        self._waiting.append(samples)
        self._held += len(samples)
        self._taken += len(samples) if real else 0
        if self._held < _SPAN:
            return []
        held, first, done = np.concatenate(self._waiting), 0, []
        while len(held) - first >= _SPAN:
            voice = self._spleeter.separate(held[first : first + _SPAN])
            voice[: len(self._carried)] += self._carried
            self._carried = voice[_STEP:]
            done.append(voice[max(-self._made, 0) : min(_STEP, self._taken - self._made)])
            self._made += _STEP
            first += _STEP
        self._waiting, self._held = [held[first:].copy()], len(held) - first
        return done

    def _blocks(self, parts: list[Floats], *, last: bool = False) -> list[AudioBlock]:
        """The next block of the voice, if there is any; at the end, as long in all as the sound that was pushed."""
        voice = np.concatenate([*parts, np.empty(0, np.float32)])[: self._intake.received - self._given]
        if last:
            voice = np.pad(voice, (0, self._intake.received - self._given - len(voice)))
        if not len(voice):
            return []
        start = self._intake.moment(self._given)
        self._given += len(voice)
        # The parts of a sum may each be louder than the sum.
        return [AudioBlock(np.clip(voice, -1, 1).astype(np.float32, copy=False), start, self.rate_hz)]


def _check(net: OnnxNetwork, stem: str, path: Path) -> None:
    """That a net is one of Spleeter's, and that of this stem."""
    shapes = [*net.inputs.values(), *net.outputs.values()]
    # Another conversion has the splits first: [splits, 2, 512, 1024].
    if len(net.inputs) != 1 or len(net.outputs) != 1 or any(s[:1] != [2] or s[2:] != [SPLIT, BINS] for s in shapes):
        found = ", ".join(map(str, shapes))
        raise WeightsError(
            f"Spleeter: {path} is another network ({found}); it must take and give [2, splits, {SPLIT}, {BINS}]."
        )
    other = "accompaniment" if stem == "vocals" else "vocals"
    if net.metadata.get("comment") == other:
        raise WeightsError(f"Spleeter: {path} says that it is {other!r}, not {stem!r}; give it its own name back.")
