"""Synthetic voices for tests of speech networks."""

from __future__ import annotations

import numpy as np
import torch


def synthetic_voices(n: int = 3, samples: int = 32_000) -> torch.Tensor:
    """Waveforms [n, samples] at 16 kHz: harmonics of a varying pitch, modulated in loudness, with faint noise."""
    rng = np.random.default_rng(0)
    time = np.arange(samples) / 16_000
    waves = []
    for k in range(n):
        phase = 2 * np.pi * np.cumsum(120 + 60 * k + 40 * np.sin(2 * np.pi * (1 + k) * time)) / 16_000
        loud = 0.05 * (1 + np.sin(2 * np.pi * (2 + k) * time))
        waves.append(loud * sum(np.sin(h * phase) / h for h in range(1, 9)) + rng.normal(0, 1e-3, samples))
    return torch.from_numpy(np.array(waves, np.float32))
