"""The face network of the default bundle: MobileFaceNet with one head for expressions and one for identities.

Both heads share everything up to the last 7x7 map (at 112 pixels), so that knowing who is who costs hardly more than
knowing the expression. Both start from the published head, which was trained on identities.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.nets import mobilefacenet
from emofuse.nets.mobilefacenet import MobileFaceNet, MobileFaceNetSettings


class ExpressionNet(nn.Module):
    """Preprocessed faces float [n, 3, size, size] -> (embedding [n, 128], logits [n, classes], identity [n, 128]).

    The embedding is the one of the expression. Compare identities by cosine.

    expression: everything but the head for identities.
    """

    def __init__(self, settings: MobileFaceNetSettings) -> None:
        super().__init__()
        self.expression, own = MobileFaceNet(settings), MobileFaceNet(settings)
        self.gdconv, self.conv3, self.bn = own.gdconv, own.conv3, own.bn

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shared = self.expression.map(faces)
        embedding, logits = self.expression.classified(shared)
        identity = self.bn(self.conv3(self.gdconv(shared))).flatten(1)
        return embedding, logits, identity


class IdentityNet(nn.Module):
    """Preprocessed faces float [n, 3, size, size] -> (identity [n, 128], logits [n, classes]) of an `ExpressionNet`."""

    def __init__(self, net: ExpressionNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        _, logits, identity = self.net(faces)
        return identity, logits


class WhitenedNet(nn.Module):
    """An `ExpressionNet` whose identities have the length 1, are centred, and multiplied with a matrix.

    mean: float [128]. matrix: float [128, 128].
    """

    def __init__(self, net: ExpressionNet, mean: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.net = net
        self.whiten = nn.Linear(len(mean), len(mean))
        with torch.no_grad():
            self.whiten.weight.copy_(matrix.T)
            self.whiten.bias.copy_(-mean @ matrix)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        embedding, logits, identity = self.net(faces)
        return embedding, logits, self.whiten(functional.normalize(identity))


def of_identities(published: MobileFaceNet) -> ExpressionNet:
    """A network whose weights below the classifier are those of MobileFaceNet, its head twice."""
    net = ExpressionNet(published.settings)
    net.expression.load_state_dict(published.state_dict())
    for name in ("gdconv", "conv3", "bn"):
        getattr(net, name).load_state_dict(getattr(published, name).state_dict())
    return net


def at_size(net: ExpressionNet, size: int) -> ExpressionNet:
    """The same network for faces of another size, a multiple of 16, with copied weights."""
    other = ExpressionNet(replace(net.expression.settings, size=size))
    tensors = dict(net.state_dict())
    for name in ("expression.gdconv.depthwise.weight", "gdconv.depthwise.weight"):
        tensors[name] = mobilefacenet.resized_kernel(tensors[name], size // 16)
    other.load_state_dict(tensors)
    return other
