"""Random batches of mouths with their voices: frame rates, framing, light and noise vary; voices are mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from emofuse.speech.active_speaker import FRAMES, RATE_HZ, levelled, normalised, spectrum
from emofuse.training.active_speaker.clips import TalkingClip

Floats = NDArray[np.float32]

LENGTH = 62  # frames of an example
_MARGIN = 120  # samples of a spectrum's first window before its frame
_RATES_HZ = (30, 30, 25, 20, 15, 12)
_LATEST = 0.3  # seconds by which an example may begin before its clip, or end after it
_SHIFT = 0.03  # seconds between mouth and voice
_BABBLE = (1, 1, 2, 4)  # voices that are mixed in


class Batch(NamedTuple):
    """mouths: float [n, LENGTH, size, size], normalised; spectra: float [n, LENGTH * MEL_FRAMES, BANDS]; inside: float
    [n, LENGTH], 1 in frames of the clip, 0 before and after it."""

    mouths: Tensor
    spectra: Tensor
    inside: Tensor


def random_batch(clips: Sequence[TalkingClip], size: int, rng: np.random.Generator) -> Batch:
    """Parts of different clips, varied."""
    mouths, spectra, inside = [], [], []
    for number in rng.choice(len(clips), size, replace=len(clips) < size):
        clip, length = clips[number], LENGTH / FRAMES
        start = rng.uniform(-_LATEST, max(clip.seconds - length + _LATEST, -_LATEST + 0.01))
        grid = start + (np.arange(LENGTH) + 0.5) / FRAMES
        inside.append((grid > clip.times[0] - 0.04) & (grid < clip.seconds))
        mouths.append(
            mouths_at(clip, grid + rng.uniform(-_SHIFT, _SHIFT), rate_hz=float(rng.choice(_RATES_HZ)), rng=rng)
        )
        samples = _varied_voice(samples_at(clip, start, LENGTH), clips, rng)
        spectra.append(spectra_of(samples))
    images = _varied_images(torch.from_numpy(np.stack(mouths)), rng)
    flat = normalised(images.reshape(-1, *images.shape[2:]).numpy()).reshape(images.shape)
    return Batch(
        torch.from_numpy(flat),
        torch.from_numpy(np.stack(spectra)),
        torch.from_numpy(np.stack(inside).astype(np.float32)),
    )


def mouths_at(
    clip: TalkingClip, grid: NDArray[np.float64], *, rate_hz: float = 30, rng: np.random.Generator | None = None
) -> Floats:
    """The mouth at times in seconds, float32 [m, size, size], of a video with a lower frame rate if that is given."""
    kept = np.arange(len(clip.times))
    if rate_hz < 30:
        phase = 0.0 if rng is None else rng.uniform(0, 1 / rate_hz)
        wanted = np.arange(phase, clip.times[-1] + 1 / rate_hz, 1 / rate_hz)
        kept = np.unique(np.clip(np.searchsorted(clip.times, wanted), 0, len(clip.times) - 1))
    times, crops = clip.times[kept], clip.crops[kept]
    left = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, len(times) - 2)
    weight = np.clip((grid - times[left]) / (times[left + 1] - times[left]), 0, 1).astype(np.float32)[:, None, None]
    return np.asarray(crops[left] * (1 - weight) + crops[left + 1] * weight, np.float32)


def samples_at(clip: TalkingClip, start: float, frames: int) -> Floats:
    """The voice of frames from a time in seconds on, with what their first and last spectra need; zeros outside."""
    first = round(start * RATE_HZ) - _MARGIN
    out = np.zeros(frames * RATE_HZ // FRAMES + 2 * _MARGIN, np.float32)
    begin, end = max(first, 0), min(first + len(out), len(clip.samples))
    if end > begin:
        out[begin - first : end - first] = clip.samples[begin:end]
    return out


def spectra_of(samples: Floats) -> Floats:
    """The input of the network for the voice, float32 [frames * MEL_FRAMES, BANDS]."""
    found = spectrum(samples)
    return levelled(found, found.mean(axis=1))


def _varied_voice(samples: Floats, clips: Sequence[TalkingClip], rng: np.random.Generator) -> Floats:
    """A voice with other voices, noise, and another level."""
    power = float(np.sqrt(np.square(samples).mean())) + 1e-4
    if rng.random() < 0.5:
        others = [np.resize(np.roll(clips[n].samples, -rng.integers(RATE_HZ)), len(samples)) for n in _some(clips, rng)]
        samples = _mixed(samples, np.sum(others, axis=0), power, rng.uniform(0, 30))
    if rng.random() < 0.5:
        noise = rng.standard_normal(len(samples), dtype=np.float32)
        if rng.random() < 0.5:
            noise = np.convolve(noise, np.full(8, 1 / 8), "same").astype(np.float32)
        samples = _mixed(samples, noise, power, rng.uniform(0, 35))
    return np.asarray(samples * np.float32(10 ** (rng.uniform(-14, 8) / 20)), np.float32)


def _some(clips: Sequence[TalkingClip], rng: np.random.Generator) -> list[int]:
    return [int(n) for n in rng.integers(len(clips), size=int(rng.choice(_BABBLE)))]


def _mixed(samples: Floats, noise: Floats, power: float, snr_db: float) -> Floats:
    level = float(np.sqrt(np.square(noise).mean())) + 1e-6
    return np.asarray(samples + noise * np.float32(power / level * 10 ** (-snr_db / 20)), np.float32)


def _varied_images(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Mouths [n, frames, size, size] mirrored, turned, shifted, narrowed, unsteady, darker, lighter and noisy."""
    n, frames, size, _ = images.shape
    angle, narrow = rng.normal(0, 0.09, n), np.where(rng.random(n) < 0.2, rng.uniform(1.0, 1.7, n), 1.0)
    wide, high = np.exp(rng.normal(0, 0.08, n)) * narrow, np.exp(rng.normal(0, 0.08, n))
    wide = np.where(rng.random(n) < 0.5, -wide, wide)  # mirrored
    linear = np.stack([[np.cos(angle) * wide, -np.sin(angle) * high], [np.sin(angle) * wide, np.cos(angle) * high]])
    walk = np.cumsum(rng.normal(0, 0.01, (n, frames, 2)), axis=1) * rng.choice([0, 0.5, 1.5], (n, 1, 1))
    shift = rng.normal(0, 0.075, (n, 1, 2)) + walk - walk.mean(axis=1, keepdims=True)
    theta = np.concatenate([np.repeat(linear.transpose(2, 0, 1)[:, None], frames, axis=1), shift[..., None]], axis=3)
    grid = functional.affine_grid(
        torch.from_numpy(theta.reshape(-1, 2, 3).astype(np.float32)), [n * frames, 1, size, size], align_corners=False
    )
    warped = functional.grid_sample(
        images.reshape(-1, 1, size, size), grid, padding_mode="border", align_corners=False
    ).reshape(images.shape)
    blurred = functional.avg_pool2d(warped, 3, 1, 1, count_include_pad=False)
    soft = torch.from_numpy(rng.uniform(0, 1, (n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < 0.3)).float()
    light = torch.from_numpy(np.stack([rng.uniform(0.6, 1.3, n), rng.normal(0, 15, n)])).float()[:, :, None, None, None]
    noise = torch.from_numpy(rng.standard_normal((n, frames, size, size), dtype=np.float32))
    strength = torch.from_numpy(rng.choice([0.0, 1.0, 3.0, 6.0], (n, 1, 1, 1))).float()
    return ((warped + soft * (blurred - warped)) * light[0] + light[1] + noise * strength).clamp(0, 255)
