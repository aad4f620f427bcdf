"""The state of a training between steps, and checkpoints: one safetensors file from which a killed training resumes.

A checkpoint replaces the last one in a single step, so after a full disk or a kill the last one is intact.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emofuse.core.arrays import ArrayFormat
from emofuse.core.files import digest
from emofuse.errors import SettingsError
from emofuse.nets.pretrained import tensor_bytes
from emofuse.systems.training_settings import FitSettings
from emofuse.training.loop.devices import laid_out
from emofuse.training.loop.distributed import ProcessGroup
from emofuse.training.loop.examples import TrainingData
from emofuse.training.loop.logs import Epoch
from emofuse.training.loop.optimisers import optimiser, optimiser_state, restore_optimiser

Tensors = dict[str, dict[str, Tensor]]

FORMAT = ArrayFormat("checkpoint", 1, remedy="delete it to start again", error=SettingsError)


def write_checkpoint(
    path: Path, tensors: Mapping[str, Mapping[str, Tensor]], *, identity: str, state: Mapping[str, Any]
) -> None:
    """Write a checkpoint.

    Args:
        tensors: by group and name.
        identity: of the training, to be given to `read_checkpoint`.
        state: JSON values.
    Raises:
        OutputError: the disk is full, or the folder cannot be written; the last checkpoint is kept.
    """
    flat = {f"{group}.{name}": t for group, held in tensors.items() for name, t in held.items()}
    FORMAT.write(path, flat, {"identity": identity, "state": state}, as_bytes=tensor_bytes)


def read_checkpoint(path: Path, *, identity: str) -> tuple[Tensors, dict[str, Any]]:
    """The tensors, by group and name, and the state of a checkpoint.

    Raises:
        SettingsError: the file is damaged, or belongs to a training with another identity.
    """
    flat, meaning = FORMAT.read(path, framework="pt")
    if meaning.get("identity") != identity:
        raise SettingsError(f"{path}: a checkpoint of a training with other settings; delete it or use another folder.")
    tensors: Tensors = {}
    for key, value in flat.items():
        group, _, name = key.partition(".")
        tensors.setdefault(group, {})[name] = value
    return tensors, meaning["state"]


class State:
    """Live state of one training.

    net: on the device of the process group. averaged: the average of its weights, or None.
    best: weights of the best epoch. done: finished epochs.
    step, loss, seconds: number of steps in the current epoch, the sum of their losses, their duration.
    generator: source of the random numbers of the epoch, except for those of dropout.
    """

    def __init__(self, net: nn.Module, data: TrainingData, settings: FitSettings, group: ProcessGroup) -> None:
        self.identity = identity_of(net, data, settings, group)
        self.group = group
        self.net = laid_out(net, torch.channels_last).to(group.device)
        group.broadcast(self.net)
        self.optimiser = optimiser(self.net, settings)
        self.averaged: torch.optim.swa_utils.AveragedModel | None = None
        if settings.ema_decay is not None:
            decay = torch.optim.swa_utils.get_ema_multi_avg_fn(settings.ema_decay)  # type: ignore[no-untyped-call]
            self.averaged = torch.optim.swa_utils.AveragedModel(self.net, multi_avg_fn=decay, use_buffers=True)
        elif settings.swa_start_epoch is not None:
            self.averaged = torch.optim.swa_utils.AveragedModel(self.net)
        self._average_from = settings.swa_start_epoch or 0
        self.done: list[Epoch] = []
        self.step, self.loss, self.seconds = 0, 0.0, 0.0
        self.generator = torch.Generator()
        self.best: dict[str, Tensor] = {}
        self.keep()

    def update_average(self, epoch: int) -> None:
        """Include the weights after a step in the average."""
        if self.averaged is not None and epoch >= self._average_from:
            self.averaged.update_parameters(self.net)

    @property
    def validated(self) -> nn.Module:
        """The network that is validated and kept: the average, if there is one."""
        if self.averaged is None or (self._average_from and not self.averaged.n_averaged):
            return self.net
        return self.averaged.module

    def keep(self) -> None:
        """Store the weights as the best so far, in CPU memory."""
        held = self.validated
        self.best = {k: v.detach().to("cpu", copy=True) for k, v in held.state_dict().items()}

    def finite(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(p.isfinite().all()) for p in self.net.parameters())

    def save(self, path: Path) -> None:
        """Write a checkpoint; all processes must call this.

        Raises:
            OutputError: it cannot be written; the last one is kept.
        """
        kept, plain = optimiser_state(self.optimiser)
        tensors: Tensors = {"net": self.net.state_dict(), "best": self.best, "optimiser": kept}
        tensors["random"] = {"draws": self.generator.get_state()}
        for name, own in _dropout_states(self.group.device):
            tensors["random"] |= {f"{name}.{rank}": s for rank, s in enumerate(self.group.gather(own))}
        if self.averaged is not None:
            tensors["average"] = self.averaged.state_dict()
        with self.group.fail_together():
            if self.group.first:
                state: dict[str, Any] = {"done": [_to_json(e) for e in self.done], "optimiser": plain}
                state |= {"step": self.step, "loss": self.loss, "seconds": self.seconds}
                write_checkpoint(path, tensors, identity=self.identity, state=state)

    def load(self, path: Path) -> None:
        """Resume from a checkpoint.

        Raises:
            SettingsError: it is damaged, or belongs to another training.
        """
        tensors, state = read_checkpoint(path, identity=self.identity)
        try:
            self.net.load_state_dict(tensors["net"])
            if self.averaged is not None:
                self.averaged.load_state_dict(tensors["average"])
            self.best = tensors["best"]
            restore_optimiser(self.optimiser, tensors.get("optimiser", {}), state["optimiser"])
            self.done = [_epoch(e) for e in state["done"]]
            self.step, self.loss, self.seconds = state["step"], state["loss"], state["seconds"]
            self.generator.set_state(tensors["random"]["draws"])
            _restore_dropout(tensors["random"], self.group)
        except (KeyError, TypeError, RuntimeError) as error:
            raise FORMAT.damaged(path, str(error).splitlines()[0]) from None


def identity_of(net: nn.Module, data: TrainingData, settings: FitSettings, group: ProcessGroup) -> str:
    """A digest of all that determines the weights, except for the inputs and the machine."""
    train = data.train
    arrays: dict[str, NDArray[Any] | None] = {"targets": train.targets, "polish_targets": train.polish_targets}
    arrays |= {"weights": train.weights, "possible": train.possible, "identities": train.identities}
    definition = asdict(settings) | {"net": str(net), "prepare": repr(data.prepare), "processes": group.size}
    for name, array in arrays.items():
        content = b"" if array is None else np.ascontiguousarray(array).data
        definition[f"{name}_sha256"] = hashlib.sha256(content).hexdigest()
    return digest(definition)


def _to_json(epoch: Epoch) -> dict[str, Any]:
    return asdict(epoch) | {"measures": {k: None if math.isnan(v) else v for k, v in epoch.measures.items()}}


def _epoch(values: dict[str, Any]) -> Epoch:
    return Epoch(**values | {"measures": {k: math.nan if v is None else v for k, v in values["measures"].items()}})


def _dropout_states(device: torch.device) -> Iterator[tuple[str, Tensor]]:
    yield "cpu", torch.get_rng_state()
    if device.type == "cuda":
        yield "cuda", torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        yield "mps", torch.mps.get_rng_state()


def _restore_dropout(states: dict[str, Tensor], group: ProcessGroup) -> None:
    torch.set_rng_state(states[f"cpu.{group.rank}"])
    # A checkpoint from another kind of device has no state for this one; dropout then continues from its own.
    if group.device.type == "cuda" and (state := states.get(f"cuda.{group.rank}")) is not None:
        torch.cuda.set_rng_state(state, group.device)
    elif group.device.type == "mps" and (state := states.get(f"mps.{group.rank}")) is not None:
        torch.mps.set_rng_state(state)
