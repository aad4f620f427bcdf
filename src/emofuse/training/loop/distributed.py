"""Several processes train one net: `torchrun --nproc-per-node 2 ...` says by environment variables who is who.

Each process takes its share of every step, gradients are summed, so all nets stay equal. Two processes with batches
of B are one process with batches of 2B, but for dropout and batch norms, which each process does for its own share
(running statistics are averaged). Only the first process writes files.
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

_TIMEOUT = timedelta(hours=2)  # the first process may write checkpoints or read slow disks meanwhile


@dataclass(frozen=True)
class Team:
    """The processes of one training; alone, all of this does nothing."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (a plain value)

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """The part of n rows, in order, that this process predicts."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.size == 1:
            return
        given = list(tensors)
        # All in one: many small exchanges would each wait for the slowest.
        flat = torch.cat([t.detach().reshape(-1).to(self.device, torch.float32) for t in given])
        torch.distributed.all_reduce(flat)
        for tensor, total in zip(given, torch.split(flat, [t.numel() for t in given]), strict=True):
            tensor.detach().copy_(total.view(tensor.shape))

    def same(self, net: nn.Module) -> None:
        """Give all processes the weights and buffers of the first."""
        if self.size > 1:
            for tensor in net.state_dict().values():
                held = tensor.detach().to(self.device).contiguous()
                torch.distributed.broadcast(held, 0)
                tensor.copy_(held)

    def gathered(self, tensor: Tensor) -> list[Tensor]:
        """The tensor of every process, which all have the same shape."""
        if self.size == 1:
            return [tensor]
        own = tensor.to(self.device)
        found = [torch.empty_like(own) for _ in range(self.size)]
        torch.distributed.all_gather(found, own)
        return [t.to(tensor.device) for t in found]

    def agree(self, fact: bool, what: str) -> bool:
        """A fact that must be the same for all.

        Raises:
            SettingsError: it is true for some only.
        """
        found = torch.tensor(float(fact))
        self.sum([found])
        if self.size > 1 and 0 < found < self.size:
            raise SettingsError(f"fit: not for all processes {what}; give all of them the same folder.")
        return fact

    @contextmanager
    def together(self) -> Iterator[None]:
        """If one process fails within with a known error, the others end too instead of waiting for it."""
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
            raise SettingsError("fit: another process of this training could not go on; its message says why.")


@contextmanager
def team(device: torch.device) -> Iterator[Team]:
    """Join the processes that torchrun started, or work alone where it did not.

    Raises:
        SettingsError: the variables of torchrun are incomplete, or the others cannot be reached.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        yield Team(device=device)
        return
    rank = _number("RANK", None)
    if device.type == "cuda":
        device = torch.device("cuda", _number("LOCAL_RANK", rank))
        torch.cuda.set_device(device)
    joined = torch.distributed.is_initialized()
    if not joined:
        try:
            torch.distributed.init_process_group(
                "nccl" if device.type == "cuda" else "gloo", rank=rank, world_size=size, timeout=_TIMEOUT
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(
                f"fit: process {rank} of {size} cannot join ({reason}); start it with torchrun."
            ) from None
    try:
        yield Team(rank, size, device)
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
