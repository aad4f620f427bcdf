from __future__ import annotations

import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import SettingsError  # noqa: E402
from emofuse.training.loop import OPTIMISERS, SCHEDULES, FitSettings, fresh, lr_at  # noqa: E402
from emofuse.training.loop.optimisers import optimiser, optimiser_state, restore_optimiser, set_lr  # noqa: E402
from support.small_trainings import Residuals, layers  # noqa: E402 (torch may be missing)

NET = FitSettings(optimiser="sgd", lr=0.1)


def stepped(net: torch.nn.Module, opt: torch.optim.Optimizer, *, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        opt.zero_grad()
        net.eval()(torch.rand(4, 12, 12, generator=generator)).square().sum().backward()
        opt.step()


# Optimisers


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_resumes_exactly_from_its_state(name):
    settings = replace(NET, optimiser=name, lr=0.01)
    one, two = fresh(layers, seed=1), fresh(layers, seed=1)
    first = optimiser(one, settings)
    stepped(one, first, steps=3, seed=0)
    two.load_state_dict(one.state_dict())
    second = optimiser(two, settings)
    restore_optimiser(second, *optimiser_state(first))
    for net, opt in ((one, first), (two, second)):
        stepped(net, opt, steps=2, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_restored_state_has_the_memory_layout_of_its_parameter():
    net = fresh(Residuals, seed=1).to(memory_format=torch.channels_last)
    opt = optimiser(net, NET)
    conv = net.stages[0].body[0].weight
    restore_optimiser(opt, {"3.momentum_buffer": torch.ones(16, 16, 3, 3)}, {})
    assert [*net.parameters()][3] is conv
    assert opt.state[conv]["momentum_buffer"].stride() == conv.stride()


@pytest.mark.parametrize(("name", "wanted"), [("adam-amsgrad", True), ("adamw-amsgrad", True), ("adamw", False)])
def test_amsgrad_is_selected_by_name(name, wanted):
    opt = optimiser(layers(), replace(NET, optimiser=name, weight_decay=1e-5))
    assert (opt.defaults["amsgrad"], opt.defaults["weight_decay"]) == (wanted, 1e-5)


# Layers


def test_the_longest_matching_prefix_determines_the_factor_of_a_layer():
    factors = {"stages": 0.5, "stages.0": 0.1, "classify": 10.0}
    net = Residuals()
    opt = optimiser(net, replace(NET, lr_factors=factors))
    set_lr(opt, 0.2)
    lr = {id(p): group["lr"] for group in opt.param_groups for p in group["params"]}
    found = {name: lr[id(p)] for name, p in net.named_parameters()}
    assert found["stem.0.weight"] == 0.2
    assert found["stages.0.body.0.weight"] == pytest.approx(0.02)
    assert found["stages.1.body.0.weight"] == pytest.approx(0.1)
    assert found["classify.bias"] == pytest.approx(2.0)


def test_prefixes_match_whole_components_of_names():
    net = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(11)))
    optimiser(net, replace(NET, frozen=("1",)))
    assert [name for name, p in net.named_parameters() if not p.requires_grad] == ["1.weight", "1.bias"]


def test_the_optimiser_does_not_contain_frozen_parameters():
    net = Residuals()
    opt = optimiser(net, replace(NET, frozen=("stem", "stages")))
    given = [p for group in opt.param_groups for p in group["params"]]
    assert {id(p) for p in given} == {id(p) for p in net.classify.parameters()}


@pytest.mark.parametrize("changed", [{"frozen": ("stagess",)}, {"lr_factors": {"stagess.0": 1.0}}], ids=str)
def test_an_unknown_layer_suggests_the_nearest(changed):
    with pytest.raises(
        SettingsError, match=r"no layer begins with 'stagess.*did you mean 'stages.*; there are: classify, stages"
    ):
        optimiser(Residuals(), replace(NET, **changed))


def test_freezing_everything_is_refused():
    with pytest.raises(SettingsError, match="all layers are frozen"):
        optimiser(Residuals(), replace(NET, frozen=("stem", "stages", "classify")))


# Learning rates


def test_a_cosine_rises_over_the_warmup_and_ends_at_zero():
    settings = FitSettings(epochs=5, lr=2.0, warmup_epochs=1.0)
    assert lr_at(settings, 0) == pytest.approx(0.02)
    assert lr_at(settings, 0.49) == pytest.approx(1.0)
    assert lr_at(settings, 1) == 2.0
    assert lr_at(settings, 3) == pytest.approx(1.0)
    assert lr_at(settings, 4.999) < 1e-5


def test_a_constant_rate_is_constant():
    settings = FitSettings(epochs=5, lr=3e-5, warmup_epochs=0, schedule="constant")
    assert {lr_at(settings, e / 10) for e in range(50)} == {3e-5}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_polish_epochs_restart_at_their_own_rate(schedule):
    settings = FitSettings(epochs=5, polish_epochs=2, polish_lr=0.02, schedule=schedule)
    expected = [0.01 * (1 + math.cos(math.pi * part)) for part in (0, 0.25, 0.5, 0.75)]
    assert [lr_at(settings, e) for e in (5, 5.5, 6, 6.5)] == pytest.approx(expected)
