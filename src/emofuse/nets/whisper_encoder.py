"""The encoder of OpenAI's Whisper, from audio to the output of each of its first blocks, with the published names.

Log-mel spectra as published: 80 Slaney bands up to 8 kHz, windows of 25 ms every 10 ms, log10 with a floor of 8 below
the maximum, then (x + 4) / 4. Two convolutions with GELU, the second with stride 2; fixed sinusoidal positions; blocks
of attention and a dense layer, each behind a layer norm. Any number of first blocks, and any length up to that of the
positions (30 s), which are cut to it. The layer norm after the last block is left out.

Source: Radford et al. 2022, Robust Speech Recognition via Large-Scale Weak Supervision, and its published code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.errors import SettingsError
from emofuse.nets.formats import safetensors_file
from emofuse.nets.formats.matching import TensorSource, take
from emofuse.nets.logmel import LogMel, LogMelSettings, at_least, decibels

WHISPER_SPECTRUM = LogMelSettings(window=400, hop=160, mels=80, fmin=0.0, fmax=8_000.0)
RANGE = 8.0  # of log10 power below the maximum

_PREFIX = "model.encoder."
# Parts of the published file that are not needed: the decoder, and the encoder's later blocks and last layer norm.
_UNUSED = re.compile(r"model\.decoder\.|proj_out\.|model\.encoder\.layer_norm\.")
_BLOCK = re.compile(r"model\.encoder\.layers\.(\d+)\.")


@dataclass(frozen=True)
class WhisperEncoderSettings:
    """Sizes of the encoder; the defaults are those of tiny.en, with two of its four blocks.

    positions: the greatest number of frames of 20 ms.

    Raises:
        SettingsError: there is no block, or the width cannot be divided among the heads.
    """

    blocks: int = 2
    width: int = 384
    heads: int = 6
    positions: int = 1500
    spectrum: LogMelSettings = WHISPER_SPECTRUM

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.width % self.heads:
            raise SettingsError(
                f"Whisper encoder: {self.blocks} blocks of width {self.width} with {self.heads} heads; give at least "
                "one block, and a width that is a multiple of the heads."
            )


class WhisperEncoder(nn.Module):
    """Waveforms float [n, samples] at 16 kHz -> the outputs of the blocks, each float [n, frames, width].

    There is a frame for each 20 ms, also for an incomplete last one of at least 10 ms; shorter audio is padded.
    """

    def __init__(self, settings: WhisperEncoderSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or WhisperEncoderSettings()
        width = settings.width
        self.spectrum = LogMel(settings.spectrum)
        self.conv1 = nn.Conv1d(settings.spectrum.mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.embed_positions = _Positions(settings.positions, width)
        self.layers = nn.ModuleList(_Block(width, settings.heads) for _ in range(settings.blocks))

    def forward(self, waves: Tensor) -> list[Tensor]:
        return self.blocks(relative_to_maximum(self.log_power(at_least(waves, self.settings.spectrum.hop))))

    def log_power(self, waves: Tensor) -> Tensor:
        """Log10 of the power [n, samples // 160, mels] of each band."""
        # The published spectra leave out the last window, which is centred on the end of the audio.
        return decibels(self.spectrum, waves)[:, : waves.shape[1] // self.settings.spectrum.hop] / 10

    def blocks(self, spectra: Tensor) -> list[Tensor]:
        """The output of each block for scaled spectra [n, steps, mels].

        Raises:
            SettingsError: there are more frames than positions.
        """
        x = functional.gelu(self.conv1(spectra.transpose(1, 2)))
        x = functional.gelu(self.conv2(x)).transpose(1, 2)
        positions: Tensor = self.embed_positions.weight
        if x.shape[1] > len(positions):
            raise SettingsError(
                f"Whisper encoder: {x.shape[1]} frames of 20 ms, but there are positions for {len(positions)}; divide "
                "the audio into shorter windows."
            )
        x = x + positions[: x.shape[1]]
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return outputs


def relative_to_maximum(log_power: Tensor) -> Tensor:
    """Scaled spectra of log powers [n, steps, mels], clamped relative to the maximum of each row as published."""
    return scaled(torch.maximum(log_power, log_power.amax(dim=(1, 2), keepdim=True) - RANGE))


def scaled(log_power: Tensor) -> Tensor:
    """The input of the first convolution for clamped log powers."""
    return (log_power + 4) / 4


def load_published(path: Path, settings: WhisperEncoderSettings | None = None) -> dict[str, Tensor]:
    """The tensors of the encoder from the published `model.safetensors`, by their names in the network.

    The file may contain the whole model, or the encoder with as many blocks as needed or more. It does not contain the
    filters of the spectra, which are computed.

    Raises:
        WeightsError: the file cannot be read, or is that of another size of Whisper or another network.
    """
    with torch.device("meta"):
        net = WhisperEncoder(settings)
    filters = {f"spectrum.{k}": v for k, v in LogMel(net.settings.spectrum).state_dict().items()}
    wanted = {k: TensorSource(_PREFIX + k, tuple(v.shape)) for k, v in net.state_dict().items() if k not in filters}
    what = f"a Whisper encoder of width {net.settings.width} with at least {net.settings.blocks} blocks"
    unused = partial(_unused, blocks=net.settings.blocks)
    return filters | take(safetensors_file.read(path), wanted, path=path, what=what, ignored=unused)


def _unused(name: str, *, blocks: int) -> bool:
    block = _BLOCK.match(name)
    return bool(_UNUSED.match(name)) or (block is not None and int(block[1]) >= blocks)


class _Positions(nn.Module):
    """Sinusoids of each position, which are not trained; with the name of the published tensor."""

    weight: Tensor

    def __init__(self, positions: int, width: int) -> None:
        super().__init__()
        half = width // 2
        rates = torch.exp(-torch.log(torch.tensor(10_000.0)) / max(half - 1, 1) * torch.arange(half))
        angles = torch.arange(positions)[:, None] * rates
        self.register_buffer("weight", torch.cat((torch.sin(angles), torch.cos(angles)), dim=1))


class _Attention(nn.Module):
    """Attention of all frames to all frames, [n, frames, width] to the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (
            project(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = functional.scaled_dot_product_attention(queries, keys, values)
        out: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return out


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.self_attn = _Attention(width, heads)
        self.final_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        inner: Tensor = self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x))))
        return x + inner
