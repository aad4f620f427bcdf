"""Whether a face speaks: a network for its mouth and one for the voice, whose outputs agree where both belong together.

Both process one chunk of a second at a time, with some frames of context on both sides; a chunk is evaluated alone, so
results do not depend on how a stream was divided into pushes. Frames last 40 ms. The networks were trained by
`emofuse train active-speaker`; docs/model-card.md says on what and how well they work.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import file_digest
from emofuse.core.time import TICKS_PER_SECOND
from emofuse.errors import WeightsError
from emofuse.media.audio import AudioBlock, Resampler
from emofuse.runtime import ONE_THREAD, OnnxNetwork
from emofuse.speech.stream import ActivitySegment, ActivityStream, ContiguousBlocks

MOUTH_NETWORK, VOICE_NETWORK = (Path(__file__).with_name(f"active_speaker_{name}.onnx") for name in ("mouth", "voice"))
RATE_HZ = 16_000
FRAMES = 25  # of a chunk, which lasts a second
CONTEXT = 6  # frames before and after a chunk
FRAME = TICKS_PER_SECOND // FRAMES
LEAST_RATE_HZ = 12  # of video in which the motion of lips can be followed
WIDEST_GAP = TICKS_PER_SECOND * 11 // (10 * LEAST_RATE_HZ)  # between two frames; timestamps may be rounded
WIDTH = 32  # of the outputs
MEL_FRAMES = 4  # of the spectrum per frame
BANDS = 40

_HOP, _WINDOW, _FFT = 160, 400, 512  # samples
_LOW_HZ, _HIGH_HZ = 80.0, 7600.0
_LEAST_ENERGY, _LEAST_LEVEL = 1e-6, -9.0
_LEVEL_PERCENTILE, _LEVEL_CHUNKS = 95, 2  # the level is that of the chunk and of these before it
_DEVIATION = 6.0  # grey levels, which keep noise of even images small
_OVERLAP = (_WINDOW - _HOP) // 2

Floats = NDArray[np.float32]


class VoiceChunk(NamedTuple):
    """The voice in second number `number` of the audio: outputs float32 [FRAMES, WIDTH], and the fraction of speech in
    each frame, float32 [FRAMES]."""

    number: int
    outputs: Floats
    speech: Floats


class ActiveSpeakerNetworks:
    """The networks, ready to run, each with one thread.

    Raises:
        WeightsError: a file is missing or damaged.
    """

    def __init__(self, mouth: Path = MOUTH_NETWORK, voice: Path = VOICE_NETWORK) -> None:
        remedy = "install emofuse again"
        self._mouth = OnnxNetwork(mouth, ONE_THREAD, error=WeightsError, remedy=remedy)
        self._voice = OnnxNetwork(voice, ONE_THREAD, error=WeightsError, remedy=remedy)
        self.scale, self.bias = (float(self._mouth.metadata[name]) for name in ("scale", "bias"))
        self.identity = f"{file_digest(mouth)[:12]}:{file_digest(voice)[:12]}"

    def mouth(self, crops: Floats) -> Floats:
        """The outputs of a chunk of mouths with context, luma float32 [frames, size, size]: float32 [FRAMES, WIDTH]."""
        return np.asarray(self._mouth(normalised(crops)[None], "agreement")[0], np.float32)

    def voice(self, spectrum: Floats) -> Floats:
        """The outputs of a chunk of `levelled` spectra with context, float32 [frames * MEL_FRAMES, BANDS]."""
        return np.asarray(self._voice(spectrum[None], "agreement")[0], np.float32)


def normalised(crops: Floats) -> Floats:
    """Images float32 [n, size, size] with mean 0 and deviation about 1, each."""
    mean, deviation = (getattr(crops, moment)(axis=(1, 2), keepdims=True) for moment in ("mean", "std"))
    return np.asarray((crops - mean) / (deviation + _DEVIATION), np.float32)


def spectrum(samples: Floats) -> Floats:
    """Log-mel spectra float32 [n, BANDS] of 160 n + 240 samples; each is of 400 samples, one every 160."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP] * _hann()
    power = np.square(np.abs(np.fft.rfft(frames, _FFT).astype(np.complex64)))
    return np.asarray(np.log(power @ _mel_bands().T + np.float32(_LEAST_ENERGY)), np.float32)


