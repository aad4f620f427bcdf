"""An ensemble of small networks on the same log-mel spectra, for voices of other speakers and recordings."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from emofuse.nets.compact_speech import TINY_SPECTRUM, CompactSpeechSettings, levels, stages, stem
from emofuse.nets.logmel import LogMel


@dataclass(frozen=True)
class SpeechEnsembleSettings(CompactSpeechSettings):
    """Settings of `CompactSpeech` for each of the `members`."""

    widths: tuple[int, ...] = (20, 40, 72, 120)
    dropout: float = 0.4
    members: int = 3


class SpeechEnsemble(nn.Module):
    """Waveforms float [n, samples] at 16 kHz, any level -> (embedding [n, members * 240], logits [n, classes]).

    All members take the input of `CompactSpeech`. The embedding is mean and deviation over time in each member; the
    logits are the logarithm of the members' mean probabilities.

    In training each example goes through one member alone, so that they learn independently: the first examples of a
    batch through the first member, and so on; the embedding is then that member's.
    """

    def __init__(self, settings: SpeechEnsembleSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or SpeechEnsembleSettings()
        self.spectrum = LogMel(settings.spectrum)
        self.members = nn.ModuleList(_Member(settings) for _ in range(settings.members))

    def extra_repr(self) -> str:
        # A checkpoint is bound to the printed form of its network, and some settings appear in no layer.
        return str(self.settings)

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        spectra = levels(self.spectrum, waves, self.settings, augmented=self.training)
        if not self.training:
            outputs = [member(spectra) for member in self.members]
            logits = torch.stack([logits.log_softmax(dim=1) for _, logits in outputs]).logsumexp(dim=0)
            return torch.cat([embedding for embedding, _ in outputs], dim=1), logits - math.log(len(outputs))
        apart = [member(some) for member, some in zip(self.members, spectra.chunk(len(self.members)), strict=False)]
        return torch.cat([embedding for embedding, _ in apart]), torch.cat([logits for _, logits in apart])


def build(classes: int = 7, *, tiny: bool = False) -> SpeechEnsemble:
    """The network, or one of some twenty thousand parameters."""
    small = SpeechEnsembleSettings((16, 16), TINY_SPECTRUM, members=2)
    return SpeechEnsemble(replace(small if tiny else SpeechEnsembleSettings(), classes=classes))


class _Member(nn.Module):
    """Spectra [n, 1, steps, mels] -> (embedding [n, 2 * the last width], logits [n, classes])."""

    def __init__(self, settings: SpeechEnsembleSettings) -> None:
        super().__init__()
        widths = settings.widths
        self.stem, self.stages = stem(widths[0]), stages(widths)
        self.dropout = nn.Dropout(settings.dropout)
        self.classify = nn.Linear(2 * widths[-1], settings.classes)

    def forward(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stages(self.stem(spectra)).mean(dim=3)
        mean = x.mean(dim=2)
        deviation = (x.square().mean(dim=2) - mean.square()).clamp(min=1e-4).sqrt()
        embedding = torch.cat((mean, deviation), dim=1)
        return embedding, self.classify(self.dropout(embedding))
