from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from emofuse.nets.compact import build
from emofuse.training import loop as fit


def run(path, faces):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": faces})


@pytest.fixture
def net(tmp_path):
    fit.export_onnx(
        fit.fresh(lambda: build(tiny=True), seed=0),
        fit.face_example(48),
        tmp_path / "n.onnx",
        outputs=("embedding", "logits"),
    )
    return tmp_path / "n.onnx"


def test_a_network_in_half_precision_is_half_as_large_and_equal_to_three_digits(net, tmp_path):
    assert fit.halve_onnx(net, tmp_path / "h.onnx") > 0
    weights = sum(np.prod(t.dims) * 4 for t in onnx.load(net).graph.initializer)
    assert net.stat().st_size - (tmp_path / "h.onnx").stat().st_size > 0.4 * weights
    faces = np.random.default_rng(0).random((5, 1, 48, 48), np.float32)
    for plain, half in zip(run(net, faces), run(tmp_path / "h.onnx", faces), strict=True):
        assert half == pytest.approx(plain, abs=2e-3 * float(np.abs(plain).max()))


def test_it_computes_with_the_rounded_weights(net, tmp_path):
    fit.halve_onnx(net, tmp_path / "h.onnx")
    model = onnx.load(net)
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size >= 256:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float16).astype(np.float32), tensor.name))
    onnx.save(model, tmp_path / "r.onnx")
    faces = np.random.default_rng(0).random((5, 1, 48, 48), np.float32)
    for rounded, half in zip(run(tmp_path / "r.onnx", faces), run(tmp_path / "h.onnx", faces), strict=True):
        assert np.array_equal(rounded, half)


def test_weights_beyond_half_precision_are_unchanged(tmp_path):
    class Large(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = torch.nn.Linear(20, 20)
            self.dense.weight.data.fill_(1e6)

        def forward(self, x):
            return self.dense(x)

    fit.export_onnx(Large(), torch.rand(3, 20), tmp_path / "n.onnx", outputs=("y",))
    assert fit.halve_onnx(tmp_path / "n.onnx", tmp_path / "h.onnx") == 0
    assert (tmp_path / "h.onnx").read_bytes() == (tmp_path / "n.onnx").read_bytes()
