"""Faulty networks are refused by the contract, and a network from another package keeps it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from emofuse.core import registry  # noqa: E402
from emofuse.nets.catalogue import NETWORKS, Input, Network, PublishedWeights, network  # noqa: E402
from emofuse.testing import check_network  # noqa: E402 (torch may be missing)

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Settings:
    classes: int = 7


class Plain(nn.Module):
    """Sums of equal stretches of the waveform, then two dense layers."""

    head = ("classify.",)

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.settings = Settings(classes)
        self.dense, self.classify = nn.Linear(16, 8), nn.Linear(8, classes)

    def forward(self, waves):
        embedding = torch.tanh(self.dense(waves.unfold(1, 3_000, 3_000).square().sum(dim=2)))
        return embedding, self.classify(embedding)


def build(classes: int = 7, *, tiny: bool = False) -> nn.Module:
    return Plain(classes)


OWN = Network("own", build)


class Noisy(Plain):
    def forward(self, waves):
        embedding, logits = super().forward(waves)
        return embedding, logits + torch.rand_like(logits)


class MeanOfBatch(Plain):
    def forward(self, waves):
        return super().forward(waves + waves.mean(dim=0))


class Unused(Plain):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.unused = nn.Linear(2, 2)


class HiddenState(Plain):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.scale = torch.rand(8)

    def forward(self, waves):
        embedding = super().forward(waves)[0] * self.scale
        return embedding, self.classify(embedding)


class Constant(Plain):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.1)


class ExtraClass(Plain):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.classify = nn.Linear(8, classes + 1)


class WithoutSettings(Plain):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.settings = Settings()


class Infinite(Plain):
    def forward(self, waves):
        embedding, logits = super().forward(waves)
        return embedding, logits / 0


class Narrow(Plain):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.strided = nn.Conv2d(8, 8, 1, stride=2)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Noisy, "does not restore its output|logits differs between two calls in evaluation mode"),
        (MeanOfBatch, "of a row depends on the rest of its batch"),
        (Unused, "parameters without a gradient: unused.weight, unused.bias"),
        (HiddenState, "does not restore its output; register all state"),
        (Constant, "built with different seeds are equal"),
        (ExtraClass, r"logits are \(6, 3\), expected \(6, 2\)"),
        (WithoutSettings, "built for 2 classes, but settings has 7"),
        (Infinite, "logits has values that are not finite"),
        (Narrow, "strided is a strided 1x1 convolution of 8 channels"),
    ],
)
def test_a_network_that_breaks_the_contract_is_refused(module, message):
    with pytest.raises(AssertionError, match=message):
        check_network(replace(OWN, builder=lambda classes, tiny: module(classes)))


def test_a_head_that_names_no_parameter_is_refused():
    weights = PublishedWeights("w", "a:b", "f", "form", "what", "licence", "https://")
    module = type("Misnamed", (Plain,), {"head": ("classifier.",)})
    with pytest.raises(AssertionError, match=r"no tensor begins with 'classifier\.' of head"):
        check_network(replace(OWN, builder=lambda classes, tiny: module(classes), weights=(weights,)))


def test_a_network_of_another_package_is_found_by_its_entry_point_and_keeps_the_contract(monkeypatch):
    entry = EntryPoint("own", f"{__name__}:OWN", "emofuse.networks")
    monkeypatch.setattr(EntryPoint, "load", lambda self: OWN)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] if group == "emofuse.networks" else [])
    assert "own" in NETWORKS
    assert network("own", Input.WAVEFORMS) is OWN
    check_network(NETWORKS["own"])
