"""HDR video (HLG and PQ) as SDR images: light in nits, primaries of BT.709, highlights rolled off.

Diffuse white is as bright as the frame shows it, between 100 nits (SDR in an HDR container) and 203 nits (BT.2408);
up to three quarters of it light stays proportional, brighter parts are compressed so that the brightest one remains
below white. Every frame is mapped by itself, so that it looks the same whichever others are decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.media.images import Image

Floats = NDArray[np.float32]

_WHITE_NITS = (1.0, 2.03)  # hundreds of nits: darkest and brightest diffuse white
_PEAK_NITS = 10.0  # of the display for which HLG is rendered; what is brighter is clipped
_KNEE = 0.75  # fraction of white up to which light stays proportional
_SDR_GAMMA = 2.4  # BT.1886
_SAMPLES = 50_000  # pixels by which the brightness of a frame is measured
_LEVELS = 4096  # of the table from light to SDR
_STRIP_PIXELS = 1 << 18  # pixels converted at a time, to bound memory
_LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]], np.float32)  # of BT.2020
_BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)


@dataclass(frozen=True)
class Transfer:
    """A transfer characteristic of HDR. light: from code values 0 to 1 to hundreds of nits, or to scene light 0 to 1.
    scene: whether it encodes the light of the scene, which a display renders brighter the brighter it is (HLG)."""

    light: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    scene: bool


def pq_light(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hundreds of nits of PQ code values 0 to 1 (SMPTE ST 2084).

    >>> (100 * pq_light(np.array([0.0, 0.50808, 0.58069, 1.0]))).round().tolist()
    [0.0, 100.0, 203.0, 10000.0]
    """
    m1, m2, c1, c2, c3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
    power = code ** (1 / m2)
    return 100 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def hlg_light(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scene light 0 to 1 of HLG code values 0 to 1 (ARIB STD-B67).

    >>> hlg_light(np.array([0.0, 0.5, 1.0])).round(4).tolist()
    [0.0, 0.0833, 1.0]
    """
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


HDR_TRANSFERS: Mapping[int, Transfer] = MappingProxyType(  # as numbered by ITU-T H.273
    {16: Transfer(pq_light, scene=False), 18: Transfer(hlg_light, scene=True)}
)


def tone_mapped(image: NDArray[np.uint16], transfer: Transfer) -> Image:
    """An SDR image, uint8 [height, width, 3], of one in BT.2020 with an HDR transfer, uint16 [height, width, 3]."""
    table = transfer.light(np.arange(1024) / 1023).astype(np.float32)
    height, width = image.shape[:2]
    step = max(1, int(np.sqrt(height * width / _SAMPLES)))
    brightest = _bt709_light(image[::step, ::step], table, transfer).max(axis=2)
    white = float(np.clip(np.percentile(brightest, 99), *_WHITE_NITS))
    peak = float(np.clip(np.percentile(brightest, 99.9), white, _PEAK_NITS))
    levels = _sdr_levels(white, peak)
    result = np.empty(image.shape, np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    for first in range(0, height, rows):
        light = _bt709_light(image[first : first + rows], table, transfer)
        codes = np.sqrt(np.clip(light / peak, 0, 1)) * (_LEVELS - 1) + 0.5
        result[first : first + rows] = levels[codes.astype(np.uint16)]
    return result


def _bt709_light(image: NDArray[np.uint16], table: Floats, transfer: Transfer) -> Floats:
    """Light in hundreds of nits by the primaries of BT.709, float32 [height, width, 3]."""
    light = table[image >> 6]
    if transfer.scene:
        luminance = cv2.transform(light, _LUMINANCE).reshape(light.shape[:2])
        light *= (_PEAK_NITS * luminance**0.2)[:, :, None]  # system gamma 1.2 of a display of 1000 nits
    return np.asarray(cv2.transform(light, _BT2020_TO_BT709), np.float32)


def _sdr_levels(white: float, peak: float) -> NDArray[np.uint8]:
    """SDR code values by the square root of light up to the peak, uint8 [levels]."""
    light = np.linspace(0, 1, _LEVELS) ** 2 * peak / white
    slope = (peak / white - _KNEE) / (1 - _KNEE)
    above = np.maximum(light - _KNEE, 0) / (peak / white - _KNEE)
    rolled = _KNEE + (1 - _KNEE) * slope * above / (1 + (slope - 1) * above)
    sdr = np.where(light <= _KNEE, light, rolled)
    return np.asarray(np.round(255 * np.clip(sdr, 0, 1) ** (1 / _SDR_GAMMA)), np.uint8)
