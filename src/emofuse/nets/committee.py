"""Several nets that judge as one, and a net that answers as several annotators would."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from emofuse.errors import SettingsError
from emofuse.nets.grey import StandardisedGrey


class TwoOpinions(nn.Module):
    """Grey faces float [n, 1, size, size] -> (embedding [n, features], logits [n, 2, classes]): one answer for each of
    two sets of labels of the same faces.

    net: on colour faces, with twice as many logits as there are classes.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = StandardisedGrey(net)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding, logits = self.net(faces)
        return embedding, torch.stack(logits.chunk(2, dim=1), dim=1)


class OneOpinion(nn.Module):
    """The answer of a `TwoOpinions` by one of the two sets of labels: logits [n, classes]."""

    def __init__(self, net: TwoOpinions, which: int, *, classes: int = 7) -> None:
        super().__init__()
        self.net, self.first, self.classes = net.net, which * classes, classes

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding, logits = self.net(faces)
        return embedding, logits[:, self.first : self.first + self.classes]


class Committee(nn.Module):
    """What its members say of the same input, as one: embeddings side by side, and the weighted mean of the logarithms
    of their probabilities.

    shares: how much each member counts; they sum to one.
    """

    def __init__(self, members: Sequence[nn.Module], shares: Sequence[float]) -> None:
        super().__init__()
        if len(members) != len(shares) or abs(sum(shares) - 1) > 1e-6 or min(shares) < 0:
            raise SettingsError(f"committee of {len(members)}: shares {list(shares)}; give one for each, in all one.")
        self.members, self.shares = nn.ModuleList(members), tuple(shares)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        said = [member(inputs) for member in self.members]
        weighted = [
            share * (logits - logits.logsumexp(dim=1, keepdim=True))
            for share, (_, logits) in zip(self.shares, said, strict=True)
        ]
        return torch.cat([embedding for embedding, _ in said], dim=1), torch.stack(weighted).sum(dim=0)
