"""PANN Cnn14 as in audioset_tagging_cnn, with the names of its checkpoints, on log-mel spectra that it computes itself.

Details of `pytorch/models.py` that are kept: six blocks of two 3x3 convolutions without bias, each followed by batch
norm and ReLU; a 2x2 average pool after each block but the last; batch norm over the mel bands before the first block;
the mean over frequency, then the mean plus the maximum over time; a dense layer with ReLU, which is the embedding. The
classifier returns logits, not their sigmoid. SpecAugment and mixup of the original training are left out.

Source: Kong et al., PANNs, IEEE/ACM TASLP 2020; paper, 2.2.3: windows of 3 s, the last layer replaced by one of seven.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.errors import SettingsError
from emofuse.nets.formats import state_dict
from emofuse.nets.formats.matching import TensorSource, take
from emofuse.nets.logmel import LogMel, LogMelSettings, at_least

# Of the checkpoints Cnn14_16k_mAP=0.438.pth and Cnn14_mAP=0.431.pth.
LOGMEL_16K = LogMelSettings(rate_hz=16_000, window=512, hop=160, mels=64, fmin=50.0, fmax=8_000.0)
LOGMEL_32K = LogMelSettings(rate_hz=32_000, window=1024, hop=320, mels=64, fmin=50.0, fmax=14_000.0)

_PUBLISHED = {
    "logmel.real": "spectrogram_extractor.stft.conv_real.weight",
    "logmel.imag": "spectrogram_extractor.stft.conv_imag.weight",
    "logmel.mel": "logmel_extractor.melW",
}
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Cnn14Settings:
    """Spectrum, widths of the blocks, and width of the dense layer.

    dropout: after each block; head_dropout: before and after the dense layer.

    Raises:
        SettingsError: there are too few mel bands for the pools.
    """

    logmel: LogMelSettings = LOGMEL_16K
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    hidden: int = 2048
    dropout: float = 0.2
    head_dropout: float = 0.5
    classes: int = 7

    def __post_init__(self) -> None:
        if self.logmel.mels < self.downsampling:
            raise SettingsError(
                f"cnn14: {len(self.widths)} blocks need at least {self.downsampling} mel bands, not "
                f"{self.logmel.mels}; give more bands or fewer widths."
            )

    @property
    def downsampling(self) -> int:
        """Factor by which the pools shorten time and frequency."""
        return 1 << (len(self.widths) - 1)

    @property
    def least_samples(self) -> int:
        """Length of the shortest waveform that leaves one step after the pools."""
        return max(self.logmel.least_samples, (self.downsampling - 1) * self.logmel.hop)


class Cnn14(nn.Module):
    """Waveforms float [n, samples] in -1 to 1 -> (embedding [n, 2048], logits [n, classes]).

    The embedding is the output of the dense layer after its ReLU, before dropout. Waveforms shorter than the settings'
    `least_samples` (0.31 s) are padded with zeros at the end.
    """

    head: ClassVar[tuple[str, ...]] = ("fc_audioset.",)

    def __init__(self, settings: Cnn14Settings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or Cnn14Settings()
        self.blocks = [f"conv_block{n}" for n in range(1, 1 + len(settings.widths))]
        self.logmel = LogMel(settings.logmel)
        self.bn0 = nn.BatchNorm2d(settings.logmel.mels)
        for name, (before, width) in zip(self.blocks, pairwise((1, *settings.widths)), strict=True):
            self.add_module(name, _Block(before, width))
        self.dropout = nn.Dropout(settings.dropout)
        self.head_dropout = nn.Dropout(settings.head_dropout)
        self.fc1 = nn.Linear(settings.widths[-1], settings.hidden)
        self.fc_audioset = nn.Linear(settings.hidden, settings.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        x = self.logmel(at_least(waves, self.settings.least_samples))
        x = self.bn0(x.transpose(1, 2).unsqueeze(3)).transpose(1, 3)
        for name in self.blocks:
            x = self.get_submodule(name)(x)
            if name != self.blocks[-1]:
                x = functional.avg_pool2d(x, 2)
            x = self.dropout(x)
        x = x.mean(dim=3)
        x = x.amax(dim=2) + x.mean(dim=2)
        embedding = torch.relu(self.fc1(self.head_dropout(x)))
        return embedding, self.fc_audioset(self.head_dropout(embedding))


def build(spectrum: LogMelSettings, classes: int = 7, *, tiny: bool = False) -> Cnn14:
    """The published architecture, or a small one."""
    if tiny:  # half as many bands and time steps: a quarter of the work
        coarse = replace(spectrum, hop=2 * spectrum.hop, mels=spectrum.mels // 2)
        return Cnn14(Cnn14Settings(coarse, widths=(16, 32, 64), hidden=64, head_dropout=0.2, classes=classes))
    return Cnn14(Cnn14Settings(spectrum, classes=classes))


build_16k, build_32k = partial(build, LOGMEL_16K), partial(build, LOGMEL_32K)


def load_torch(path: Path, settings: Cnn14Settings | None = None) -> dict[str, Tensor]:
    """All tensors from `Cnn14_16k_mAP=0.438.pth` or `Cnn14_mAP=0.431.pth`, by their names in the network.

    `settings.classes` must be that of the file, 527 in the published ones, and `settings.logmel` that of its training,
    `LOGMEL_16K` or `LOGMEL_32K`. Files without the batch counters of batch norms are accepted too.

    Raises:
        WeightsError: the file cannot be read, or belongs to another network.
    """
    with torch.device("meta"):
        net = Cnn14(settings)
    arrays = state_dict.read(path)
    uncounted = {k for k in net.state_dict() if k.endswith(_COUNTER) and k not in arrays}
    wanted = {
        k: TensorSource(_PUBLISHED.get(k, k), tuple(v.shape)) for k, v in net.state_dict().items() if k not in uncounted
    }
    what = f"PANN Cnn14 at {net.settings.logmel.rate_hz} Hz"
    tensors = take(arrays, wanted, path=path, what=what)
    return tensors | {k: torch.zeros((), dtype=torch.int64) for k in uncounted}


class _Block(nn.Module):
    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)))
