"""Several nets that judge as one, and a net that answers as several annotators would."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
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


class Committee(nn.Module):
    """What its members say of the same input, as one: embeddings side by side, and log probabilities [n, classes].

    members: give logits [n, classes], or [n, 2, classes] as `TwoOpinions`.
    shares: for each set of labels how much each member counts in the answer by it; they sum to one.
    answers: how much each of these answers counts; they sum to one, and their probabilities are mixed.
    """

    def __init__(
        self, members: Sequence[nn.Module], shares: Sequence[Sequence[float]], answers: Sequence[float] = (1.0,)
    ) -> None:
        super().__init__()
        for each, count, what in ((answers, len(shares), "answers"), *((s, len(members), "members") for s in shares)):
            if len(each) != count or abs(sum(each) - 1) > 1e-6 or min(each) < 0:
                raise SettingsError(f"committee of {count} {what}: shares {list(each)}; give one for each, in all one.")
        self.members, self.shares = nn.ModuleList(members), tuple(map(tuple, shares))
        self.answers = tuple(answers)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        said = [member(inputs) for member in self.members]
        counted = [
            math.log(part) + pooled([logits for _, logits in said], shares, which)
            for which, (shares, part) in enumerate(zip(self.shares, self.answers, strict=True))
            if part
        ]
        return torch.cat([embedding for embedding, _ in said], dim=1), torch.stack(counted).logsumexp(dim=0)


def together(said: Sequence[NDArray[np.float32]], shares: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """What members with these shares say as one, by each set of labels: probabilities float32 [n, answers, classes].

    said: logits of each, [n, classes] or [n, 2, classes].
    """
    tensors = [torch.from_numpy(logits) for logits in said]
    answers = [pooled(tensors, each, which).exp() for which, each in enumerate(shares)]
    return np.asarray(torch.stack(answers, dim=1).numpy(), np.float32)


def pooled(said: Sequence[Tensor], shares: Sequence[float], which: int) -> Tensor:
    """Log probabilities [n, classes]: the weighted mean of the logarithms of what is said by one set of labels.

    said: logits [n, classes], or [n, 2, classes], of which number `which` is taken.
    """
    answers = [logits if logits.ndim == 2 else logits[:, which] for logits in said]
    # What logits and log probabilities differ by is the same for all classes, and the last softmax takes it off.
    weighted = [share * logits for share, logits in zip(shares, answers, strict=True) if share]
    return torch.stack(weighted).sum(dim=0).log_softmax(dim=1)
