"""Inputs and outputs of the submodules of a network in one forward pass."""

from __future__ import annotations

from torch import Tensor, nn


def module_calls(net: nn.Module, inputs: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """The (input, output) of each submodule by its name; the last call, if there are several."""
    calls: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = [
        module.register_forward_hook(lambda _, given, output, name=name: calls.update({name: (given[0], output)}))
        for name, module in net.named_modules()
    ]
    try:
        net(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return calls
