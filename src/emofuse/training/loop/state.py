"""All that a training remembers from one step to the next, and its way to a checkpoint and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emofuse.core.files import digest
from emofuse.errors import SettingsError
from emofuse.systems.training_settings import FitSettings
from emofuse.training.loop import checkpoint
from emofuse.training.loop.checkpoint import Parts
from emofuse.training.loop.devices import laid_out
from emofuse.training.loop.distributed import Team
from emofuse.training.loop.examples import Data
from emofuse.training.loop.logs import Epoch
from emofuse.training.loop.optimisers import optimiser, optimiser_state, restore_optimiser


class State:
    """Live state of one training.

    net: on the device of the team. averaged: the average of its weights, or None.
    best: weights of the best epoch. done: finished epochs.
    step, loss, seconds: steps done in the epoch that has begun, the sum of their losses, the time they took.
    generator: gives the random numbers of the epoch, besides those of dropout.
    """

    def __init__(self, net: nn.Module, data: Data, settings: FitSettings, team: Team) -> None:
        self.identity = identity_of(net, data, settings, team)
        self.team = team
        self.net = laid_out(net, torch.channels_last).to(team.device)
        team.same(self.net)
        self.optimiser = optimiser(self.net, settings)
        self.averaged: torch.optim.swa_utils.AveragedModel | None = None
        if settings.ema_decay is not None:
            decay = torch.optim.swa_utils.get_ema_multi_avg_fn(settings.ema_decay)  # type: ignore[no-untyped-call]
            self.averaged = torch.optim.swa_utils.AveragedModel(self.net, multi_avg_fn=decay, use_buffers=True)
        elif settings.swa_start_epoch is not None:
            self.averaged = torch.optim.swa_utils.AveragedModel(self.net)
        self._swa_start_epoch = settings.swa_start_epoch or 0
        self.done: list[Epoch] = []
        self.step, self.loss, self.seconds = 0, 0.0, 0.0
        self.generator = torch.Generator()
        self.best: dict[str, Tensor] = {}
        self.keep()

    def average(self, epoch: int) -> None:
        """Take the weights after a step into the average."""
        if self.averaged is not None and epoch >= self._swa_start_epoch:
            self.averaged.update_parameters(self.net)

    @property
    def judged(self) -> nn.Module:
        """What is validated and kept: the average where there is one."""
        if self.averaged is None or (self._swa_start_epoch and not self.averaged.n_averaged):
            return self.net
        return self.averaged.module

    def keep(self) -> None:
        """Remember the weights as the best so far, away from the device's memory."""
        held = self.judged
        self.best = {k: v.detach().to("cpu", copy=True) for k, v in held.state_dict().items()}

    def finite(self) -> bool:
        """Whether all weights are numbers."""
        return all(bool(p.isfinite().all()) for p in self.net.parameters())

    def save(self, path: Path) -> None:
        """Write a checkpoint; all processes must come here.

        Raises:
            OutputError: it cannot be written; the last one stays.
        """
        kept, plain = optimiser_state(self.optimiser)
        parts: Parts = {"net": self.net.state_dict(), "best": self.best, "optimiser": kept}
        parts["random"] = {"draws": self.generator.get_state()}
        for name, own in _dropout_states(self.team.device):
            parts["random"] |= {f"{name}.{rank}": s for rank, s in enumerate(self.team.gathered(own))}
        if self.averaged is not None:
            parts["average"] = self.averaged.state_dict()
        with self.team.together():
            if self.team.first:
                state: dict[str, Any] = {"done": [asdict(e) for e in self.done], "optimiser": plain}
                state |= {"step": self.step, "loss": self.loss, "seconds": self.seconds}
                checkpoint.write(path, parts, identity=self.identity, state=state)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            SettingsError: it is damaged, or belongs to another training.
        """
        parts, state = checkpoint.read(path, identity=self.identity)
        try:
            self.net.load_state_dict(parts["net"])
            if self.averaged is not None:
                self.averaged.load_state_dict(parts["average"])
            self.best = parts["best"]
            restore_optimiser(self.optimiser, parts.get("optimiser", {}), state["optimiser"])
            self.done = [Epoch(**e) for e in state["done"]]
            self.step, self.loss, self.seconds = state["step"], state["loss"], state["seconds"]
            self.generator.set_state(parts["random"]["draws"])
            _restore_dropout(parts["random"], self.team)
        except (KeyError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(f"{path}: a damaged checkpoint ({reason}); delete it to start anew.") from None


def identity_of(net: nn.Module, data: Data, settings: FitSettings, team: Team) -> str:
    """A digest of all that decides the weights but the inputs themselves and the machine."""
    train = data.train
    arrays = {"targets": train.targets, "polish_targets": train.polish_targets, "weights": train.weights}
    definition = asdict(settings) | {"net": str(net), "prepare": repr(data.prepare), "processes": team.size}
    for name, array in arrays.items():
        content = b"" if array is None else np.ascontiguousarray(array).data
        definition[f"{name}_sha256"] = hashlib.sha256(content).hexdigest()
    return digest(definition)


def _dropout_states(device: torch.device) -> Iterator[tuple[str, Tensor]]:
    yield "cpu", torch.get_rng_state()
    if device.type == "cuda":
        yield "cuda", torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        yield "mps", torch.mps.get_rng_state()


def _restore_dropout(states: dict[str, Tensor], team: Team) -> None:
    torch.set_rng_state(states[f"cpu.{team.rank}"])
    # A checkpoint of another kind of device has no state for this one; dropout then goes on from its own.
    if team.device.type == "cuda" and (state := states.get(f"cuda.{team.rank}")) is not None:
        torch.cuda.set_rng_state(state, team.device)
    elif team.device.type == "mps" and (state := states.get(f"mps.{team.rank}")) is not None:
        torch.mps.set_rng_state(state)
