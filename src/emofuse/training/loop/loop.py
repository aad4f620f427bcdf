"""The training loop: prepare, step, average the weights, keep the best epoch, resume exactly.

Every random draw follows from the seed, the epoch and the step, so a run that was killed anywhere and started again
ends with the same weights as one that was not, on the same kind of machine.
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
from emofuse.errors import SettingsError
from emofuse.metrics import MEASURES
from emofuse.systems.training_settings import FitSettings, Machine, chosen
from emofuse.training.loop.devices import autocast, device, keep_freed_memory
from emofuse.training.loop.distributed import Team, team
from emofuse.training.loop.examples import Data
from emofuse.training.loop.logs import EVENTS, HISTORY, Epoch, Events, Progress, Watch, write_history
from emofuse.training.loop.loss import Targets, check_classes, cross_entropy, mix_shares, mixed, targets_of
from emofuse.training.loop.optimisers import SCHEDULES, frozen_modules, lr_at, set_lr
from emofuse.training.loop.outputs import evaluate, fitting, outputs
from emofuse.training.loop.prepare import part
from emofuse.training.loop.state import State

CHECKPOINT = "checkpoint.safetensors"
_MEASURED = 640  # examples that the batch norms of a mean are measured on
KEEP = ("loss", *MEASURES)


def fit(
    net: nn.Module,
    data: Data,
    *,
    settings: FitSettings,
    folder: Path,
    machine: Machine = Machine(),  # noqa: B008 (frozen)
    watch: Watch = Watch(),  # noqa: B008 (frozen)
) -> list[Epoch]:
    """Train `net` in place; it ends on the CPU with the weights of the best epoch on the validation part.

    Started by torchrun, the processes share the work and the folder; each sees batches of `settings.batch`.

    Args:
        net: gives logits, or (embedding, logits), for what `data.prepare` makes.
        folder: gets checkpoint.safetensors, from which the same training goes on, history.csv and tensorboard/.
    Returns:
        All epochs, those before a resume too.
    Raises:
        SettingsError: settings that do not fit each other or the data, a checkpoint of another training, or a loss
            that is no number any more.
        OutputError: the folder cannot be written; the last checkpoint stays.
    """
    _check(data, settings)
    keep_freed_memory()
    with team(device(machine.device)) as members:
        run = _Run(State(net, data, settings, members), data, settings, (machine, watch))
        run.go(folder)
    net.load_state_dict(run.state.best)
    net.cpu()
    return run.state.done


def _check(data: Data, settings: FitSettings) -> None:
    chosen(dict.fromkeys(KEEP), settings.keep, "measure to keep the best epoch by")
    chosen(SCHEDULES, settings.schedule, "schedule")
    check_classes(data.train, data.validation)


class _Run:
    """One training from wherever it stands to its end."""

    def __init__(self, state: State, data: Data, settings: FitSettings, place: tuple[Machine, Watch]) -> None:
        self.state, self.data, self.settings = state, data, settings
        self.machine, self.watch = place
        self.team: Team = state.team
        self.targets = {polish: targets_of(data.train, settings, polish=polish) for polish in (False, True)}
        self.rows_of_step = settings.batch * settings.accumulate * self.team.size
        self.steps = len(data.train) // self.rows_of_step
        if self.steps == 0:
            raise SettingsError(
                f"fit: {len(data.train)} examples do not fill one batch of {self.rows_of_step}; "
                "give more examples or a smaller batch."
            )

    @property
    def epochs(self) -> int:
        return self.settings.epochs + self.settings.polish_epochs

    def go(self, folder: Path) -> None:
        path, state = folder / CHECKPOINT, self.state
        if self.team.agree(path.exists(), f"there is {path}"):
            with self.team.together():
                state.load(path)
            self._tell_history(folder)
        if not self._more():
            return
        began = len(state.done) * self.steps + state.step
        wanted = self.watch.events and self.team.first
        with closing(Events(folder / EVENTS, wanted=wanted, note=self.watch.note, step=began + 1)) as self.events:
            self.started, self.began = self.watch.clock(), began
            self.saved = self.started
            while self._more():
                self._epoch(path)
                state.save(path)
                self.saved = self.watch.clock()
                self._tell_history(folder)
                if self.team.first:
                    self.events.add_epoch(state.done[-1], len(state.done) * self.steps)
                    self.watch.epoch(state.done[-1])

    def _more(self) -> bool:
        values, patience = [self._value(e) for e in self.state.done], self.settings.patience
        stalled = len(values) - 1 - values.index(max(values)) if values else 0
        return len(values) < self.epochs and (patience is None or stalled < patience)

    def _value(self, epoch: Epoch) -> float:
        value = -epoch.validation_loss if self.settings.keep == "loss" else epoch.measures[self.settings.keep]
        return -math.inf if math.isnan(value) else value

    def _epoch(self, path: Path) -> None:
        state, epoch = self.state, len(self.state.done)
        start = self.watch.clock() - state.seconds
        order = self._order(epoch)
        state.net.train()
        for module in frozen_modules(state.net, self.settings):
            module.eval()
        with closing(self._batches(order)) as batches:
            for step in range(state.step, self.steps):
                due = self._step(epoch, order[step * self.rows_of_step : (step + 1) * self.rows_of_step], batches)
                if due and step + 1 < self.steps:
                    state.seconds = self.watch.clock() - start
                    self._refuse_infinite(epoch, path)
                    state.save(path)
                    self.saved = self.watch.clock()
        self._refuse_infinite(epoch, path)
        if self.settings.swa_start_epoch is not None and state.judged is not state.net:
            self._measure_norms(epoch, order[:_MEASURED])
        judged = evaluate(
            state.judged,
            self.data.validation,
            prepare=self.data.prepare,
            precision=self.machine.precision,
            team=self.team,
        )
        if not math.isfinite(judged.loss):
            raise self._diverged(epoch, self.steps, "validation loss", judged.loss)
        seconds, lr = self.watch.clock() - start, self._lr(epoch, self.steps - 1)
        state.done.append(Epoch(epoch, lr, state.loss / self.steps, judged.loss, judged.measures, seconds))
        if self._value(state.done[-1]) >= max(self._value(e) for e in state.done):
            state.keep()
        state.step, state.loss, state.seconds = 0, 0.0, 0.0

    def _measure_norms(self, epoch: int, rows: NDArray[np.int64]) -> None:
        """Give the batch norms of a mean of weights the statistics that they see with it, which are no mean of those
        seen before; from some training examples, the same ones for each process."""
        net, data, strength = self.state.judged, self.data, self._strength(epoch)
        net.train()
        for module in frozen_modules(net, self.settings):
            module.eval()
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
                net(data.prepare(batch.to(self.team.device), draws, strength=strength))
        for norm, own in zip(norms, momentum, strict=True):
            norm.momentum = own

    def _strength(self, epoch: int) -> float:
        """Of the random changes."""
        return self.settings.polish_strength if epoch >= self.settings.epochs else 1.0

    def _order(self, epoch: int) -> NDArray[np.int64]:
        seed, state = self.settings.seed * 100_003 + epoch, self.state
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.data.train), generator=generator)
        if state.step == 0:
            # What is drawn for the steps goes on where the order ended; a checkpoint within an epoch has both states.
            state.generator = generator
            torch.manual_seed(seed + self.team.rank * 1_000_003)  # dropout draws from the global generator
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
        """The places in a step that this process takes, one slice for each batch."""
        batch, size = self.settings.batch, self.team.size
        starts = ((n * size + self.team.rank) * batch for n in range(self.settings.accumulate))
        return [slice(start, start + batch) for start in starts]

    def _lr(self, epoch: int, step: int) -> float:
        return lr_at(self.settings, epoch + step / self.steps)

    def _step(self, epoch: int, rows: NDArray[np.int64], batches: Iterator[Tensor]) -> bool:
        """One step of the optimiser; whether a checkpoint is due."""
        state = self.state
        lr = self._lr(epoch, state.step)
        set_lr(state.optimiser, lr)
        state.optimiser.zero_grad()
        loss = self._backward(epoch, rows, batches)
        due = self.watch.clock() - self.saved >= 60 * self.machine.checkpoint_minutes
        shared = torch.tensor([loss, float(due and self.team.first)], dtype=torch.float64)
        self._sum_over_team(shared)
        loss = float(shared[0])
        if not math.isfinite(loss):
            raise self._diverged(epoch, state.step, "loss", loss)
        state.optimiser.step()
        state.average(epoch)
        state.step, state.loss = state.step + 1, state.loss + loss
        if self.team.first:
            self._tell_step(epoch, loss, lr)
        return bool(shared[1])

    def _backward(self, epoch: int, rows: NDArray[np.int64], batches: Iterator[Tensor]) -> float:
        s, state, prepare = self.settings, self.state, self.data.prepare
        targets: Targets = self.targets[epoch >= s.epochs][torch.from_numpy(rows)]
        draws = prepare.draw(len(rows), state.generator)
        share = mix_shares(len(rows), s.mixup, state.generator) if s.mixup else None
        if share is not None:
            targets = targets.mixed(share)
        total = targets.total() or 1.0  # a step without any label has the loss 0
        loss = 0.0
        for own in self._own():
            batch = next(batches).to(self.team.device)
            prepared = prepare(batch, part(draws, own), strength=self._strength(epoch))
            if share is not None:
                prepared = mixed(prepared, share[own])
            with autocast(self.team.device, self.machine.precision):
                logits = outputs(state.net(prepared))[1]
            values = targets.values[own].to(self.team.device)
            part_of_loss = cross_entropy(fitting(logits, values), values, total)
            part_of_loss.backward()  # type: ignore[no-untyped-call]
            loss += part_of_loss.item()
        return loss

    def _sum_over_team(self, shared: Tensor) -> None:
        if self.team.size == 1:
            return
        running = [
            statistics
            for module in self.state.net.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
            for statistics in (module.running_mean, module.running_var)
            if statistics is not None
        ]
        for statistics in running:
            statistics.div_(self.team.size)
        gradients = [p.grad for p in self.state.net.parameters() if p.grad is not None]
        self.team.sum([*gradients, *running, shared])

    def _refuse_infinite(self, epoch: int, path: Path) -> None:
        if not self.state.finite():
            raise self._diverged(epoch, self.state.step, "weights", math.nan)

    def _diverged(self, epoch: int, step: int, what: str, value: float) -> SettingsError:
        lr = self._lr(epoch, min(step, self.steps - 1))
        return SettingsError(
            f"fit: {what} became {value} in epoch {epoch + 1}, step {step + 1} of {self.steps}, at a learning rate of "
            f"{lr:.3g}; start anew in another folder with a smaller lr. The last good checkpoint is kept."
        )

    def _tell_step(self, epoch: int, loss: float, lr: float) -> None:
        at = epoch * self.steps + self.state.step
        each = (self.watch.clock() - self.started) / (at - self.began)
        self.events.add({"loss/step": loss, "lr": lr}, at)
        left = each * (self.epochs * self.steps - at)
        self.watch.step(Progress(epoch, self.epochs, self.state.step, self.steps, loss, left))

    def _tell_history(self, folder: Path) -> None:
        with self.team.together():
            if self.team.first:
                write_history(folder / HISTORY, self.state.done)
