from __future__ import annotations

import threading

import numpy as np
import onnxruntime
import pytest

from emofuse.errors import BundleError, SettingsError, WeightsError
from emofuse.models.bundle import load
from emofuse.runtime import Engine, OnnxNetwork


@pytest.fixture(scope="module")
def path():
    return load("default").face.net


def test_an_unknown_device_suggests_the_nearest():
    with pytest.raises(SettingsError, match=r"--device cud: unknown .did you mean 'cuda'\?.; choose one of auto, cuda"):
        Engine(device="cud")


def test_a_device_that_is_not_available_says_what_to_do():
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(SettingsError, match="use --device cpu"):
        Engine(device="cuda")


def test_a_negative_number_of_threads_is_refused():
    with pytest.raises(SettingsError, match=r"--threads -1: give 0 \(one for each core\) or more"):
        Engine(-1)


def test_a_parallel_map_keeps_the_order_and_uses_its_threads():
    both = threading.Barrier(2, timeout=10)  # passes only if two items are processed at once
    assert list(Engine(2).parallel_map()(lambda n: (both.wait(), n)[1], [1, 2])) == [1, 2]
    assert Engine(1).parallel_map() is map


def test_an_output_is_that_of_onnx_runtime(path):
    network = OnnxNetwork(path)
    ((name, shape),) = network.inputs.items()
    batch = np.random.default_rng(0).random((2, *shape[1:]), np.float32)
    expected = onnxruntime.InferenceSession(str(path)).run(["logits"], {name: batch})[0]
    np.testing.assert_allclose(network(batch, "logits"), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(network.run(("logits",), {name: batch})[0], network(batch, "logits"))


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(WeightsError, match=r"net\.onnx: there is no such file; fetch it\."):
        OnnxNetwork(tmp_path / "net.onnx", error=WeightsError, remedy="fetch it")


@pytest.mark.parametrize("content", [b"", b"\x08\xff no net", b"<html>\nNot found\n</html>"])
def test_a_file_that_is_not_onnx_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"net\.onnx: cannot be read as an ONNX network \(.+\); get") as caught:
        OnnxNetwork(tmp_path / "net.onnx")
    assert "\n" not in str(caught.value)
