from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import SettingsError  # noqa: E402 (torch may be missing)
from emofuse.training.loop import device, devices, fresh  # noqa: E402

CPU = torch.device("cpu")


def test_auto_is_the_cpu_without_a_gpu(monkeypatch):
    monkeypatch.setattr(devices, "_AVAILABLE", {"cuda": lambda: False, "mps": lambda: False, "cpu": lambda: True})
    assert device("auto") == CPU


def test_auto_is_a_gpu_if_there_is_one(monkeypatch):
    monkeypatch.setattr(devices, "_AVAILABLE", {"cuda": lambda: True, "mps": lambda: True, "cpu": lambda: True})
    assert device("auto").type == "cuda"


def test_an_unavailable_device_is_refused_with_the_available_ones(monkeypatch):
    monkeypatch.setattr(devices, "_AVAILABLE", {"cuda": lambda: False, "cpu": lambda: True})
    with pytest.raises(SettingsError, match="torch finds no cuda on this machine; use auto, or one of: cpu"):
        device("cuda")


def test_an_unknown_device_suggests_the_nearest():
    with pytest.raises(
        SettingsError, match=r"fit: device 'cudaa': unknown \(did you mean 'cuda'\?\); choose auto, cuda, mps, cpu"
    ):
        device("cudaa")


def test_fresh_weights_come_from_the_seed_and_leave_the_global_generator_unchanged():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    one, two, other = (fresh(lambda: torch.nn.Linear(3, 3), seed=seed).weight for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(torch.rand(1), expected)
