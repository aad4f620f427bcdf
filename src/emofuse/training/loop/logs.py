"""Reports of a training: an `Epoch` after each epoch, `Progress` after each step, a table and TensorBoard events."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emofuse.core.files import write_bytes

HISTORY = "history.csv"
EVENTS = "tensorboard"


@dataclass(frozen=True)
class Epoch:
    """Result of one epoch, counted from 0.

    lr: of its last step; losses are cross-entropies, the training loss with its weights; measures are those of
    `emofuse.metrics.MEASURES` on the validation split.
    """

    epoch: int
    lr: float
    train_loss: float
    validation_loss: float
    measures: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class Progress:
    """State of a training after `step` of `steps` in an epoch; loss is that of the step."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float


def _ignore(_: Any) -> None:
    pass


@dataclass(frozen=True)
class Callbacks:
    """Functions that a training calls, in the first process only.

    note: receives messages that are worth showing once.
    events: whether to write TensorBoard events if the package is installed.
    clock: seconds, for durations and for the time of the next checkpoint.
    """

    epoch: Callable[[Epoch], None] = _ignore
    step: Callable[[Progress], None] = _ignore
    note: Callable[[str], None] = _ignore
    events: bool = True
    clock: Callable[[], float] = time.monotonic


def write_history(path: Path, done: Sequence[Epoch]) -> None:
    """Write the complete table, one row per epoch, so that it agrees with the checkpoint also after a resume.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    measures = list(done[0].measures) if done else []
    writer.writerow(["epoch", "lr", "train_loss", "validation_loss", *measures, "seconds"])
    for e in done:
        values = (e.lr, e.train_loss, e.validation_loss, *(e.measures[name] for name in measures))
        writer.writerow([e.epoch, *(f"{value:.8g}" for value in values), f"{e.seconds:.1f}"])
    write_bytes(path, text.getvalue().encode())


class Events:
    """TensorBoard events; does nothing without the package, or if not `wanted`.

    Steps are counted over all epochs; `step` is the first one to come.
    """

    def __init__(self, folder: Path, *, wanted: bool, note: Callable[[str], None], step: int) -> None:
        self._writer: Any = None
        self._note = note
        if not wanted:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            note("no TensorBoard events: the package tensorboard is not installed; history.csv has the values.")
            return
        # Events of steps that a killed run took after its last checkpoint are dropped.
        self._guarded(lambda: setattr(self, "_writer", SummaryWriter(str(folder), purge_step=step)))

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Add values by tag; a tag is "group/name"."""
        if self._writer is not None:
            self._guarded(lambda: [self._writer.add_scalar(tag, value, step) for tag, value in values.items()])

    def add_epoch(self, epoch: Epoch, step: int) -> None:
        """Add the result of an epoch, at its last step."""
        losses = {"loss/epoch": epoch.train_loss, "loss/validation": epoch.validation_loss}
        self.add(losses | {f"validation/{name}": value for name, value in epoch.measures.items()}, step)
        if self._writer is not None:
            self._guarded(self._writer.flush)

    def close(self) -> None:
        """Write pending events."""
        if self._writer is not None:
            self._guarded(self._writer.close)

    def _guarded(self, action: Callable[[], object]) -> None:
        # Training continues if events cannot be written.
        try:
            action()
        except OSError as error:
            writer, self._writer = self._writer, None
            with suppress(OSError):
                if writer is not None:
                    writer.close()
            self._note(f"no more TensorBoard events: {error.strerror or error}; training continues.")
