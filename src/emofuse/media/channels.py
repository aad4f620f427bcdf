"""Channels of decoded audio as arrays, and their mix to one channel.

Mono and stereo are mixed by their mean, surround by the weights of ITU-R BS.775, which keep the centre, where voices
are. Where the channels of a recording cancel each other, as with a microphone wired in opposite phase, the loudest
channel takes the place of the mix.
"""

from __future__ import annotations

import ctypes
from typing import Any

import av
import numpy as np
from av.audio.layout import AudioLayout
from av.audio.plane import AudioPlane
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Channels = NDArray[Any]  # float32 or float64 [channels, n]

_SAMPLE_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
_SIDE, _BACK = float(np.sqrt(0.5)), 0.5
_WEIGHTS = {"FC": 1.0, "FL": _SIDE, "FR": _SIDE, "FLC": _SIDE, "FRC": _SIDE, "LFE": 0.0, "LFE2": 0.0}

_BAND_HZ = 6000  # cancellation is measured at about this rate, on differences: without rumble, hum and hiss
_HOP = 3000  # samples at that rate, 0.5 s: the decision is made once per hop
_QUIET, _DECAY = 1 / 100, 0.9  # a hop this much quieter than the loudest one decides nothing; its decay per hop
_CANCELLED, _RESTORED = 1 / 8, 1 / 4  # power of the mix, relative to that of channels that do not cancel
_LOUDER = 2  # another channel takes over if its power is this much higher
_SILENCE = 1e-9  # power per hop


def finite(samples: NDArray[Any]) -> Floats:
    """Samples as float32 with zeros in place of NaN and infinities."""
    samples = np.asarray(samples, np.float32)
    return samples if np.isfinite(samples).all() else np.nan_to_num(samples, posinf=0, neginf=0)


def channels_of(frame: av.AudioFrame) -> Channels:
    """A copy of the samples, [channels, n], full scale at 1, from any sample format and layout.

    float64 where a sample has more bits than float32.
    """
    channels, planar = frame.layout.nb_channels, frame.format.is_planar
    dtype = np.dtype(_SAMPLE_TYPES[frame.format.name.removesuffix("p")])
    count = frame.samples * (1 if planar else channels)
    # Not frame.planes: with 8 planar channels and more it reads past the end of libav's list of planes.
    planes = [AudioPlane(frame, n) for n in range(channels if planar else 1)]
    rows: NDArray[Any] = np.stack([np.frombuffer(memoryview(plane), dtype, count) for plane in planes])
    if not planar:
        rows = rows.reshape(-1, channels).T
    if dtype.kind == "f":
        return np.ascontiguousarray(rows)
    full = 2.0 ** (8 * dtype.itemsize - 1)
    middle = full if dtype.kind == "u" else 0
    scaled: Channels = rows.astype(np.float32 if dtype.itemsize <= 2 else np.float64, order="C")
    scaled -= middle
    scaled /= full
    return scaled


def channel_names(frame: av.AudioFrame) -> tuple[str, ...]:
    """Names of the channels in libav's notation, such as ("FL", "FR"); "NONE" for channels without a place."""
    layout = frame.layout
    if "(" in layout.name:
        _never_free(layout)
    return tuple(channel.name for channel in layout.channels)


def _never_free(layout: AudioLayout) -> None:
    """Keep a layout in memory: PyAV and libav would both free the list of channels of one that is not standard."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))


def mix_weights(names: tuple[str, ...]) -> Floats:
    """Weights of the channels in the mix, float32 [channels]; their sum is 1.

    >>> mix_weights(("FL", "FR")).tolist()
    [0.5, 0.5]
    >>> mix_weights(("FL", "FR", "FC", "LFE", "BL", "BR")).round(3)
    array([0.207, 0.207, 0.293, 0.   , 0.146, 0.146], dtype=float32)
    """
    weights = np.ones(len(names))
    if names[:1] == ("AMBI0",):  # ambisonics: the first channel is that of all directions
        weights = np.eye(1, len(names))[0]
    elif len(names) > 2 and set(names) != {"NONE"}:
        weights = np.array([_WEIGHTS.get(name, _BACK) for name in names])
    if not weights.any():
        weights = np.ones(len(names))
    return np.asarray(weights / weights.sum(), np.float32)


class Downmix:
    """Mixes the channels of a waveform to one, piece by piece; the result does not depend on the pieces.

    cancelled: samples for which the loudest channel was taken, since the mix cancels.
    """

    def __init__(self, names: tuple[str, ...], rate_hz: int) -> None:
        self.cancelled = 0
        self._weights = mix_weights(names)
        self._is_mean = bool(np.all(self._weights == self._weights[0]))
        self._group = max(1, rate_hz // _BAND_HZ)
        self._fade = rate_hz // 100
        self._waiting: list[Channels] = []
        self._held = 0
        self._loudness = _SILENCE
        self._loudest = -1  # -1: the mix is used

    def push(self, channels: Channels) -> list[Floats]:
        """The mixed samples that are ready, each float32 [n]."""
        self._waiting.append(channels)
        self._held += channels.shape[1]
        hop = self._group * _HOP
        if self._held < hop:
            return []
        rest = np.concatenate(self._waiting, axis=1)
        mixed = []
        while rest.shape[1] >= hop:
            mixed.append(self._mixed(rest[:, :hop]))
            rest = rest[:, hop:]
        self._waiting, self._held = [rest], rest.shape[1]
        return mixed

    def close(self) -> list[Floats]:
        """The samples that are held back."""
        rest = self._waiting if self._held else []
        self._waiting, self._held = [], 0
        return [self._mixed(np.concatenate(rest, axis=1))] if rest else []

    def _mixed(self, hop: Channels) -> Floats:
        if len(hop) == 1:
            return finite(hop[0])
        before, now = self._loudest, self._choose(hop)
        samples = self._chosen(hop, now)
        if now >= 0:
            self.cancelled += len(samples)
        if now != before:
            ramp = np.linspace(0, 1, min(self._fade, len(samples)), dtype=np.float32)
            fade = slice(len(ramp))
            samples[fade] = self._chosen(hop[:, fade], before) * (1 - ramp) + samples[fade] * ramp
        return samples

    def _chosen(self, hop: Channels, channel: int) -> Floats:
        if channel >= 0:
            return finite(hop[channel].copy())
        return finite(hop.mean(axis=0) if self._is_mean else (hop * self._weights[:, None]).sum(axis=0))

    def _choose(self, hop: Channels) -> int:
        """The channel that takes the place of the mix in this hop, or -1."""
        whole = hop.shape[1] // self._group * self._group
        slow = hop[:, :whole].reshape(len(hop), -1, self._group).mean(axis=2, dtype=np.float64)
        changes = np.diff(np.nan_to_num(np.clip(slow, -1, 1)), axis=1)
        powers, mix_power = np.square(changes).sum(axis=1), float(np.square(self._weights @ changes).sum())
        expected = float(np.square(self._weights) @ powers)  # of the mix of channels that have nothing in common
        self._loudness = max(_DECAY * self._loudness, expected, _SILENCE)
        if expected < _QUIET * self._loudness:
            return self._loudest
        if mix_power >= expected * (_CANCELLED if self._loudest < 0 else _RESTORED):
            self._loudest = -1
        elif self._loudest < 0 or powers.max() > _LOUDER * powers[self._loudest]:
            self._loudest = int(np.argmax(powers))
        return self._loudest