def levelled(spectra: Floats, levels: Floats) -> Floats:
    """Spectra relative to the loud parts of audio whose frames have these mean log energies, float32 [m]."""
    level = max(float(np.percentile(levels, _LEVEL_PERCENTILE)), _LEAST_LEVEL)
    return np.clip((spectra - np.float32(level)) / 3, -3, 2).astype(np.float32)


@lru_cache(maxsize=1)
def _hann() -> Floats:
    return np.hanning(_WINDOW + 1)[:-1].astype(np.float32)


@lru_cache(maxsize=1)
def _mel_bands() -> Floats:
    """Triangular bands of the HTK mel scale, each with sum 1, float32 [BANDS, frequencies]."""
    low, high = (1127 * float(np.log1p(hertz / 700)) for hertz in (_LOW_HZ, _HIGH_HZ))
    mels = np.linspace(low, high, BANDS + 2)
    edges = 700 * np.expm1(mels / 1127)
    hertz = np.arange(_FFT // 2 + 1) * RATE_HZ / _FFT
    rising = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    bands = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(bands / bands.sum(axis=1, keepdims=True), np.float32)


class VoiceChunks:
    """The voice of one recording in chunks; the first one begins with the recording.

    Args:
        activity: detects speech at the rate of the audio.
    """

    def __init__(self, networks: ActiveSpeakerNetworks, activity: ActivityStream, rate_hz: int) -> None:
        self._networks, self._activity = networks, activity
        self._blocks, self._resampler = ContiguousBlocks("active speaker", rate_hz), Resampler(rate_hz, RATE_HZ)
        before = CONTEXT * MEL_FRAMES * _HOP + _OVERLAP
        self._held = np.zeros(before, np.float32)  # samples that later chunks need, silence before the first
        self._speech: list[ActivitySegment] = []
        self._known = 0  # ticks up to which speech is known
        self._levels: list[Floats] = []
        self._next = 0

    def push(self, block: AudioBlock) -> list[VoiceChunk]:
        """Take the next block; return the chunks that are complete."""
        samples = self._resampler.push(self._blocks.take(block))
        self._held = np.concatenate([self._held, samples])
        self._learn(self._activity.push(block))
        return list(self._complete())

    def close(self) -> list[VoiceChunk]:
        """End the recording; return the rest, with silence after its end."""
        end = self._blocks.end - self._blocks.time(0)
        self._learn(self._activity.close())
        chunks = -(-end // TICKS_PER_SECOND) - self._next
        self._known = (self._next + chunks) * TICKS_PER_SECOND
        rest = self._resampler.close()
        samples = max(chunks, 0) * RATE_HZ + 2 * CONTEXT * MEL_FRAMES * _HOP + 2 * _OVERLAP
        self._held = np.concatenate([self._held, rest])
        self._held = np.pad(self._held, (0, max(samples - len(self._held), 0)))[:samples]
        return list(self._complete())

    def _learn(self, segments: Iterable[ActivitySegment]) -> None:
        for segment in segments:
            self._known = segment.end - self._blocks.time(0)
            if segment.active:
                self._speech.append(segment)

    def _complete(self) -> Iterable[VoiceChunk]:
        width = (FRAMES + 2 * CONTEXT) * MEL_FRAMES * _HOP + 2 * _OVERLAP
        while len(self._held) >= width and self._known >= (self._next + 1) * TICKS_PER_SECOND:
            found = spectrum(self._held[:width])
            means = found.mean(axis=1)
            outputs = self._networks.voice(levelled(found, np.concatenate([*self._levels, means])))
            yield VoiceChunk(self._next, outputs, self._active(self._next))
            inside = means[CONTEXT * MEL_FRAMES : -CONTEXT * MEL_FRAMES]
            self._levels = [*self._levels, inside][-_LEVEL_CHUNKS:]
            self._held = self._held[RATE_HZ:].copy()
            self._next += 1
            end = self._blocks.time(0) + self._next * TICKS_PER_SECOND
            self._speech = [s for s in self._speech if s.end > end]

    def _active(self, number: int) -> Floats:
        """The fraction of speech in each frame of a chunk."""
        starts = self._blocks.time(0) + number * TICKS_PER_SECOND + FRAME * np.arange(FRAMES)
        covered = np.zeros(FRAMES, np.int64)
        for segment in self._speech:
            covered += np.clip(np.minimum(segment.end, starts + FRAME) - np.maximum(segment.start, starts), 0, None)
        return (covered / FRAME).astype(np.float32)
