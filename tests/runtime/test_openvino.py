"""OpenVINO as an engine; without it, only what is refused."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from emofuse.errors import BundleError, SettingsError
from emofuse.models.bundle import load
from emofuse.models.face import FaceScorer
from emofuse.runtime import Engine, OnnxNetwork, openvino

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")


@pytest.fixture
def path(tmp_path):
    """A network y = x @ W + 1 with named layers and a free batch size."""
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["product"]), helper.make_node("Add", ["product", "one"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "n.onnx")
    return tmp_path / "n.onnx"


def test_without_openvino_the_device_is_refused_in_one_line_with_the_remedy(monkeypatch):
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.setattr("emofuse.runtime.openvino.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"--device openvino: OpenVINO is not installed; pip install 'emofuse"):
        Engine(device="openvino")


def test_a_broken_installation_is_refused_in_one_line(monkeypatch):
    openvino._core.cache_clear()
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(SettingsError, match=r"OpenVINO cannot be loaded \(.*\); pip install"):
        openvino._core()


@needs_openvino
def test_shapes_types_and_values_are_those_of_onnx_runtime(path):
    expected, found = OnnxNetwork(path), OnnxNetwork(path, Engine(1, "openvino"))
    x = np.random.default_rng(0).random((5, 2), dtype=np.float32)
    np.testing.assert_allclose(found(x, "y"), expected(x, "y"), rtol=1e-6)
    assert found.inputs == {"x": [None, 2]}
    assert found.outputs == {"y": [None, 3]}
    assert found.input_types == expected.input_types == {"x": "tensor(float)"}


@needs_openvino
def test_an_output_is_not_changed_by_the_next_inference(path):
    net = OnnxNetwork(path, Engine(1, "openvino"))
    first = net(np.zeros((1, 2), np.float32), "y")
    net(np.ones((1, 2), np.float32), "y")
    assert first.tolist() == [[1, 1, 1]]


@needs_openvino
def test_inferences_in_several_threads_do_not_mix(path):
    net = OnnxNetwork(path, Engine(1, "openvino"))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda n: net(np.full((3, 2), n, np.float32), "y"), range(50)))
    for n, rows in enumerate(found):
        np.testing.assert_allclose(rows, np.tile([3 * n + 1, 5 * n + 1, 7 * n + 1], (3, 1)), rtol=1e-6)


@needs_openvino
def test_the_default_bundle_predicts_faces_as_with_onnx_runtime_but_for_the_rounding_of_int8():
    bundle, rng = load("default"), np.random.default_rng(0)
    crops = rng.integers(0, 256, (9, bundle.face.crop.size, bundle.face.crop.size, 3), dtype=np.uint8)
    expected, found = (FaceScorer(bundle.face, Engine(1, device), classes=7)(crops) for device in ("cpu", "openvino"))
    assert np.abs(expected - found).mean() < 0.02
    assert not np.array_equal(expected, found)


@needs_openvino
def test_a_file_that_is_not_onnx_is_refused_in_one_line(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"\x08\xff no net")
    with pytest.raises(BundleError, match=r"net\.onnx: cannot be read as an ONNX network \(.+\); get") as caught:
        OnnxNetwork(tmp_path / "net.onnx", Engine(1, "openvino"))
    assert "\n" not in str(caught.value)


@needs_openvino
def test_networks_for_changing_sizes_run_in_onnx_runtime():
    assert Engine(2, "openvino").on_onnx_runtime == Engine(2, "cpu")
    assert Engine(2, "auto").on_onnx_runtime == Engine(2, "auto")


@needs_openvino
def test_the_engine_and_its_version_are_part_of_the_identity_of_a_result():
    assert Engine(device="openvino").providers[0].startswith("OpenVINO 20")


@needs_openvino
@pytest.mark.slow
def test_openvino_opens_no_socket_and_its_telemetry_is_never_imported(path):
    code = (
        "import sys, numpy as np, pathlib; sockets = []\n"
        "sys.addaudithook(lambda event, args: sockets.append(event) if event.startswith('socket.') else None)\n"
        "from emofuse.runtime import Engine, OnnxNetwork\n"
        f"net = OnnxNetwork(pathlib.Path({str(path)!r}), Engine(1, 'openvino'))\n"
        "net(np.zeros((1, 2), np.float32), 'y')\n"
        "assert sys.modules['openvino_telemetry'] is None and not sockets, sockets"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
