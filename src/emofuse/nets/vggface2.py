"""VGGFace2 ResNet-50 as in keras-vggface (`RESNET50`), with the head that the paper puts on it.

Facts of keras-vggface (`keras_vggface/models.py`), kept here: the stride stands on the first 1x1
convolution of a stage and on its projection (Caffe style); conv1 has Keras's "same" padding, which for an even
size and stride 2 is 2 before and 3 after; the 3x3/2 max pool has no padding (112 -> 55); batch norm with eps 1e-3;
no convolution has a bias. Its 7x7 average pool is the global one at 224 pixels.

Source: paper, 2.1.1: the last layer is cut, dense 1024 and dense 7 are put on the 2048 pooled features; the SVM
takes means and deviations of the 1024. Cao et al., VGGFace2, FG 2018.
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
from emofuse.nets.formats.matching import Source, from_hwio, take
from emofuse.nets.layers import check_layer, collect

_EXPANSION = 4
_EPS = 1e-3


@dataclass(frozen=True)
class VGGFace2Settings:
    """Blocks and bottleneck widths of the four stages, the head, and which layer is the embedding.

    size must be even. embedding: one of `VGGFace2.layer_names`.
    """

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    stem: int = 64
    hidden: int = 1024
    dropout: float = 0.5
    classes: int = 7
    size: int = 224
    embedding: str = "dense"


class VGGFace2(nn.Module):
    """Faces float [n, 3, 224, 224], preprocessed -> (embedding [n, 1024], logits [n, classes]).

    The embedding is the dense layer after its ReLU, before dropout.

    Raises:
        SettingsError: there is no such embedding layer.
    """

    head: ClassVar[tuple[str, ...]] = ("dense.", "classify.")

    def __init__(self, settings: VGGFace2Settings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or VGGFace2Settings()
        stages = [f"conv{n}" for n in range(2, 2 + len(settings.widths))]
        self.layer_names = ("conv1", "pool1", *stages, "pool", "dense", "logits")
        check_layer(settings.embedding, self.layer_names, net="vggface2")
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

    @classmethod
    def tiny(cls, classes: int = 7) -> VGGFace2:
        """A net of some ten thousand parameters on faces of 64 pixels with the same interface, for tests."""
        return cls(
            VGGFace2Settings(blocks=(2, 1), widths=(4, 8), stem=16, hidden=12, classes=classes, size=64),
        )

    @classmethod
    def small(cls, classes: int = 7) -> VGGFace2:
        """A net of 150,000 parameters on faces of 96 pixels, which learns from some thousand faces in a minute."""
        settings = VGGFace2Settings((1, 1, 1), (16, 32, 64), stem=32, hidden=64, dropout=0.2, classes=classes, size=96)
        net = cls(settings)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.1  # statistics that need hundreds of steps to settle would come too late
        return net

    def steps(self, faces: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Name and output of each layer of `layer_names`, one by one."""
        x = torch.relu(self.stem(self.pad(faces)))
        yield "conv1", x
        x = functional.max_pool2d(x, 3, 2)
        yield "pool1", x
        for n, stage in enumerate(self.stages, start=2):
            x = stage(x)
            yield f"conv{n}", x
        x = x.mean(dim=(2, 3))
        yield "pool", x
        x = torch.relu(self.dense(x))
        yield "dense", x
        yield "logits", self.classify(self.dropout(x))

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding, logits = collect(self.steps(faces), (self.settings.embedding, "logits"))
        return embedding, logits

    def embed(self, faces: Tensor, *, layer: str | None = None) -> Tensor:
        """One layer by its name, the settings' embedding unless said.

        "dense" [n, 1024], "pool" [n, 2048], the stages "conv2" [n, 256, 55, 55] to "conv5" [n, 2048, 7, 7].

        Raises:
            SettingsError: there is no such layer.
        """
        layer = layer or self.settings.embedding
        check_layer(layer, self.layer_names, net="vggface2")
        return collect(self.steps(faces), (layer,))[0]


def build(classes: int = 7, *, tiny: bool = False) -> VGGFace2:
    """The published architecture, or a small one; see `emofuse.nets.catalogue.Network`."""
    return VGGFace2.small(classes) if tiny else VGGFace2(VGGFace2Settings(classes=classes))


def load_keras(path: Path, settings: VGGFace2Settings | None = None) -> dict[str, Tensor]:
    """The tensors of the net below its head from `rcmalli_vggface_tf_notop_resnet50.h5`, by their names in the net.

    The file with the classifier of 8631 identities will do too; that classifier is left out.

    Raises:
        WeightsError: the file cannot be read, or is not of this net.
    """
    with torch.device("meta"):
        net = VGGFace2(settings)
    wanted = {}
    for prefix, layer in _keras_names(net):
        out, into, height, width = net.get_parameter(f"{prefix}.conv.weight").shape
        wanted[f"{prefix}.conv.weight"] = Source(f"{layer}/kernel", (height, width, into, out), from_hwio)
        for tensor, array in keras.BATCH_NORM.items():
            wanted[f"{prefix}.bn.{tensor}"] = Source(f"{layer}/bn/{array}", (out,))
    arrays = keras.read(path)
    tensors = take(
        arrays, wanted, path=path, what="the VGGFace2 ResNet-50", spare=lambda name: name.startswith("classifier/")
    )
    counts = (k for k in net.state_dict() if k.endswith("num_batches_tracked"))
    return tensors | {k: torch.zeros((), dtype=torch.int64) for k in counts}


def _keras_names(net: VGGFace2) -> Iterator[tuple[str, str]]:
    parts = {"reduce": "1x1_reduce", "middle": "3x3", "increase": "1x1_increase", "project": "1x1_proj"}
    yield "stem", "conv1/7x7_s2"
    for stage, blocks in enumerate(net.settings.blocks):
        for block in range(blocks):
            for part, name in parts.items():
                if part != "project" or block == 0:
                    yield f"stages.{stage}.{block}.{part}", f"conv{stage + 2}_{block + 1}_{name}"


class _ConvNorm(nn.Module):
    def __init__(self, before: int, width: int, kernel: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, width, kernel, stride, padding, bias=False)
        # Keras's momentum of 0.99 is 0.01 here.
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
