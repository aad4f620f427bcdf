"""Emotion from speech on the first blocks of a Whisper encoder: frames of 20 ms, and a head that pools any of them.

The network has two parts, which are exported separately, so that a stream encodes every frame once and all windows pool
the same frames. `encode` converts audio of one level to frames: a learned mixture of the outputs of the blocks. `pool`
converts frames to logits: mean and deviation over the frames with speech, weighted by attention.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from emofuse.core.chunks import LEVEL, SAMPLES_PER_FRAME
from emofuse.nets.logmel import LogMelSettings, at_least
from emofuse.nets.masking import masked
from emofuse.nets.whisper_encoder import (
    RANGE,
    WhisperEncoder,
    WhisperEncoderSettings,
    load_published,
    scaled,
)

# Log10 of the power of the loudest band in recordings of the level `LEVEL`: the median over four corpora. The published
# clamp is `RANGE` below the loudest band of each recording, which a live stream does not know.
LOUDEST = 0.8
_SILENT = -1e4  # attention of frames without speech
_LEAST_POWER = 1e-10
_TINY = WhisperEncoderSettings(
    blocks=2, width=32, heads=2, positions=500, spectrum=LogMelSettings(window=400, hop=160, mels=16, fmin=0.0)
)


@dataclass(frozen=True)
class SpeechEncoderSettings:
    """The encoder, and the random changes and dropout in training.

    level_db: in training, the level of an example deviates from `LEVEL` by up to this.
    masks: number of masks over bands, and over time steps, in training; each hides at most `mask_fraction` of them.
    attention: width of the attention layer.
    """

    encoder: WhisperEncoderSettings = WhisperEncoderSettings()  # noqa: RUF009 (frozen)
    level_db: float = 6.0
    masks: int = 1
    mask_fraction: float = 0.15
    attention: int = 64
    dropout: float = 0.4
    classes: int = 7


class SpeechEncoder(nn.Module):
    """Audio at 16 kHz, any level, float [n, samples], or [n, 2, samples] with speech (1) or none (0) in the second row
    -> (embedding [n, 2 * width], logits [n, classes]).

    Without the second row all frames but those of digital silence count as speech. The audio must not be longer than
    the encoder's positions, 30 s.
    """

    head: ClassVar[tuple[str, ...]] = ("mixture", "attend.", "classify.")

    def __init__(self, settings: SpeechEncoderSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or SpeechEncoderSettings()
        width = settings.encoder.width
        self.encoder = WhisperEncoder(settings.encoder)
        self.mixture = nn.Parameter(torch.zeros(settings.encoder.blocks))
        self.attend = nn.Sequential(nn.Linear(width, settings.attention), nn.Tanh(), nn.Linear(settings.attention, 1))
        self.classify = nn.Sequential(
            nn.BatchNorm1d(2 * width, affine=False),
            nn.Dropout(settings.dropout),
            nn.Linear(2 * width, settings.classes),
        )

    def extra_repr(self) -> str:
        # A checkpoint is bound to the printed form of its network, and some settings appear in no layer.
        return str(self.settings)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        waves, speech = (audio, audio != 0) if audio.ndim == 2 else (audio[:, 0], audio[:, 1])
        waves, speech = (at_least(rows, SAMPLES_PER_FRAME) for rows in (waves, speech.float()))
        samples = waves.shape[1] // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME
        waves, speech = waves[:, :samples], speech[:, :samples]
        waves = levelled(waves)
        if self.training:
            decibel = self.settings.level_db * (2 * torch.rand(len(waves), 1, device=waves.device) - 1)
            waves = waves * 10 ** (decibel / 20)
        return self.pool(self.encode(waves), framed(speech).mean(dim=2))

    def encode(self, waves: Tensor) -> Tensor:
        """Frames [n, samples // 320, width] of audio [n, samples] of the level `LEVEL`."""
        spectra = scaled(self.encoder.log_power(waves).clamp(min=LOUDEST - RANGE))
        if self.training:
            spectra = masked(spectra[:, None], count=self.settings.masks, fraction=self.settings.mask_fraction)[:, 0]
        weights = self.mixture.softmax(dim=0)
        outputs = self.encoder.blocks(spectra)
        return torch.stack([w * x for w, x in zip(weights, outputs, strict=True)]).sum(dim=0)

    def pool(self, frames: Tensor, speech: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding and logits of frames [n, frames, width]; speech [n, frames]: the fraction of each that is speech.

        Frames that are less than half speech are ignored, unless all are.
        """
        counts = speech >= 0.5
        counts = counts | ~counts.any(dim=1, keepdim=True)
        attention = self.attend(frames).masked_fill(~counts[:, :, None], _SILENT).softmax(dim=1)
        mean = (attention * frames).sum(dim=1)
        deviation = (attention * (frames - mean[:, None]).square()).sum(dim=1).clamp(min=1e-6).sqrt()
        embedding = torch.cat((mean, deviation), dim=1)
        return embedding, self.classify(embedding)


def build(classes: int = 7, *, tiny: bool = False) -> SpeechEncoder:
    """The network, or one of some thirty thousand parameters."""
    settings = SpeechEncoderSettings(_TINY, attention=8, dropout=0.2) if tiny else SpeechEncoderSettings()
    return SpeechEncoder(replace(settings, classes=classes))


def load_whisper(path: Path, settings: SpeechEncoderSettings | None = None) -> dict[str, Tensor]:
    """The tensors of the encoder from Whisper's published file, by their names in the network.

    Raises:
        WeightsError: the file cannot be read, or is that of another size of Whisper or another network.
    """
    tensors = load_published(path, (settings or SpeechEncoderSettings()).encoder)
    return {f"encoder.{name}": tensor for name, tensor in tensors.items()}


def framed(rows: Tensor) -> Tensor:
    """Rows [n, samples] as frames [n, frames, 320]."""
    # Not len(rows), which the export would make a constant.
    return rows.reshape(rows.shape[0], -1, SAMPLES_PER_FRAME)


def levelled(waves: Tensor) -> Tensor:
    """Audio [n, samples] with the level `LEVEL`: the mean power of its frames, weighted by itself, as in the voice.

    Silence stays silence.
    """
    power = framed(waves).square().mean(dim=2)
    loud = power.square().sum(dim=1, keepdim=True) / power.sum(dim=1, keepdim=True).clamp(min=_LEAST_POWER)
    return waves * LEVEL * loud.clamp(min=_LEAST_POWER).rsqrt()


class Frames(nn.Module):
    """The part of a network that is run on every chunk of a stream: `encode`, cut to the frames that are kept."""

    def __init__(self, net: SpeechEncoder, kept: slice) -> None:
        super().__init__()
        self.net, self.kept = net, kept

    def forward(self, waves: Tensor) -> Tensor:
        return self.net.encode(waves)[:, self.kept]


class Pool(nn.Module):
    """The part of a network that is run on every window of a stream."""

    def __init__(self, net: SpeechEncoder) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor, speech: Tensor) -> tuple[Tensor, Tensor]:
        return self.net.pool(frames, speech)
