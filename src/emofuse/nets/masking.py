"""Random masks over bands and time of log-mel spectra, in training."""

from __future__ import annotations

import torch
from torch import Tensor


def masked(spectra: Tensor, *, count: int, fraction: float) -> Tensor:
    """Spectra [n, 1, steps, mels] with `count` intervals of bands and of time replaced by the mean.

    Uses torch's global random generator, like dropout.
    Source: Park et al. 2019, SpecAugment.
    """
    n, _, steps, mels = spectra.shape
    hidden = torch.zeros(n, steps, mels, dtype=torch.bool, device=spectra.device)
    for _ in range(count):
        over_steps = _interval(n, steps, fraction, spectra.device)
        hidden |= over_steps[:, :, None] | _interval(n, mels, fraction, spectra.device)[:, None]
    return torch.where(hidden[:, None], spectra.mean(dim=(2, 3), keepdim=True), spectra)


def _interval(n: int, size: int, fraction: float, device: torch.device) -> Tensor:
    width = size * fraction * torch.rand(n, 1, device=device)
    start = (size - width) * torch.rand(n, 1, device=device)
    index = torch.arange(size, device=device)
    return (index >= start) & (index < start + width)
