"""Outputs of a network for many examples, and their evaluation against targets."""

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
from emofuse.training.loop.distributed import ProcessGroup
from emofuse.training.loop.examples import Examples, Inputs, labels, read
from emofuse.training.loop.loss import cross_entropy, possible_logits, tensor
from emofuse.training.loop.prepare import Faces, Prepare

_GREY = Faces()


@dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs float32 of a network: logits [n, classes] or [n, steps, classes], and embeddings if it returns them."""

    logits: NDArray[np.float32]
    embeddings: NDArray[np.float32] | None


@dataclass(frozen=True)
class ValidationResult:
    """Mean cross-entropy on examples, and each of `emofuse.metrics.MEASURES` by name.

    Labels are the largest targets; unlabelled rows and classes that a row cannot have do not count.
    """

    loss: float
    measures: Mapping[str, float]


def prepared(
    inputs: Inputs, rows: NDArray[np.int64], prepare: Prepare, *, batch: int = 64
) -> Iterator[NDArray[np.float32]]:
    """Some inputs as a network takes them, without augmentation, in batches float32 [n, ...]."""
    for first in range(0, len(rows), batch):
        given = torch.from_numpy(np.ascontiguousarray(inputs[rows[first : first + batch]]))
        yield prepare(given).contiguous().numpy()


def predict(
    net: nn.Module,
    inputs: Inputs,
    *,
    prepare: Prepare = _GREY,
    batch: int = 256,
    embeddings: bool = True,
) -> Outputs:
    """Outputs of a network on its own device, in evaluation mode and without augmentation.

    Args:
        net: returns logits, or (embedding, logits).
        inputs: what `prepare` takes, read in the background as needed.
        embeddings: whether to keep them; they are large.
    Raises:
        ShapeError: there are no inputs, or `prepare` does not take them.
    """
    if len(inputs) == 0:
        raise ShapeError("predict: there are no inputs; give at least one.")
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    net.eval()
    rows = [np.arange(n, min(n + batch, len(inputs))) for n in range(0, len(inputs), batch)]
    logits: list[Tensor] = []
    embedded: list[Tensor] = []
    with torch.inference_mode():
        for values in prefetch((torch.from_numpy(read(inputs, r)) for r in rows), 2):
            embedding, found = embedding_and_logits(net(prepare(values.to(device))))
            logits.append(found.cpu())
            if embeddings and embedding is not None:
                embedded.append(embedding.cpu())
    return Outputs(torch.cat(logits).numpy(), torch.cat(embedded).numpy() if embedded else None)


def embedding_and_logits(output: Any) -> tuple[Tensor | None, Tensor]:
    """(embedding or None, logits) of a network's output: logits alone, or both, perhaps with an identity."""
    return (None, output) if isinstance(output, Tensor) else (output[0], output[1])


def evaluate(
    net: nn.Module,
    examples: Examples,
    *,
    prepare: Prepare = _GREY,
    group: ProcessGroup | None = None,
) -> ValidationResult:
    """Evaluate a network; each process of a group predicts a part of the examples, and all return the same result.

    Raises:
        ShapeError: the network's logits and the targets have different shapes.
    """
    group = group or ProcessGroup()
    logits = torch.zeros(examples.targets.shape, dtype=torch.float32)
    own = group.rows(len(examples))
    if own.stop > own.start:
        inputs = _RowsOfInputs(examples.inputs, np.arange(own.start, own.stop))
        found = torch.from_numpy(predict(net, inputs, prepare=prepare, embeddings=False).logits)
        logits[own] = checked_logits(found, logits[own])
    group.sum([logits])
    logits = possible_logits(logits, None if examples.possible is None else torch.from_numpy(examples.possible))
    targets = tensor(examples.targets)
    truth = labels(examples.targets).reshape(-1)
    loss = cross_entropy(logits, targets, float((truth >= 0).sum())).item()
    guess = logits.argmax(dim=-1).reshape(-1).numpy()
    counts = confusion(truth, guess, classes=examples.classes)
    return ValidationResult(loss, {name: float(measure(counts)) for name, measure in MEASURES.items()})


def checked_logits(logits: Tensor, targets: Tensor) -> Tensor:
    """The logits, which must have the shape of the targets.

    Raises:
        ShapeError: they have another shape.
    """
    if logits.shape != targets.shape:
        raise ShapeError(
            f"fit: the network returns logits of the shape {tuple(logits.shape[1:])} for each example, but targets are "
            f"{tuple(targets.shape[1:])}; build the network for {targets.shape[-1]} classes, or give other targets."
        )
    return logits


@dataclass(frozen=True, eq=False)
class _RowsOfInputs:
    """Some rows of inputs."""

    inputs: Inputs
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> Any:
        return self.inputs[self.rows[rows]]
