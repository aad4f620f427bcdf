"""What a net says to many examples, and how well that fits their targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emofuse.core.prefetch import prefetch
from emofuse.errors import ShapeError
from emofuse.metrics import MEASURES, confusion
from emofuse.systems.training_settings import Precision
from emofuse.training.loop.devices import autocast
from emofuse.training.loop.distributed import Team
from emofuse.training.loop.examples import Examples, Inputs, labels, read
from emofuse.training.loop.loss import cross_entropy, tensor
from emofuse.training.loop.prepare import Faces, Prepare

_GREY = Faces()


@dataclass(frozen=True, eq=False)
class Said:
    """Outputs float32 of a net: logits [n, classes] or [n, steps, classes], and embeddings where it gives them."""

    logits: NDArray[np.float32]
    embeddings: NDArray[np.float32] | None


@dataclass(frozen=True)
class Judged:
    """How well a net fits examples: mean cross-entropy, and each of `emofuse.metrics.MEASURES` by name.

    Labels are the largest targets; rows that nobody has labelled do not count.
    """

    loss: float
    measures: Mapping[str, float]


def prepared(
    inputs: Inputs, rows: NDArray[np.int64], prepare: Prepare, *, batch: int = 64
) -> Iterator[NDArray[np.float32]]:
    """Some inputs as a net takes them, without random changes, in batches float32 [n, ...]."""
    for first in range(0, len(rows), batch):
        given = torch.from_numpy(np.ascontiguousarray(inputs[rows[first : first + batch]]))
        yield prepare(given).contiguous().numpy()


def predict(
    net: nn.Module,
    inputs: Inputs,
    *,
    prepare: Prepare = _GREY,
    batch: int = 256,
    precision: Precision = Precision.FLOAT32,
    embeddings: bool = True,
) -> Said:
    """Put inputs through a net on its own device, in evaluation mode and without random changes.

    Args:
        net: gives logits, or (embedding, logits).
        inputs: what `prepare` takes, read in the background as it is needed.
        embeddings: whether to keep them; they are large.
    Raises:
        ShapeError: there are no inputs, or `prepare` does not take them.
    """
    if len(inputs) == 0:
        raise ShapeError("predict: there are no inputs; give at least one.")
    where = next((p.device for p in net.parameters()), torch.device("cpu"))
    net.eval()
    rows = [np.arange(n, min(n + batch, len(inputs))) for n in range(0, len(inputs), batch)]
    logits: list[Tensor] = []
    embedded: list[Tensor] = []
    with torch.inference_mode():
        for values in prefetch((torch.from_numpy(read(inputs, r)) for r in rows), 2):
            prepared = prepare(values.to(where))
            with autocast(where, precision):
                embedding, said = outputs(net(prepared))
            logits.append(said.float().cpu())
            if embeddings and embedding is not None:
                embedded.append(embedding.float().cpu())
    return Said(torch.cat(logits).numpy(), torch.cat(embedded).numpy() if embedded else None)


def outputs(given: Any) -> tuple[Tensor | None, Tensor]:
    """(embedding or None, logits) of whatever a net gave."""
    return (None, given) if isinstance(given, Tensor) else (given[0], given[1])


def evaluate(
    net: nn.Module,
    examples: Examples,
    *,
    prepare: Prepare = _GREY,
    precision: Precision = Precision.FLOAT32,
    team: Team | None = None,
) -> Judged:
    """Judge a net on examples; each process of a team takes its part of them, and all get the same answer.

    Raises:
        ShapeError: the net's logits have another shape than the targets.
    """
    team = team or Team()
    logits = torch.zeros(examples.targets.shape, dtype=torch.float32)
    own = team.share(len(examples))
    if own.stop > own.start:
        inputs = _Some(examples.inputs, np.arange(own.start, own.stop))
        said = torch.from_numpy(predict(net, inputs, prepare=prepare, precision=precision, embeddings=False).logits)
        logits[own] = fitting(said, logits[own])
    team.sum([logits])
    targets = tensor(examples.targets)
    truth = labels(examples.targets).reshape(-1)
    loss = cross_entropy(logits, targets, float((truth >= 0).sum())).item()
    guess = logits.argmax(dim=-1).reshape(-1).numpy()
    counts = confusion(truth, guess, classes=examples.classes)
    return Judged(loss, {name: float(measure(counts)) for name, measure in MEASURES.items()})


def fitting(logits: Tensor, like: Tensor) -> Tensor:
    """The logits, if they have the shape of the targets.

    Raises:
        ShapeError: they have not.
    """
    if logits.shape != like.shape:
        raise ShapeError(
            f"fit: the net gives logits of the shape {tuple(logits.shape[1:])} for each example, the targets have "
            f"{tuple(like.shape[1:])}; build the net for {like.shape[-1]} classes, or give other targets."
        )
    return logits


@dataclass(frozen=True, eq=False)
class _Some:
    """Some rows of inputs."""

    inputs: Inputs
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Any) -> Any:
        return self.inputs[self.rows[chosen]]
