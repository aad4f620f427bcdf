"""Training examples: inputs that are read as needed, and soft targets in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emofuse.errors import ShapeError
from emofuse.training.loop.prepare import Faces, Prepare


class Inputs(Protocol):
    """Rows that are read on request: an array, a memory-mapped array, or files by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any:
        """An array [len(rows), ...] for rows int64 [n]."""
        ...


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs with soft targets.

    inputs: one row per target, in the form that the `Prepare` of the training takes.
    targets: float32 [n, classes], or [n, steps, classes] for a network with an output for every step; each row sums to
        1, or is all zero if it is unlabelled and does not count.
    polish_targets: targets of the polish epochs, if they differ.
    weights: float32 [n], weights of the rows in the training loss; None for equal ones.
    possible: bool [n, classes], the classes that a row can have, such as those of its corpus: others are left out of
        its loss, so that they are not learned as absent. None for all.
    identities: float32 [n, d], the identities that the third output of the network learns, by cosine; zeros where
        there is none. None for a network without identities.
    Raises:
        ShapeError: lengths or shapes differ, or targets are not distributions.

    >>> examples = Examples(np.zeros((3, 48, 48), np.uint8), np.eye(3, 7, dtype=np.float32))
    >>> len(examples), examples.batch(np.array([2, 0])).shape
    (3, (2, 48, 48))
    """

    inputs: Inputs
    targets: NDArray[np.float32]
    polish_targets: NDArray[np.float32] | None = None
    weights: NDArray[np.float32] | None = None
    possible: NDArray[np.bool_] | None = None
    identities: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise ShapeError(
                f"examples: {len(self.inputs)} inputs, but {len(self.targets)} targets; give one target for each input."
            )
        _check_targets("targets", self.targets)
        if self.polish_targets is not None:
            _check_targets("polish_targets", self.polish_targets)
            if self.polish_targets.shape != self.targets.shape:
                raise ShapeError(
                    f"examples: polish_targets have the shape {self.polish_targets.shape}, targets "
                    f"{self.targets.shape}; give the same shape."
                )
        shapes = {"weights": (len(self),), "possible": (len(self), self.classes)}
        for name, shape in shapes.items():
            given = getattr(self, name)
            if given is not None and given.shape != shape:
                raise ShapeError(f"examples: {name} have the shape {given.shape}; give {shape}.")
        if self.identities is not None and (self.identities.ndim != 2 or len(self.identities) != len(self)):
            raise ShapeError(f"examples: identities have the shape {self.identities.shape}; give ({len(self)}, d).")
        given_classes = self.targets.any(axis=tuple(range(1, self.targets.ndim - 1)))
        if self.possible is not None and np.any(given_classes & ~self.possible):
            raise ShapeError("examples: a row has a target that is not possible; mark the class of every target.")

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.targets.shape[-1])

    def batch(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The inputs of some rows, in their order."""
        return read(self.inputs, rows)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Examples to train on, others to select the best epoch, and the preparation of both."""

    train: Examples
    validation: Examples
    prepare: Prepare = Faces()  # noqa: RUF009 (frozen)


def read(inputs: Inputs, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Some rows as a plain writable array in memory, as torch requires it."""
    return np.require(np.asarray(inputs[rows]), requirements=["C", "W"])


def labels(targets: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class with the largest target in each row, int64 [...]; -1 for unlabelled rows.

    >>> labels(np.array([[0.2, 0.8], [0, 0]], np.float32)).tolist()
    [1, -1]
    """
    return np.where(targets.any(axis=-1), targets.argmax(axis=-1), -1)


def _check_targets(name: str, targets: NDArray[np.float32]) -> None:
    if targets.ndim not in (2, 3) or targets.dtype.kind != "f":
        raise ShapeError(
            f"examples: {name} are {targets.dtype} {targets.shape}; give float32 [n, classes] or [n, steps, classes]. "
            "Class indices become targets by np.eye(classes, dtype=np.float32)[indices]."
        )
    sums = targets.sum(axis=-1)
    wrong = ~((np.abs(sums - 1) < 1e-3) | ~targets.any(axis=-1)) | (targets.min(axis=-1, initial=0) < 0)
    if wrong.any():
        row = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise ShapeError(
            f"examples: row {', '.join(map(str, row))} of {name} is not a distribution over the classes (sum "
            f"{sums[row]:.3g}); rows are at least 0 and sum to 1, or to 0 if unlabelled."
        )
