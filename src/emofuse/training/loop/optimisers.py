"""Optimisers and learning rate schedules by name, with frozen layers and learning rates per layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from emofuse.core.registry import find, nearest
from emofuse.errors import SettingsError
from emofuse.systems.training_settings import FitSettings

OPTIMISERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = MappingProxyType(
    {
        "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
        "adam": torch.optim.Adam,
        "adam-amsgrad": partial(torch.optim.Adam, amsgrad=True),
        "adamw": torch.optim.AdamW,
        "adamw-amsgrad": partial(torch.optim.AdamW, amsgrad=True),
        "nadam": torch.optim.NAdam,
    }
)


def optimiser(net: nn.Module, settings: FitSettings) -> torch.optim.Optimizer:
    """The optimiser of a network, with one group of parameters for each factor of the learning rate.

    Parameters of frozen layers no longer require gradients.

    Raises:
        SettingsError: the optimiser is unknown, or no layer begins with a given name.
    """
    build = find(settings.optimiser, OPTIMISERS, "fit: optimiser")
    names = [name for name, _ in net.named_parameters()]
    for prefix in (*settings.frozen, *settings.lr_factors):
        if not any(_begins(name, prefix) for name in names):
            tops = {name.split(".")[0] for name in names}
            raise SettingsError(
                f"fit: no layer begins with {prefix!r}{nearest(prefix, [*tops, *names])}; there are: "
                f"{', '.join(sorted(tops))}."
            )
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if any(_begins(name, prefix) for prefix in settings.frozen):
            parameter.requires_grad_(False)
        elif parameter.requires_grad:
            groups.setdefault(_factor(name, settings.lr_factors), []).append(parameter)
    if not groups:
        raise SettingsError("fit: all layers are frozen, so there is nothing to train; give fewer names in frozen.")
    given = [{"params": parameters, "factor": factor} for factor, parameters in groups.items()]
    return build(given, lr=settings.lr, weight_decay=settings.weight_decay)


def set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group["factor"]


def frozen_modules(net: nn.Module, settings: FitSettings) -> Iterator[nn.Module]:
    """Modules of frozen layers, which stay in evaluation mode, without dropout and with fixed batch norms."""
    for name, module in net.named_modules():
        if name and any(_begins(name, prefix) for prefix in settings.frozen):
            yield module


def _begins(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix.rstrip(".") + ".")


def _factor(name: str, factors: Mapping[str, float]) -> float:
    matching = [prefix for prefix in factors if _begins(name, prefix)]
    return factors[max(matching, key=len)] if matching else 1.0


def _cosine(settings: FitSettings, epoch: float) -> float:
    after = settings.epochs - settings.warmup_epochs
    return _half_cosine(settings.lr, (epoch - settings.warmup_epochs) / after)


def _constant(settings: FitSettings, epoch: float) -> float:
    return settings.lr


SCHEDULES: Mapping[str, Callable[[FitSettings, float], float]] = MappingProxyType(
    {"constant": _constant, "cosine": _cosine}
)


def lr_at(settings: FitSettings, epoch: float) -> float:
    """The learning rate at a point of the training, in epochs with fractions.

    It rises over `warmup_epochs`, follows the schedule, and restarts at `polish_lr` for the polish epochs.

    >>> [round(lr_at(FitSettings(epochs=3, lr=1.0), epoch), 3) for epoch in (0, 0.5, 1, 2, 2.5)]
    [0.01, 0.51, 1.0, 0.5, 0.146]
    """
    if epoch >= settings.epochs:
        return _half_cosine(settings.polish_lr, (epoch - settings.epochs) / max(settings.polish_epochs, 1))
    if epoch < settings.warmup_epochs:
        return settings.lr * (epoch + 0.01) / settings.warmup_epochs
    return find(settings.schedule, SCHEDULES, "fit: schedule")(settings, epoch)


def _half_cosine(lr: float, progress: float) -> float:
    return lr * 0.5 * (1 + math.cos(math.pi * progress))


def optimiser_state(optimiser: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """State of an optimiser: tensors and plain values, both by "parameter number.name"."""
    tensors: dict[str, torch.Tensor] = {}
    scalars: dict[str, Any] = {}
    for number, values in optimiser.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}.{name}"] = value
            elif value is not None:
                scalars[f"{number}.{name}"] = value
    return tensors, scalars


def restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], scalars: Mapping[str, Any]
) -> None:
    """Restore the result of `optimiser_state`, on the device and in the memory layout of each parameter."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **scalars}.items():
        number, _, name = key.partition(".")
        like = parameters[int(number)]
        if isinstance(value, torch.Tensor):
            alike = value.ndim > 0 and value.shape == like.shape
            value = torch.empty_like(like, dtype=value.dtype).copy_(value) if alike else value.clone()
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
