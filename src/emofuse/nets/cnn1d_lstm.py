"""The paper's own network on raw audio: four one-dimensional convolutions, then two LSTMs.

Details of the authors' Keras code that are kept: "same" padding, which for an even kernel adds the odd sample at the
end; a pool drops the samples that do not fill it; each layer is convolution, ReLU, dropout, pool, in this order; LSTMs
with a single bias; Keras's initial weights. Four seconds at 12 kHz are 48000 samples and 15 LSTM steps, at 16 kHz 64000
and 20.

Source: paper, 2.2.4 ("about 4.5 M" parameters; the layers of the authors' code have 4,005,511).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.errors import SettingsError
from emofuse.nets.logmel import at_least


@dataclass(frozen=True)
class Cnn1dLstmSettings:
    """Widths, kernels and pools of the convolutions (the last pool averages), and the output.

    sequence: return logits for each LSTM step instead of one per window; for 20 steps in 4 s the last pool must be 4
        at 16 kHz, and 3 at 12 kHz.
    gain: factor applied to the samples; 2**15 yields the values of 16-bit files, as in the authors' code.

    Raises:
        SettingsError: the numbers of widths, kernels and pools differ.

    >>> 48_000 / Cnn1dLstmSettings(pools=(10, 10, 8, 3)).step_samples
    20.0
    """

    widths: tuple[int, ...] = (128, 256, 512, 512)
    kernels: tuple[int, ...] = (20, 10, 8, 5)
    pools: tuple[int, ...] = (10, 10, 8, 4)
    hidden: int = 256
    dropout: float = 0.3
    classes: int = 7
    sequence: bool = False
    gain: float = 1.0

    def __post_init__(self) -> None:
        if not len(self.widths) == len(self.kernels) == len(self.pools) > 0:
            raise SettingsError(
                f"cnn1d-lstm: {len(self.widths)} widths, {len(self.kernels)} kernels and {len(self.pools)} pools; "
                "give one of each for every convolution."
            )

    @property
    def step_samples(self) -> int:
        """Number of samples per LSTM step."""
        return math.prod(self.pools)


class Cnn1dLstm(nn.Module):
    """Waveforms float [n, samples] in -1 to 1 -> (embedding [n, 256], logits [n, classes]).

    For a sequence, embedding [n, steps, 256] and logits [n, steps, classes]. The embedding is the output of the second
    LSTM, before dropout. Waveforms shorter than one step are padded with zeros at the end.
    """

    head: ClassVar[tuple[str, ...]] = ("classify.",)

    def __init__(self, settings: Cnn1dLstmSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or Cnn1dLstmSettings()
        self.convolutions = nn.Sequential(*_convolutions(settings))
        self.lstm1 = _Lstm(settings.widths[-1], settings.hidden)
        self.lstm2 = _Lstm(settings.hidden, settings.hidden)
        self.dropout = nn.Dropout(settings.dropout)
        self.classify = nn.Linear(settings.hidden, settings.classes)
        nn.init.xavier_uniform_(self.classify.weight)
        nn.init.zeros_(self.classify.bias)

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        waves = at_least(waves, self.settings.step_samples) * self.settings.gain
        steps = self.convolutions(waves.unsqueeze(1)).transpose(1, 2)
        embedding = self.lstm2(self.dropout(self.lstm1(steps)))
        if not self.settings.sequence:
            embedding = embedding[:, -1]
        return embedding, self.classify(self.dropout(embedding))


def build(
    classes: int = 7, *, tiny: bool = False, samples: int = 48_000, segments: int = 1, gain: float = 1.0
) -> Cnn1dLstm:
    """The paper's network, or a small one, for windows of `samples` and a number of segments in each.

    Raises:
        SettingsError: the window cannot be divided into this number of segments.
    """
    settings = Cnn1dLstmSettings(gain=gain)
    if tiny:
        # 600 samples per LSTM step. Speech is far below 1, and a small network cannot make up for that in time.
        settings = Cnn1dLstmSettings((16, 32, 32), (20, 10, 8), (10, 10, 6), hidden=32, dropout=0.0, gain=10 * gain)
    settings = replace(settings, classes=classes, sequence=segments > 1)
    if segments > 1:
        # The last pool determines the number of LSTM steps, one per segment.
        *first, _ = settings.pools
        settings = replace(settings, pools=(*first, 1))
        per_segment, remainder = divmod(samples, segments)
        last, rest = divmod(per_segment, settings.step_samples)
        if remainder or rest or not last:
            raise SettingsError(
                f"cnn1d-lstm: {samples} samples cannot be divided into {segments} segments, because the other pools "
                f"cover {settings.step_samples} samples together; choose another window or number of segments."
            )
        settings = replace(settings, pools=(*first, last))
    return Cnn1dLstm(settings)


build_16_bit = partial(build, gain=2.0**15)  # samples as in 16-bit files


def _convolutions(settings: Cnn1dLstmSettings) -> Iterator[nn.Module]:
    layers = zip(pairwise((1, *settings.widths)), settings.kernels, settings.pools, strict=True)
    for n, ((before, width), kernel, pool) in enumerate(layers, start=1):
        pooling = nn.AvgPool1d if n == len(settings.widths) else nn.MaxPool1d
        yield _ConvPool(nn.Conv1d(before, width, kernel), pooling(pool), dropout=settings.dropout)


class _ConvPool(nn.Module):
    """Convolution, ReLU, dropout and pool; operations that commute with the pool run after it, on fewer values."""

    def __init__(self, conv: nn.Conv1d, pool: nn.AvgPool1d | nn.MaxPool1d, *, dropout: float) -> None:
        super().__init__()
        self.conv, self.pool, self.dropout = conv, pool, dropout
        nn.init.xavier_uniform_(conv.weight)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        padding = conv.kernel_size[0] - 1
        self.pad = (padding // 2, padding - padding // 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(functional.pad(x, self.pad))
        if isinstance(self.pool, nn.AvgPool1d):
            pooled: Tensor = self.pool(functional.dropout(torch.relu(x), self.dropout, self.training))
            return pooled
        # The ReLU may follow a max pool: values below the zeros of dropout never win, or become zero themselves.
        if not self.training or not self.dropout:
            return torch.relu(self.pool(x))
        _drop(x, self.dropout)
        return torch.relu(self.pool(x)) / (1 - self.dropout)


def _drop(x: Tensor, rate: float) -> None:
    """Set values of x [n, ...] to zero in place, at a rate that is exact to 16 bits; only valid before a ReLU.

    On the CPU, PyTorch's dropout takes 14 times as long as the first convolution before it; this takes 3 times.
    """
    # No gradient is needed: the ReLU passes none back to values that are zero here.
    with torch.no_grad():
        for row in x:  # one by one, because random numbers for all rows would need as much memory as x
            draws = torch.empty(-(-row.numel() // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
            row.mul_(draws.view(torch.int16)[: row.numel()].view(row.shape) >= round(rate * 2**16) - 2**15)


class _Lstm(nn.Module):
    """An LSTM [n, steps, before] -> [n, steps, width] with a single bias, like Keras's.

    PyTorch's has two biases or none, so the bias is the last column of the weights, for an input that is always 1.
    """

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(before + 1, width, bias=False, batch_first=True)
        weights = self.lstm.get_parameter("weight_ih_l0").data
        kernel, bias = weights[:, :before], weights[:, before]
        nn.init.xavier_uniform_(kernel)
        nn.init.orthogonal_(self.lstm.get_parameter("weight_hh_l0"))
        nn.init.zeros_(bias)
        nn.init.ones_(bias[width : 2 * width])  # of the forget gate

    def forward(self, x: Tensor) -> Tensor:
        # oneDNN has no bfloat16 LSTMs on some machines.
        with torch.autocast(x.device.type, enabled=False):
            output: Tensor = self.lstm(functional.pad(x.float(), (0, 1), value=1.0))[0]
            return output
