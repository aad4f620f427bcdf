"""Emotion from speech on the first blocks of a Whisper encoder: frames of 20 ms, and a linear layer that pools any.

The network has two parts, which are exported separately, so that a stream encodes every frame once and all windows pool
the same frames. `encode` converts audio of one level to frames: the outputs of all blocks. `pool` converts frames to
logits: a linear layer on their mean and deviation over the frames with speech.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emofuse.core.chunks import LEVEL, SAMPLES_PER_FRAME
from emofuse.nets.logmel import LogMelSettings, at_least
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
_LEAST_POWER = 1e-10
_TINY = WhisperEncoderSettings(
    blocks=2, width=32, heads=2, positions=500, spectrum=LogMelSettings(window=400, hop=160, mels=16, fmin=0.0)
)


@dataclass(frozen=True)
class SpeechEncoderSettings:
    """The encoder and the number of classes."""

    encoder: WhisperEncoderSettings = WhisperEncoderSettings(blocks=3)  # noqa: RUF009 (frozen)
    classes: int = 7


class SpeechEncoder(nn.Module):
    """Audio at 16 kHz, any level, float [n, samples] -> (embedding [n, 2 * blocks * width], logits [n, classes]).

    All frames but those of digital silence count as speech. The audio must not be longer than the encoder's positions,
    30 s.
    """

    head: ClassVar[tuple[str, ...]] = ("mean", "deviation", "classify.")
    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: SpeechEncoderSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or SpeechEncoderSettings()
        self.encoder = WhisperEncoder(settings.encoder)
        features = 2 * settings.encoder.blocks * settings.encoder.width
        self.register_buffer("mean", torch.zeros(features))  # of the embeddings that the linear layer was fitted on
        self.register_buffer("deviation", torch.ones(features))
        self.classify = nn.Linear(features, settings.classes)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        audio = at_least(audio, SAMPLES_PER_FRAME)
        audio = audio[:, : audio.shape[1] // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME]
        return self.pool(self.encode(levelled(audio)), framed(audio != 0).float().mean(dim=2))

    def encode(self, waves: Tensor) -> Tensor:
        """Frames [n, samples // 320, blocks * width] of audio [n, samples] of the level `LEVEL`."""
        return torch.cat(self.encoder.blocks(causal_spectra(self.encoder, waves)), dim=2)

    def pool(self, frames: Tensor, speech: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding and logits of frames [n, frames, blocks * width].

        Frames that are less than half speech are ignored, unless all are.

        Args:
            speech: [n, frames], the fraction of each frame that is speech.
        """
        counts = speech >= 0.5
        counts = counts | ~counts.any(dim=1, keepdim=True)
        weights = counts / counts.sum(dim=1, keepdim=True)
        mean = (weights[:, :, None] * frames).sum(dim=1)
        variance = (weights[:, :, None] * (frames - mean[:, None]).square()).sum(dim=1)
        embedding = torch.cat((mean, variance.clamp(min=1e-6).sqrt()), dim=1)
        return embedding, self.classify((embedding - self.mean) / self.deviation)

    def set_linear(
        self,
        mean: NDArray[np.float32],
        deviation: NDArray[np.float32],
        coefficients: NDArray[np.float32],
        intercepts: NDArray[np.float32],
    ) -> None:
        """Replace the linear layer: logits = coefficients @ (embedding - mean) / deviation + intercepts."""
        targets = (self.mean, self.deviation, self.classify.weight, self.classify.bias)
        with torch.no_grad():
            for target, values in zip(targets, (mean, deviation, coefficients, intercepts), strict=True):
                target.copy_(torch.from_numpy(values))


def build(classes: int = 7, *, tiny: bool = False) -> SpeechEncoder:
    """The network, or one of some thirty thousand parameters."""
    settings = SpeechEncoderSettings(_TINY) if tiny else SpeechEncoderSettings()
    return SpeechEncoder(replace(settings, classes=classes))


def load_whisper(path: Path, settings: SpeechEncoderSettings | None = None) -> dict[str, Tensor]:
    """The tensors of the encoder from Whisper's published file, by their names in the network.

    Raises:
        WeightsError: the file cannot be read, or is that of another size of Whisper or another network.
    """
    tensors = load_published(path, (settings or SpeechEncoderSettings()).encoder)
    return {f"encoder.{name}": tensor for name, tensor in tensors.items()}


def causal_spectra(encoder: WhisperEncoder, waves: Tensor) -> Tensor:
    """Scaled spectra of audio [n, samples] of the level `LEVEL`, clamped at one power instead of below the maximum."""
    return scaled(encoder.log_power(waves).clamp(min=LOUDEST - RANGE))


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
