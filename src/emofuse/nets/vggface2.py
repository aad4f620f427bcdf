"""VGGFace2 ResNet-50 as in keras-vggface (`RESNET50`), with the classifier that the paper adds.

Details of keras-vggface (`keras_vggface/models.py`) that are kept: the first 1x1 convolution of a stage and its
projection have the stride (Caffe style); conv1 has Keras's "same" padding, which for an even size and stride 2 is 2
before and 3 after; the 3x3/2 max pool has no padding (112 -> 55); batch norm has eps 1e-3; convolutions have no bias.
Its 7x7 average pool is global at 224 pixels.

Source: paper, 2.1.1: the last layer is removed, dense layers of 1024 and 7 follow the 2048 pooled features; the SVM
uses means and standard deviations of the 1024. Cao et al., VGGFace2, FG 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.nets.formats import keras
from emofuse.nets.formats.matching import TensorSource, from_hwio, take

_EXPANSION = 4
_EPS = 1e-3


@dataclass(frozen=True)
class VGGFace2Settings:
    """Blocks and bottleneck widths of the stages, and the classifier. `size`, in pixels, must be even."""

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    stem: int = 64
    hidden: int = 1024
    dropout: float = 0.5
    classes: int = 7
    size: int = 224


class VGGFace2(nn.Module):
    """Preprocessed faces float [n, 3, 224, 224] -> (embedding [n, 1024], logits [n, classes]).

    The embedding is the output of the dense layer after its ReLU, before dropout.
    """

    head: ClassVar[tuple[str, ...]] = ("dense.", "classify.")

    def __init__(self, settings: VGGFace2Settings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or VGGFace2Settings()
        self.pad = nn.ZeroPad2d((2, 3, 2, 3))
        self.stem = _ConvNorm(3, settings.stem, 7, stride=2, padding=0)
        inner = (settings.stem, *(_EXPANSION * w for w in settings.widths))
        self.stages = nn.Sequential(
            *(
                _stage(before, width, blocks, stride=1 if n == 0 else 2)
                for n, (before, width, blocks) in enumerate(zip(inner, settings.widths, settings.blocks, strict=False))
            )
        )
        self.dense = nn.Linear(inner[-1], settings.hidden)
        self.dropout = nn.Dropout(settings.dropout)
        self.classify = nn.Linear(settings.hidden, settings.classes)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.max_pool2d(torch.relu(self.stem(self.pad(faces))), 3, 2)
        pooled = self.stages(x).mean(dim=(2, 3))
        embedding = torch.relu(self.dense(pooled))
        return embedding, self.classify(self.dropout(embedding))


def build(classes: int = 7, *, tiny: bool = False) -> VGGFace2:
    """The published architecture, or one of 150,000 parameters that trains on a few thousand faces in a minute."""
    if not tiny:
        return VGGFace2(VGGFace2Settings(classes=classes))
    net = VGGFace2(VGGFace2Settings((1, 1, 1), (16, 32, 64), stem=32, hidden=64, dropout=0.2, classes=classes, size=96))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1  # a short training has too few steps for running statistics with 0.01 to settle
    return net


def load_keras(path: Path, settings: VGGFace2Settings | None = None) -> dict[str, Tensor]:
    """The tensors below the head from `rcmalli_vggface_tf_notop_resnet50.h5`, by their names in the network.

    The file with the classifier of 8631 identities is accepted too; its classifier is ignored.

    Raises:
        WeightsError: the file cannot be read, or belongs to another network.
    """
    with torch.device("meta"):
        net = VGGFace2(settings)
    wanted = {}
    for prefix, layer in _keras_names(net):
        out, into, height, width = net.get_parameter(f"{prefix}.conv.weight").shape
        wanted[f"{prefix}.conv.weight"] = TensorSource(f"{layer}/kernel", (height, width, into, out), from_hwio)
        for tensor, array in keras.BATCH_NORM.items():
            wanted[f"{prefix}.bn.{tensor}"] = TensorSource(f"{layer}/bn/{array}", (out,))
    arrays = keras.read(path)
    tensors = take(
        arrays, wanted, path=path, what="the VGGFace2 ResNet-50", ignored=lambda name: name.startswith("classifier/")
    )
    counts = (k for k in net.state_dict() if k.endswith("num_batches_tracked"))
    return tensors | {k: torch.zeros((), dtype=torch.int64) for k in counts}


def _keras_names(net: VGGFace2) -> Iterator[tuple[str, str]]:
    suffixes = {"reduce": "1x1_reduce", "middle": "3x3", "increase": "1x1_increase", "project": "1x1_proj"}
    yield "stem", "conv1/7x7_s2"
    for stage, blocks in enumerate(net.settings.blocks):
        for block in range(blocks):
            for layer, suffix in suffixes.items():
                if layer != "project" or block == 0:
                    yield f"stages.{stage}.{block}.{layer}", f"conv{stage + 2}_{block + 1}_{suffix}"


class _ConvNorm(nn.Module):
    def __init__(self, before: int, width: int, kernel: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, width, kernel, stride, padding, bias=False)
        # Keras's momentum of 0.99 is 0.01 in torch.
        self.bn = nn.BatchNorm2d(width, eps=_EPS, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.bn(self.conv(x))
        return normalised


class _Bottleneck(nn.Module):
    def __init__(self, before: int, width: int, *, stride: int, project: bool) -> None:
        super().__init__()
        after = _EXPANSION * width
        self.reduce = _ConvNorm(before, width, 1, stride=stride)
        self.middle = _ConvNorm(width, width, 3, padding=1)
        self.increase = _ConvNorm(width, after, 1)
        self.project = _ConvNorm(before, after, 1, stride=stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.middle(torch.relu(self.reduce(x))))
        return torch.relu(self.increase(inner) + self.project(x))


def _stage(before: int, width: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = _Bottleneck(before, width, stride=stride, project=True)
    others = (_Bottleneck(_EXPANSION * width, width, stride=1, project=False) for _ in range(blocks - 1))
    return nn.Sequential(first, *others)
