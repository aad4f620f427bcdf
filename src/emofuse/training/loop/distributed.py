"""Training one network in several processes: `torchrun --nproc-per-node 2 ...` identifies them in the environment.

Each process computes a part of every step and gradients are summed, so all networks stay equal. Two processes with
batches of B equal one process with batches of 2B, except for dropout and batch norms, which each process applies to its
own part (running statistics are averaged). Only the first process writes files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed
from torch import Tensor, nn

from emofuse.errors import EmofuseError, SettingsError

_TIMEOUT = timedelta(hours=2)  # others wait while the first process writes checkpoints or reads slow disks


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one training; for a single process all methods do nothing."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (a plain value)

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def rows(self, n: int) -> slice:
        """The part of n rows, in order, that this process predicts."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.size == 1:
            return
        given = list(tensors)
        # All at once: each of many small exchanges would wait for the slowest process.
        flat = torch.cat([t.detach().reshape(-1).to(self.device, torch.float32) for t in given])
        torch.distributed.all_reduce(flat)
        for tensor, total in zip(given, torch.split(flat, [t.numel() for t in given]), strict=True):
            tensor.detach().copy_(total.view(tensor.shape))

    def broadcast(self, net: nn.Module) -> None:
        """Copy the weights and buffers of the first process to all."""
        if self.size > 1:
            for tensor in net.state_dict().values():
                held = tensor.detach().to(self.device).contiguous()
                torch.distributed.broadcast(held, 0)
                tensor.copy_(held)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensor of every process; all must have the same shape."""
        if self.size == 1:
            return [tensor]
        own = tensor.to(self.device)
        found = [torch.empty_like(own) for _ in range(self.size)]
        torch.distributed.all_gather(found, own)
        return [t.to(tensor.device) for t in found]

    def same(self, condition: bool, what: str) -> bool:
        """A condition that must have the same value in all processes.

        Raises:
            SettingsError: it is true in some processes only.
        """
        found = torch.tensor(float(condition))
        self.sum([found])
        if self.size > 1 and 0 < found < self.size:
            raise SettingsError(f"fit: {what} in some processes only; give all of them the same folder.")
        return condition

    @contextmanager
    def fail_together(self) -> Iterator[None]:
        """If the block fails with a known error in one process, fail in the others too instead of waiting for it."""
        error: EmofuseError | None = None
        try:
            yield
        except EmofuseError as found:
            error = found
        failed = torch.tensor(float(error is not None))
        self.sum([failed])
        if error is not None:
            raise error
        if failed:
            raise SettingsError("fit: another process of this training failed; see its message.")


@contextmanager
def process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started; without torchrun, a group of one.

    Raises:
        SettingsError: the variables of torchrun are incomplete, or the other processes cannot be reached.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        yield ProcessGroup(device=device)
        return
    rank = _number("RANK", None)
    if device.type == "cuda":
        device = torch.device("cuda", _number("LOCAL_RANK", rank))
        torch.cuda.set_device(device)
    joined = torch.distributed.is_initialized()
    if not joined:
        backend = "nccl" if device.type == "cuda" else "gloo"
        try:
            torch.distributed.init_process_group(backend, rank=rank, world_size=size, timeout=_TIMEOUT)
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(
                f"fit: process {rank} of {size} cannot join ({reason}); start it with torchrun."
            ) from None
    try:
        yield ProcessGroup(rank, size, device)
    finally:
        if not joined:
            torch.distributed.destroy_process_group()


def _number(variable: str, default: int | None) -> int:
    text = os.environ.get(variable, default)
    try:
        return int(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise SettingsError(
            f"fit: WORLD_SIZE is set, but {variable} is {text!r}; start all processes with torchrun, or unset it."
        ) from None
