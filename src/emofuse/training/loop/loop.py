"""The training loop: prepare, step, average the weights, keep the best epoch, resume exactly.

Every random number follows from the seed, the epoch and the step, so a run that was killed anywhere and started again
ends with the same weights as an uninterrupted one on the same kind of machine.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emofuse.core.prefetch import prefetch
from emofuse.core.registry import find
from emofuse.errors import SettingsError
from emofuse.metrics import MEASURES
from emofuse.systems.training_settings import FitSettings, Machine
from emofuse.training.loop.devices import device, keep_freed_memory
from emofuse.training.loop.distributed import ProcessGroup, process_group
from emofuse.training.loop.examples import TrainingData
from emofuse.training.loop.logs import EVENTS, HISTORY, Callbacks, Epoch, Events, Progress, write_history
from emofuse.training.loop.loss import Targets, check_classes, identity_loss, mixed, mixup_weights, targets_of, tensor
from emofuse.training.loop.optimisers import SCHEDULES, frozen_modules, lr_at, set_lr
from emofuse.training.loop.outputs import checked_logits, embedding_and_logits, evaluate
from emofuse.training.loop.prepare import draws_of
from emofuse.training.loop.state import State

CHECKPOINT = "checkpoint.safetensors"
_NORM_EXAMPLES = 640  # on which the batch norms of averaged weights are measured
KEEP = ("loss", *MEASURES)


def fit(
    net: nn.Module,
    data: TrainingData,
    *,
    settings: FitSettings,
    folder: Path,
    machine: Machine = Machine(),  # noqa: B008 (frozen)
    callbacks: Callbacks = Callbacks(),  # noqa: B008 (frozen)
) -> list[Epoch]:
    """Train `net` in place; it ends on the CPU with the weights of the best epoch on the validation split.

    Processes started by torchrun share the work and the folder; each takes batches of `settings.batch`.

    Args:
        net: returns logits, (embedding, logits), or (embedding, logits, identity), for the output of `data.prepare`.
        folder: receives checkpoint.safetensors, from which the same training resumes, history.csv and tensorboard/.
    Returns:
        All epochs, including those before a resume.
    Raises:
        SettingsError: settings that conflict with each other or the data, a checkpoint of another training, or a loss
            that is no longer finite.
        OutputError: the folder cannot be written; the last checkpoint is kept.
    """
    find(settings.keep, dict.fromkeys(KEEP), "fit: keep")
    find(settings.schedule, SCHEDULES, "fit: schedule")
    check_classes(data.train, data.validation)
    keep_freed_memory()
    with process_group(device(machine.device)) as group:
        run = _Run(State(net, data, settings, group), data, settings, (machine, callbacks))
        run.to_end(folder)
    net.load_state_dict(run.state.best)
    net.cpu()
    return run.state.done


class _Run:
    """One training from its current state to its end."""

    def __init__(
        self, state: State, data: TrainingData, settings: FitSettings, context: tuple[Machine, Callbacks]
    ) -> None:
        self.state, self.data, self.settings = state, data, settings
        self.machine, self.callbacks = context
        self.group: ProcessGroup = state.group
        self.targets = {polish: targets_of(data.train, settings, polish=polish) for polish in (False, True)}
        self.identities = None if data.train.identities is None else tensor(data.train.identities)
        self.rows_of_step = settings.batch * settings.accumulate * self.group.size
        self.steps = len(data.train) // self.rows_of_step
        if self.steps == 0:
            raise SettingsError(
                f"fit: {len(data.train)} examples do not fill one batch of {self.rows_of_step}; "
                "give more examples or a smaller batch."
            )

    @property
    def epochs(self) -> int:
        return self.settings.epochs + self.settings.polish_epochs

    def to_end(self, folder: Path) -> None:
        path, state = folder / CHECKPOINT, self.state
        if self.group.same(path.exists(), f"{path} exists"):
            with self.group.fail_together():
                state.load(path)
            self._write_history(folder)
        if not self._more():
            return
        began = len(state.done) * self.steps + state.step
        wanted = self.callbacks.events and self.group.first
        with closing(Events(folder / EVENTS, wanted=wanted, note=self.callbacks.note, step=began + 1)) as self.events:
            self.saved = self.callbacks.clock()
            while self._more():
                self._epoch(path)
                state.save(path)
                self.saved = self.callbacks.clock()
                self._write_history(folder)
                if self.group.first:
                    self.events.add_epoch(state.done[-1], len(state.done) * self.steps)
                    self.callbacks.epoch(state.done[-1])

    def _more(self) -> bool:
        values, patience = [self._value(e) for e in self.state.done], self.settings.patience
        stalled = len(values) - 1 - values.index(max(values)) if values else 0
        return len(values) < self.epochs and (patience is None or stalled < patience)

    def _value(self, epoch: Epoch) -> float:
        value = -epoch.validation_loss if self.settings.keep == "loss" else epoch.measures[self.settings.keep]
        return -math.inf if math.isnan(value) else value

    def _epoch(self, path: Path) -> None:
        state, epoch = self.state, len(self.state.done)
        start = self.callbacks.clock() - state.seconds
        order = self._order(epoch)
        self._train_mode(state.net)
        with closing(self._batches(order)) as batches:
            for step in range(state.step, self.steps):
                due = self._step(epoch, order[step * self.rows_of_step : (step + 1) * self.rows_of_step], batches)
                if due and step + 1 < self.steps:
                    state.seconds = self.callbacks.clock() - start
                    self._check_weights(epoch)
                    state.save(path)
                    self.saved = self.callbacks.clock()
        self._check_weights(epoch)
        if self.settings.swa_start_epoch is not None and state.validated is not state.net:
            self._measure_norms(epoch, order[:_NORM_EXAMPLES])
        result = evaluate(state.validated, self.data.validation, prepare=self.data.prepare, group=self.group)
        if not math.isfinite(result.loss):
            raise self._diverged(epoch, self.steps, "validation loss", result.loss)
        seconds, lr = self.callbacks.clock() - start, self._lr(epoch, self.steps - 1)
        state.done.append(Epoch(epoch, lr, state.loss / self.steps, result.loss, result.measures, seconds))
        if self._value(state.done[-1]) >= max(self._value(e) for e in state.done):
            state.keep()
        state.step, state.loss, state.seconds = 0, 0.0, 0.0

    def _train_mode(self, net: nn.Module) -> None:
        net.train()
        for module in frozen_modules(net, self.settings):
            module.eval()

    def _measure_norms(self, epoch: int, rows: NDArray[np.int64]) -> None:
        """Measure the batch norm statistics of averaged weights, which are not the average of earlier statistics.

        They are measured on some training examples, the same ones in each process.
        """
        net, data, strength = self.state.validated, self.data, self._strength(epoch)
        self._train_mode(net)
        norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
        momentum = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
        generator = torch.Generator().manual_seed(self.settings.seed * 100_003 + epoch)
        with torch.no_grad():
            for first in range(0, len(rows) if norms else 0, self.settings.batch):
                batch = torch.from_numpy(data.train.batch(rows[first : first + self.settings.batch]))
                draws = data.prepare.draw(len(batch), generator)
                net(data.prepare(batch.to(self.group.device), draws, strength=strength))
        for norm, own in zip(norms, momentum, strict=True):
            norm.momentum = own

    def _strength(self, epoch: int) -> float:
        """Strength of the augmentation."""
        return self.settings.polish_strength if epoch >= self.settings.epochs else 1.0

    def _order(self, epoch: int) -> NDArray[np.int64]:
        seed, state = self.settings.seed * 100_003 + epoch, self.state
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.data.train), generator=generator)
        if state.step == 0:
            # Random numbers of the steps follow those of the order; a checkpoint within an epoch stores both states.
            state.generator = generator
            torch.manual_seed(seed + self.group.rank * 1_000_003)  # dropout uses the global generator
        return order.numpy()

    def _batches(self, order: NDArray[np.int64]) -> Generator[Tensor, None, None]:
        rows = [
            order[step * self.rows_of_step : (step + 1) * self.rows_of_step][own]
            for step in range(self.state.step, self.steps)
            for own in self._own()
        ]
        train = self.data.train
        return prefetch((torch.from_numpy(train.batch(r)) for r in rows), self.machine.prefetch)

    def _own(self) -> list[slice]:
        """The rows of a step that this process takes, one slice per batch."""
        batch, size = self.settings.batch, self.group.size
        starts = ((n * size + self.group.rank) * batch for n in range(self.settings.accumulate))
        return [slice(start, start + batch) for start in starts]

    def _lr(self, epoch: int, step: int) -> float:
        return lr_at(self.settings, epoch + step / self.steps)

    def _step(self, epoch: int, rows: NDArray[np.int64], batches: Iterator[Tensor]) -> bool:
        """Take one step of the optimiser; returns whether a checkpoint is due."""
        state = self.state
        lr = self._lr(epoch, state.step)
        set_lr(state.optimiser, lr)
        state.optimiser.zero_grad()
        loss = self._backward(epoch, rows, batches)
        due = self.callbacks.clock() - self.saved >= 60 * self.machine.checkpoint_minutes
        shared = torch.tensor([loss, float(due and self.group.first)], dtype=torch.float64)
        self._sum_over_processes(shared)
        loss = float(shared[0])
        if not math.isfinite(loss):
            raise self._diverged(epoch, state.step, "loss", loss)
        state.optimiser.step()
        state.update_average(epoch)
        state.step, state.loss = state.step + 1, state.loss + loss
        if self.group.first:
            self._report_step(epoch, loss, lr)
        return bool(shared[1])

    def _backward(self, epoch: int, rows: NDArray[np.int64], batches: Iterator[Tensor]) -> float:
        s, state, prepare = self.settings, self.state, self.data.prepare
        targets: Targets = self.targets[epoch >= s.epochs][torch.from_numpy(rows)]
        draws = prepare.draw(len(rows), state.generator)
        weight = mixup_weights(len(rows), s.mixup, state.generator) if s.mixup else None
        parts = (targets,) if weight is None else targets.of_mixed(weight)
        total = sum(part.total() for part in parts) or 1.0  # a step without any label has the loss 0
        wanted = None if self.identities is None else self.identities[torch.from_numpy(rows)]
        loss = 0.0
        for own in self._own():
            batch = next(batches).to(self.group.device)
            inputs = prepare(batch, draws_of(draws, own), strength=self._strength(epoch))
            if weight is not None:
                inputs = mixed(inputs, weight[own])
            output = state.net(inputs)
            logits = checked_logits(embedding_and_logits(output)[1], targets.values[own])
            batch_loss = torch.stack([part[own].loss(logits, total) for part in parts]).sum()
            if wanted is not None:
                known = float(wanted.any(dim=1).sum()) or 1.0
                batch_loss = batch_loss + s.identity_weight * identity_loss(output[2], wanted[own], known)
            batch_loss.backward()  # type: ignore[no-untyped-call]
            loss += batch_loss.item()
        return loss

    def _sum_over_processes(self, shared: Tensor) -> None:
        if self.group.size == 1:
            return
        running = [
            statistics
            for module in self.state.net.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
            for statistics in (module.running_mean, module.running_var)
            if statistics is not None
        ]
        for statistics in running:
            statistics.div_(self.group.size)
        gradients = [p.grad for p in self.state.net.parameters() if p.grad is not None]
        self.group.sum([*gradients, *running, shared])

    def _check_weights(self, epoch: int) -> None:
        if not self.state.finite():
            raise self._diverged(epoch, self.state.step, "weights", math.nan)

    def _diverged(self, epoch: int, step: int, what: str, value: float) -> SettingsError:
        lr = self._lr(epoch, min(step, self.steps - 1))
        return SettingsError(
            f"fit: {what} became {value} in epoch {epoch + 1}, step {step + 1} of {self.steps}, at a learning rate of "
            f"{lr:.3g}; start again in another folder with a smaller lr. The last good checkpoint is kept."
        )

    def _report_step(self, epoch: int, loss: float, lr: float) -> None:
        at = epoch * self.steps + self.state.step
        self.events.add({"loss/step": loss, "lr": lr}, at)
        self.callbacks.step(Progress(epoch, self.epochs, self.state.step, self.steps, loss))

    def _write_history(self, folder: Path) -> None:
        with self.group.fail_together():
            if self.group.first:
                write_history(folder / HISTORY, self.state.done)
