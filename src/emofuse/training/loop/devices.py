"""Devices, memory layout and initial weights."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import nn

from emofuse.core.registry import find
from emofuse.errors import SettingsError

_AVAILABLE: Mapping[str, Callable[[], bool]] = MappingProxyType(
    {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available, "cpu": lambda: True}
)
DEVICES = ("auto", *_AVAILABLE)


def device(name: str = "auto") -> torch.device:
    """A device by name; `auto` is a GPU if there is one.

    Raises:
        SettingsError: the name is unknown, or this machine has no such device.

    >>> device("cpu")
    device(type='cpu')
    """
    find(name, dict.fromkeys(DEVICES), "fit: device")
    if name == "auto":
        name = next(n for n, available in _AVAILABLE.items() if available())
    elif not _AVAILABLE[name]():
        found = ", ".join(n for n, available in _AVAILABLE.items() if available())
        raise SettingsError(f"fit: torch finds no {name} on this machine; use auto, or one of: {found}.")
    return torch.device(name)


def laid_out(net: nn.Module, layout: torch.memory_format) -> nn.Module:
    """The network itself, with the weights of its 2D convolutions in a memory layout."""
    return net.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the rest of the process.

    By default it returns each freed activation to the kernel and faults it in again at the next step; keeping it makes
    training on the CPU up to 1.3 times faster (docs/decisions.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # musl does not have it
        mallopt(-4, 0)  # M_MMAP_MAX
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def fresh(build: Callable[[], nn.Module], *, seed: int) -> nn.Module:
    """A new network with initial weights from `seed`; the global random generator is unchanged."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()
