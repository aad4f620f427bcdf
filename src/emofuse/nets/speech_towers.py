"""Several small nets on the same log-mel spectra that judge as one: the voice across recordings and speakers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emofuse.nets.compact_speech import CompactSpeechSettings, heard, stages, stem
from emofuse.nets.logmel import LogMel, LogMelSettings


@dataclass(frozen=True)
class SpeechTowersSettings(CompactSpeechSettings):
    """Those of the compact net, of each tower. towers: nets that hear the same spectrum and judge as one."""

    widths: tuple[int, ...] = (20, 40, 72, 120)
    dropout: float = 0.4
    towers: int = 3


class SpeechTowers(nn.Module):
    """Waveforms float [n, samples] at 16 kHz, any level -> (embedding [n, towers * 240], logits [n, classes]).

    They hear what `CompactSpeech` hears. The embedding is mean and deviation over time in each tower; the logits are
    the logarithm of the towers' mean probabilities.

    In training each example is heard by one tower alone, so that they learn apart: the first ones of a batch by the
    first tower, and so on; the embedding is then that tower's.
    """

    def __init__(self, settings: SpeechTowersSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or SpeechTowersSettings()
        self.spectrum = LogMel(settings.spectrum)
        self.towers = nn.ModuleList(_Tower(settings) for _ in range(settings.towers))

    @classmethod
    def tiny(cls, classes: int = 7) -> SpeechTowers:
        """A net of some twenty thousand parameters with the same interface, for tests."""
        spectrum = LogMelSettings(window=256, hop=256, mels=16, fmax=7_600.0)
        return cls(SpeechTowersSettings(towers=2, widths=(16, 16), spectrum=spectrum, classes=classes))

    def extra_repr(self) -> str:
        # A checkpoint belongs to a net by what it prints as; some settings are in no layer.
        return str(self.settings)

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        spectra = heard(self.spectrum, waves, self.settings, changed=self.training)
        if not self.training:
            said = [tower(spectra) for tower in self.towers]
            logits = torch.stack([logits.log_softmax(dim=1) for _, logits in said]).logsumexp(dim=0)
            return torch.cat([embedding for embedding, _ in said], dim=1), logits - math.log(len(said))
        apart = [tower(some) for tower, some in zip(self.towers, spectra.chunk(len(self.towers)), strict=False)]
        return torch.cat([embedding for embedding, _ in apart]), torch.cat([logits for _, logits in apart])


def build(classes: int = 7, *, tiny: bool = False) -> SpeechTowers:
    """The network, or a smaller one; see `emofuse.nets.catalogue.Network`."""
    return SpeechTowers.tiny(classes) if tiny else SpeechTowers(SpeechTowersSettings(classes=classes))


class _Tower(nn.Module):
    """Spectra [n, 1, steps, mels] -> (embedding [n, 2 * the last width], logits [n, classes])."""

    def __init__(self, settings: SpeechTowersSettings) -> None:
        super().__init__()
        widths = settings.widths
        self.stem, self.stages = stem(widths[0]), stages(widths)
        self.dropout = nn.Dropout(settings.dropout)
        self.classify = nn.Linear(2 * widths[-1], settings.classes)

    def forward(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        found = self.stages(self.stem(spectra)).mean(dim=3)
        mean = found.mean(dim=2)
        deviation = (found.square().mean(dim=2) - mean.square()).clamp(min=1e-4).sqrt()
        embedding = torch.cat((mean, deviation), dim=1)
        return embedding, self.classify(self.dropout(embedding))
