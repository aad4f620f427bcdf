"""The contract of networks (`emofuse.nets.catalogue.Network`); needs torch."""

from __future__ import annotations

import tempfile
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emofuse.nets.catalogue import Input, Network
from emofuse.runtime import Engine, OnnxNetwork
from emofuse.training.loop.devices import fresh
from emofuse.training.loop.export import export_onnx

SAMPLES = 48_000
SEGMENTS = 4


def check_network(network: Network, *, no_gradient: Container[str] = (), tolerance: float = 1e-4) -> None:
    """Check a network against the contract of `emofuse.nets.catalogue.Network`, on its tiny version.

    The module returns finite float32 (embedding [n, features], logits [n, classes]) for any batch size and number of
    classes, and logits [n, segments, classes] for several segments; the same seed builds the same weights; in
    evaluation mode the output is deterministic and independent of the rest of the batch; in training every parameter
    receives a gradient; state dicts restore it; its ONNX export is equal to it at any batch size; no convolution
    is one that oneDNN computes wrongly.

    Args:
        no_gradient: names of parameters that have no effect, such as a bias before a batch norm.
        tolerance: largest difference of the ONNX export, relative to the largest value.
    Raises:
        AssertionError: a part of the contract that the network does not keep, and what was found.

    >>> from emofuse.nets.catalogue import NETWORKS
    >>> check_network(NETWORKS["mobilefacenet"])
    """
    inputs = _inputs(network, 6)
    _check_shapes(network, inputs)
    _check_convolutions(network)
    net = fresh(lambda: network.build(tiny=True), seed=1)
    _check_weights(network, net, inputs)
    _check_gradients(net, inputs, no_gradient)
    _check_evaluation(net.eval(), inputs)
    _check_export(net, inputs, tolerance)


def _inputs(network: Network, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if network.input is Input.WAVEFORMS:
        return 0.1 * torch.randn(n, SAMPLES, generator=generator)
    given, size = network.preprocessing, network.tiny_size
    assert given is not None
    assert size, "tiny_size is 0; give the size of the faces that the tiny version takes."
    pixels = 255 * torch.rand(n, given.colour.channels, size, size, generator=generator)
    mean, scale = (torch.tensor(values).view(1, -1, 1, 1) for values in (given.mean, given.scale))
    return (pixels - mean) / scale


def _check_shapes(network: Network, inputs: Tensor) -> None:
    for classes, segments in ((2, 1), (7, 1), (8, SEGMENTS if network.sequence else 1)):
        net = network.build(classes, tiny=True, samples=SAMPLES, segments=segments).eval()
        assert net.settings.classes == classes, f"built for {classes} classes, but settings has {net.settings.classes}."
        own = list(net.state_dict())
        for prefix in net.head if network.weights else ():
            assert any(name.startswith(prefix) for name in own), f"no tensor begins with {prefix!r} of head."
        with torch.inference_mode():
            embedding, logits = net(inputs)
        rows = (len(inputs), *[segments] * (segments > 1))
        assert logits.shape == (*rows, classes), f"logits are {tuple(logits.shape)}, expected {(*rows, classes)}."
        assert embedding.ndim == len(rows) + 1, (
            f"embedding is {tuple(embedding.shape)}, expected {(*rows, 'features')}."
        )
        assert embedding.shape[:-1] == rows, f"embedding is {tuple(embedding.shape)}, expected {(*rows, 'features')}."
        for name, values in (("embedding", embedding), ("logits", logits)):
            assert values.dtype == torch.float32, f"{name} is {values.dtype}, expected float32."
            assert values.isfinite().all(), f"{name} has values that are not finite."


def _check_convolutions(network: Network) -> None:
    for tiny in (False, True):
        with torch.device("meta"):
            net = network.build(tiny=tiny)
        for name, module in net.named_modules():
            # In channels_last its backward pass writes past its buffer: a crash, a hang or wrong gradients
            # (uxlfoundation/oneDNN issue 6035; the block is 8 channels with AVX2, 16 with AVX-512).
            strided = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride != (1, 1)
            assert not strided or module.in_channels >= 16, (
                f"{name} is a strided 1x1 convolution of {module.in_channels} channels, which oneDNN computes wrongly; "
                "use at least 16."
            )


def _check_weights(network: Network, net: Any, inputs: Tensor) -> None:
    again, other = (fresh(lambda: network.build(tiny=True), seed=seed) for seed in (1, 2))
    state = net.state_dict()
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in state.items()), (
        "two networks built with the same seed differ; draw initial weights from torch's global generator alone."
    )
    assert not all(torch.equal(v, other.state_dict()[k]) for k, v in state.items()), (
        "two networks built with different seeds are equal; initialise the weights at random."
    )
    other.load_state_dict(state)
    with torch.inference_mode():
        assert torch.equal(other.eval()(inputs)[1], again.eval()(inputs)[1]), (
            "loading the state dict of an equal network does not restore its output; register all state."
        )


def _check_gradients(net: Any, inputs: Tensor, no_gradient: Container[str]) -> None:
    net.train()
    torch.manual_seed(0)
    logits = net(inputs)[1]
    nn.functional.cross_entropy(logits, torch.arange(len(inputs)) % logits.shape[1]).backward()  # type: ignore[no-untyped-call]
    missing = [n for n, p in net.named_parameters() if n not in no_gradient and (p.grad is None or not p.grad.any())]
    assert not missing, f"parameters without a gradient: {', '.join(missing)}."


def _check_evaluation(net: Any, inputs: Tensor) -> None:
    with torch.inference_mode():
        first, second = net(inputs), net(inputs)
        alone = [net(row) for row in inputs[:, None]]
    for n, name in enumerate(("embedding", "logits")):
        assert torch.equal(first[n], second[n]), f"{name} differs between two calls in evaluation mode."
        difference = _difference(first[n].numpy(), torch.cat([each[n] for each in alone]).numpy())
        assert difference < 1e-4, f"{name} of a row depends on the rest of its batch (by {difference:.1e})."


def _check_export(net: Any, inputs: Tensor, tolerance: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        error = export_onnx(net, inputs[:3], path, outputs=("embedding", "logits"))
        assert error < tolerance, f"the ONNX export differs by {error:.1e}, more than {tolerance:.0e}."
        with torch.inference_mode():
            expected = net(inputs)[1].numpy()
        difference = _difference(OnnxNetwork(path, Engine(1, "cpu"))(inputs.numpy(), "logits"), expected)
    assert difference < tolerance, f"at another batch size the ONNX export differs by {difference:.1e}."


def _difference(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))
