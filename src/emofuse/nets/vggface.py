"""VGG-Face, the 16-layer VGG network for faces (MatConvNet), and VGG-FER, the same network fine-tuned on FER-2013.

MatConvNet counts 37 layers: 13 convolutions and their ReLUs, 5 pools, fc6, relu6, fc7, relu7, fc8, prob. The average
image that it subtracts (`meta.normalization.averageImage`) is part of the weights, so the network subtracts it itself
and takes plain RGB pixels.

Source: paper, 2.1.2: "the response of the 33rd layer, the lowest-level 4096-dimensional descriptor"; MatConvNet's
`res(33)` is the output of layer 32, fc6 before its ReLU. Parkhi et al., Deep Face Recognition, BMVC 2015.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emofuse.errors import SettingsError, WeightsError
from emofuse.nets.formats import matconvnet
from emofuse.nets.formats.matching import TensorSource, from_hwio, take

# Mean red, green and blue of the published network; a file's own average image replaces it.
AVERAGE_COLOUR = (129.1863, 104.7624, 93.5940)

_Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class VGGFaceSettings:
    """Width and number of convolutions of each block, width of fc6 and fc7, and the layer that is the embedding.

    embedding: "fc6" (before its ReLU, like the authors' features) or "relu6".
    size: in pixels, a multiple of 2 to the power of the number of blocks.

    Raises:
        SettingsError: another embedding.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    convolutions: tuple[int, ...] = (2, 2, 3, 3, 3)
    hidden: int = 4096
    dropout: float = 0.5
    classes: int = 7
    size: int = 224
    embedding: str = "fc6"

    def __post_init__(self) -> None:
        if self.embedding not in ("fc6", "relu6"):
            raise SettingsError(f"vggface: embedding is {self.embedding!r}; choose fc6 or relu6.")


class VGGFace(nn.Module):
    """RGB faces float [n, 3, 224, 224], pixels 0 to 255 -> (embedding [n, 4096], logits [n, classes])."""

    head: ClassVar[tuple[str, ...]] = ("layers.fc8.",)

    def __init__(self, settings: VGGFaceSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or VGGFaceSettings()
        colour = torch.tensor(AVERAGE_COLOUR).view(3, 1, 1)
        self.register_buffer("average", colour.expand(3, settings.size, settings.size).clone())
        self.average: Tensor
        self.layers = nn.ModuleDict(dict(_layers(settings)))

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        x = embedding = faces - self.average
        for name, layer in self.layers.items():
            x = layer(x.flatten(1) if isinstance(layer, nn.Linear) else x)
            if name == self.settings.embedding:
                embedding = x
        return embedding, x


def build(classes: int = 7, *, tiny: bool = False) -> VGGFace:
    """The published architecture, or one of 230,000 parameters that trains on a few thousand faces in a minute."""
    small = VGGFaceSettings((16, 32, 64), (1, 1, 1), hidden=64, dropout=0.2, classes=classes, size=56)
    return VGGFace(small if tiny else VGGFaceSettings(classes=classes))


def _layers(settings: VGGFaceSettings) -> Iterator[tuple[str, nn.Module]]:
    before = 3
    for block, (width, count) in enumerate(zip(settings.widths, settings.convolutions, strict=True), start=1):
        for n in range(1, count + 1):
            yield f"conv{block}_{n}", nn.Conv2d(before, width, 3, padding=1)
            yield f"relu{block}_{n}", nn.ReLU()
            before = width
        yield f"pool{block}", nn.MaxPool2d(2)
    inner = before * (settings.size >> len(settings.widths)) ** 2
    # The names are MatConvNet's, which numbers the dense layers after the five blocks.
    for n, (width, after) in enumerate(pairwise((inner, settings.hidden, settings.hidden)), start=6):
        yield f"fc{n}", nn.Linear(width, after)
        yield f"relu{n}", nn.Sequential(nn.ReLU(), nn.Dropout(settings.dropout))
    yield "fc8", nn.Linear(settings.hidden, settings.classes)


def load_matconvnet(path: Path, settings: VGGFaceSettings | None = None) -> dict[str, Tensor]:
    """All tensors from `vgg_face.mat` or `vggfer.mat` (MATLAB 5 to 7 or 7.3), by their names in the network.

    `settings.classes` must be that of the file: 2622 identities in VGG-Face, 7 emotions in VGG-FER. The last layer may
    have any name. The average image may be one colour or an image. (The authors' code takes its first three values for
    the means of red, green and blue, which for an image would be three pixels; here an image is an image.)

    Raises:
        WeightsError: the file cannot be read, or belongs to another network.
    """
    with torch.device("meta"):
        net = VGGFace(settings)
    arrays = _classifier_as_fc8(matconvnet.read(path), tuple(net.layers))
    wanted = {}
    for name, layer in net.layers.items():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            shape = _filters_shape(net, name, layer)
            pad = shape[0] // 2 if isinstance(layer, nn.Conv2d) else 0
            _check_geometry(arrays, name, {"stride": 1, "pad": pad}, path=path)
            convert = _from_fc if isinstance(layer, nn.Linear) else from_hwio
            wanted[f"layers.{name}.weight"] = TensorSource(f"{name}/filters", shape, convert)
            wanted[f"layers.{name}.bias"] = TensorSource(f"{name}/biases", shape[3:])
        elif isinstance(layer, nn.MaxPool2d):
            _check_geometry(arrays, name, {"pool": 2, "stride": 2}, path=path)
    tensors = take(arrays, wanted, path=path, what="VGG-Face", ignored=_is_ignored)
    return tensors | {"average": _average(arrays, net.settings.size, path)}


def _filters_shape(net: VGGFace, name: str, layer: nn.Conv2d | nn.Linear) -> tuple[int, int, int, int]:
    # MatConvNet stores a dense layer as a convolution over the whole remaining image.
    side = net.settings.size >> len(net.settings.widths) if name == "fc6" else 1
    if isinstance(layer, nn.Conv2d):
        return (*layer.kernel_size, layer.in_channels, layer.out_channels)  # type: ignore[return-value]
    return side, side, layer.in_features // side**2, layer.out_features


def _from_fc(filters: NDArray[np.float32]) -> NDArray[np.float32]:
    return from_hwio(filters).reshape(filters.shape[3], -1)


def _classifier_as_fc8(arrays: _Arrays, layers: tuple[str, ...]) -> _Arrays:
    last = [n.removesuffix("/filters") for n in arrays if n.endswith("/filters")][-1:]
    if not last or last[0] in layers or "fc8/filters" in arrays:
        return arrays
    old = f"{last[0]}/"
    return {f"fc8/{n.removeprefix(old)}" if n.startswith(old) else n: a for n, a in arrays.items()}


def _check_geometry(arrays: _Arrays, name: str, geometry: Mapping[str, int], *, path: Path) -> None:
    for field, expected in geometry.items():
        found = arrays.get(f"{name}/{field}")
        if found is not None and (found != expected).any():
            raise WeightsError(
                f"{path}: not VGG-Face: {field} of {name} is {found.ravel().tolist()}, expected {expected}."
            )


def _is_ignored(name: str) -> bool:
    return name == matconvnet.AVERAGE or name.endswith(matconvnet.GEOMETRY)


def _average(arrays: _Arrays, size: int, path: Path) -> Tensor:
    average = arrays.get(matconvnet.AVERAGE)
    if average is None:
        raise WeightsError(f"{path}: no average image (meta.normalization.averageImage); get the file again.")
    colour = average.reshape(1, 1, 3) if average.size == 3 else average
    if colour.shape not in ((1, 1, 3), (size, size, 3)):
        raise WeightsError(
            f"{path}: the average image has shape {list(average.shape)}, expected 3 values or {[size, size, 3]}."
        )
    image = np.broadcast_to(colour, (size, size, 3)).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(image, np.float32))
