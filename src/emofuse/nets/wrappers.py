"""Layers in front of networks on faces, networks for two sets of labels, and ensembles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from emofuse.errors import SettingsError


class Resize(nn.Module):
    """Faces float [n, channels, any, any] -> [n, channels, size, size], bilinearly.

    A network on resized faces is `nn.Sequential(Resize(size), net)`. Mean and scale may be applied before: resizing is
    linear.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, faces: Tensor) -> Tensor:
        return functional.interpolate(faces, (self.size, self.size), mode="bilinear", align_corners=False)


class Normalise(nn.Module):
    """Faces float [n, channels, height, width] -> (faces - mean) / scale, with one mean and scale per channel.

    Grey faces [n, 1, height, width] are repeated for every channel.
    """

    def __init__(self, mean: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("scale", torch.tensor(scale).view(1, -1, 1, 1))
        self.mean: Tensor
        self.scale: Tensor

    def forward(self, faces: Tensor) -> Tensor:
        return (faces - self.mean) / self.scale


class Standardise(nn.Module):
    """Grey faces float [n, 1, height, width] of any scale, each with mean 128 and deviation 64."""

    def forward(self, faces: Tensor) -> Tensor:
        return 128 + 64 * standardised(faces)


def standardised(faces: Tensor) -> Tensor:
    """Each face with mean 0 and deviation 1: brightness and contrast of a recording carry no emotion.

    A uniform face becomes 0 everywhere.
    """
    centred = faces - faces.mean(dim=(1, 2, 3), keepdim=True)
    deviation = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    # A uniform image has deviation 0; the floor keeps the result at zero instead of infinity.
    return centred / (deviation + 1e-3)


class TwoLabelSets(nn.Module):
    """Grey faces float [n, 1, size, size] of any scale -> (embedding [n, features], logits [n, 2, classes]).

    The logits are for two sets of labels of the same faces.

    net: takes standardised colour faces, as with ImageNet's mean and deviation, and has twice as many logits as there
        are classes.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding, logits = self.net(standardised(faces).expand(-1, 3, -1, -1))
        return embedding, torch.stack(logits.chunk(2, dim=1), dim=1)


class Ensemble(nn.Module):
    """Several networks on the same input -> (concatenated embeddings, log probabilities [n, classes]).

    members: return logits [n, classes], or [n, 2, classes] like `TwoLabelSets`.
    weights: for each set of labels, the weight of each member; they sum to one.
    mixture: the weight of each set of labels in the mixture of their probabilities; they sum to one.
    Raises:
        SettingsError: weights are missing, negative, or do not sum to one.
    """

    def __init__(
        self, members: Sequence[nn.Module], weights: Sequence[Sequence[float]], mixture: Sequence[float] = (1.0,)
    ) -> None:
        super().__init__()
        for each, count, of in (
            (mixture, len(weights), "label sets"),
            *((w, len(members), "members") for w in weights),
        ):
            if len(each) != count or abs(sum(each) - 1) > 1e-6 or min(each) < 0:
                raise SettingsError(
                    f"ensemble of {count} {of}: weights are {list(each)}; give one for each, with the sum 1."
                )
        self.members, self.weights = nn.ModuleList(members), tuple(map(tuple, weights))
        self.mixture = tuple(mixture)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        outputs = [member(inputs) for member in self.members]
        weighted = [
            math.log(part) + _log_mean([logits for _, logits in outputs], weights, label_set)
            for label_set, (weights, part) in enumerate(zip(self.weights, self.mixture, strict=True))
            if part
        ]
        mixed = torch.stack(weighted)
        # Not `logsumexp`: OpenVINO 2026.4 reads its ONNX operator of opset 17 as a sum over all axes.
        largest = mixed.amax(dim=0)
        logits = largest + (mixed - largest).exp().sum(dim=0).log()
        return torch.cat([embedding for embedding, _ in outputs], dim=1), logits


def ensemble_probabilities(
    outputs: Sequence[NDArray[np.float32]], weights: Sequence[Sequence[float]]
) -> NDArray[np.float32]:
    """Probabilities of an ensemble with these weights, for each set of labels: float32 [n, label sets, classes].

    outputs: logits of each member, [n, classes] or [n, 2, classes].
    """
    tensors = [torch.from_numpy(logits) for logits in outputs]
    found = [_log_mean(tensors, each, label_set).exp() for label_set, each in enumerate(weights)]
    return np.asarray(torch.stack(found, dim=1).numpy(), np.float32)


def _log_mean(outputs: Sequence[Tensor], weights: Sequence[float], label_set: int) -> Tensor:
    """Log probabilities [n, classes]: the weighted mean of the members' log probabilities for one set of labels."""
    logits = [each if each.ndim == 2 else each[:, label_set] for each in outputs]
    # Logits differ from log probabilities by a constant over the classes, which the last softmax removes.
    weighted = [weight * each for weight, each in zip(weights, logits, strict=True) if weight]
    return torch.stack(weighted).sum(dim=0).log_softmax(dim=1)
