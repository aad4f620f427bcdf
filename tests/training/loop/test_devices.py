from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import SettingsError  # noqa: E402 (torch may be missing)
from emofuse.training.loop import Precision, device, devices, fresh  # noqa: E402
from emofuse.training.loop.devices import autocast, has_native_bfloat16  # noqa: E402

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


@pytest.mark.parametrize(
    ("precision", "native", "expected"),
    [
        (Precision.FLOAT32, True, torch.float32),
        (Precision.BFLOAT16, False, torch.bfloat16),
        (Precision.AUTO, True, torch.bfloat16),
        (Precision.AUTO, False, torch.float32),
    ],
)
def test_auto_precision_is_bfloat16_only_on_native_devices(monkeypatch, precision, native, expected):
    monkeypatch.setattr(devices, "_cpu_flags", lambda: frozenset({"avx512_bf16"} if native else {"avx2"}))
    with autocast(CPU, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected


def test_amx_is_native_bfloat16(monkeypatch):
    monkeypatch.setattr(devices, "_cpu_flags", lambda: frozenset({"amx_bf16"}))
    assert has_native_bfloat16(CPU)


def test_fresh_weights_come_from_the_seed_and_leave_the_global_generator_unchanged():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    one, two, other = (fresh(lambda: torch.nn.Linear(3, 3), seed=seed).weight for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(torch.rand(1), expected)
