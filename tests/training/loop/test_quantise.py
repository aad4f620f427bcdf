from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from emofuse.errors import OutputError, SettingsError, ShapeError, WeightsError  # noqa: E402
from emofuse.nets.vggface2 import VGGFace2  # noqa: E402
from emofuse.runtime import OnnxNetwork  # noqa: E402
from emofuse.training.loop import (  # noqa: E402
    export_onnx,
    face_example,
    fresh,
    halve_onnx,
    quantise_dense_onnx,
    quantise_onnx,
)
from support.small_trainings import Residuals  # noqa: E402 (torch may be missing)
from support.tiny_networks import VGGFACE2  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter, about itself


def faces(n: int, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 1, 48, 48), dtype=np.float32)


CALIBRATION, HELD_OUT = faces(12, seed=0), faces(6, seed=1)


class Scaling(torch.nn.Module):
    """Each of two values times its own weight, as a convolution."""

    def __init__(self, first: float, second: float) -> None:
        super().__init__()
        self.weigh = torch.nn.Conv1d(1, 2, 1, bias=False)
        self.weigh.weight.data = torch.tensor([first, second]).view(2, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weigh(x)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A small face network whose batch norms are not the identity."""
    path = tmp_path_factory.mktemp("float") / "net.onnx"
    module = fresh(Residuals, seed=9).train()
    module(torch.from_numpy(faces(16, seed=2)))
    with torch.no_grad():
        module.classify.weight.mul_(10)  # so that faces differ in their largest logit
    export_onnx(module, face_example(48, n=2), path, outputs=("embedding", "logits"))
    return path


def quantised(net, path, **more) -> None:
    quantise_onnx(net, path, **{"calibration": [CALIBRATION]} | more)


def run(path, x: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})


def weights(path) -> dict[str, np.ndarray]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def exported(path, module: torch.nn.Module, *example: torch.Tensor, inputs: tuple[str, ...] = ("input",)):
    export_onnx(module, example, path, outputs=("y",), inputs=inputs)
    return path


def of_numbers(tmp_path, weight: tuple[float, float] = (1.0, 0.1)):
    return exported(tmp_path / "scaling.onnx", Scaling(*weight), torch.rand(2, 1, 3))


# -- outputs and weights --------------------------------------------------------------------------------------


def test_the_int8_network_is_close_to_the_float32_network_and_not_equal(tmp_path, net):
    quantised(net, tmp_path / "int8.onnx")
    before, after = run(net, HELD_OUT), run(tmp_path / "int8.onnx", HELD_OUT)
    assert 0 < np.linalg.norm(before[0] - after[0]) / np.linalg.norm(before[0]) < 0.1


def test_weights_are_int8_with_a_scale_for_each_output_channel(tmp_path):
    path = of_numbers(tmp_path, (1.0, 0.01))
    quantised(path, tmp_path / "int8.onnx", keep=(), calibration=[np.ones((1, 1, 3), np.float32)])
    found = weights(tmp_path / "int8.onnx")
    (integers,) = (w for w in found.values() if w.dtype == np.int8 and w.size == 2 and w.ndim == 3)
    assert integers.ravel().tolist() == [64, 64]  # each is the largest of its channel, and 7 bits reach to 64
    (scales,) = (w for name, w in found.items() if name.endswith("scale") and w.shape == (2,))
    np.testing.assert_allclose(scales * 64, [1.0, 0.01], rtol=1e-5)


def test_the_range_of_an_activation_is_that_of_the_calibration(tmp_path):
    x = np.array([[[0.0, 0.5, 2.0]], [[-1.0, 0.1, 0.2]]], np.float32)
    quantised(of_numbers(tmp_path), tmp_path / "int8.onnx", keep=(), calibration=[x[:1], x[1:]])
    found = weights(tmp_path / "int8.onnx")
    assert found["input_scale"] == pytest.approx(3 / 255)
    assert found["input_zero_point"] == 85
    beyond = run(tmp_path / "int8.onnx", np.full((1, 1, 3), 50, np.float32))[0]
    assert beyond[0, 0] == pytest.approx([2.0] * 3, rel=0.02)


def test_the_batch_size_of_the_calibration_changes_no_byte(tmp_path, net):
    quantised(net, tmp_path / "a.onnx")
    quantised(net, tmp_path / "b.onnx", calibration=(CALIBRATION[n : n + 5] for n in range(0, 12, 5)))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


# -- what stays in float32 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ((), []),
        (("first",), ["/stem/stem.0/Conv"]),
        (("last",), ["/classify/Gemm"]),
        (
            ("/stages/stages.1/body", "last"),
            [*(f"/stages/stages.1/body/body.{n}/Conv" for n in (0, 3)), "/classify/Gemm"],
        ),
    ],
)
def test_kept_layers_have_float_weights_and_all_others_int8(tmp_path, net, keep, kept):
    quantised(net, tmp_path / "int8.onnx", keep=keep)
    graph = onnx.load(tmp_path / "int8.onnx").graph
    layers = {n.name: n.input[1] for n in graph.node if n.op_type in ("Conv", "Gemm")}
    floats = {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    assert [name for name, weight in layers.items() if weight in floats] == kept


def test_arithmetic_before_the_first_layer_is_not_quantised(tmp_path, net):
    quantised(net, tmp_path / "int8.onnx", keep=())
    nodes = list(onnx.load(net).graph.node)
    first = next(n for n, node in enumerate(nodes) if node.op_type == "Conv")
    before = {"input", *(name for node in nodes[:first] for name in node.output)}
    rounded = {n.input[0] for n in onnx.load(tmp_path / "int8.onnx").graph.node if n.op_type == "QuantizeLinear"}
    assert rounded & before == {nodes[first].input[0]}


def test_weights_shared_by_the_exporter_are_quantised_without_warnings(tmp_path, caplog):
    net, x = (
        fresh(lambda: VGGFace2(VGGFACE2), seed=1),
        100 * face_example(64, n=2, channels=3),
    )  # all its biases are zero
    export_onnx(net, x, tmp_path / "net.onnx", outputs=("embedding", "logits"))
    assert any(n.op_type == "Identity" for n in onnx.load(tmp_path / "net.onnx").graph.node)
    quantised(tmp_path / "net.onnx", tmp_path / "int8.onnx", calibration=[x.numpy()])
    assert caplog.records == []
    graph = onnx.load(tmp_path / "int8.onnx").graph
    integers = {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.INT32}
    dequantised = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in integers}
    assert all(n.input[2] in dequantised for n in graph.node if n.op_type == "Conv")


def test_a_network_in_half_precision_is_quantised_like_one_with_the_rounded_weights(tmp_path, net):
    halve_onnx(net, tmp_path / "half.onnx")
    quantised(tmp_path / "half.onnx", tmp_path / "int8.onnx")
    found = weights(tmp_path / "int8.onnx")
    assert not any(w.dtype == np.float16 for w in found.values())
    assert any(w.dtype == np.int8 and w.ndim == 4 for w in found.values())
    for half, int8 in zip(run(tmp_path / "half.onnx", HELD_OUT), run(tmp_path / "int8.onnx", HELD_OUT), strict=True):
        assert np.linalg.norm(half - int8) < 0.1 * np.linalg.norm(half)


# -- files ----------------------------------------------------------------------------------------------------


def test_only_the_new_file_is_left(tmp_path, net):
    before = sorted(net.parent.iterdir())
    quantised(net, tmp_path / "out" / "int8.onnx")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["int8.onnx"]
    assert sorted(net.parent.iterdir()) == before


def test_a_failure_leaves_no_partial_file_and_the_old_file_unchanged(tmp_path, net):
    (tmp_path / "int8.onnx").write_text("old")
    with pytest.raises(ShapeError):
        quantised(net, tmp_path / "int8.onnx", calibration=[CALIBRATION, faces(1, seed=3)[..., :40]])
    assert [p.name for p in tmp_path.iterdir()] == ["int8.onnx"]
    assert (tmp_path / "int8.onnx").read_text() == "old"


def test_files_of_a_killed_run_are_removed(tmp_path, net):
    (tmp_path / ".partial-int8.onnx-work").mkdir()
    (tmp_path / ".partial-int8.onnx-work" / "net.onnx").write_text("half")
    (tmp_path / ".partial-int8.onnx").write_text("half")
    quantised(net, tmp_path / "int8.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["int8.onnx"]


def test_a_folder_that_cannot_be_created_raises_an_output_error(tmp_path, net):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"int8\.onnx: there is a file where a folder is needed"):
        quantised(net, tmp_path / "file" / "int8.onnx")


# -- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (
            [np.zeros((2, 1, 47, 48), np.float32)],
            r"batch 0 of calibration is float32 \(2, 1, 47, 48\); the network",
        ),
        (
            [np.zeros((2, 48, 48), np.float32)],
            r"is float32 \(2, 48, 48\); the network takes float32 \[n, 1, 48, 48\]",
        ),
        ([CALIBRATION, CALIBRATION.astype(np.float64)], "batch 1 of calibration is float64"),
        ([np.full((1, 1, 48, 48), np.nan, np.float32)], "batch 0 of calibration has values that are not finite"),
        ([], "calibration is empty; give at least one batch"),
        ([CALIBRATION[:0]], "calibration is empty; give at least one batch"),
    ],
)
def test_inputs_of_the_wrong_form_are_refused(tmp_path, net, batches, message):
    with pytest.raises(ShapeError, match=message):
        quantised(net, tmp_path / "int8.onnx", calibration=batches)
    assert list(tmp_path.iterdir()) == []


def test_an_already_quantised_network_is_refused(tmp_path, net):
    quantised(net, tmp_path / "int8.onnx")
    with pytest.raises(SettingsError, match=r"int8\.onnx: is already quantised \(it has a \w+\); give the float32"):
        quantised(tmp_path / "int8.onnx", tmp_path / "again.onnx")


def test_the_float32_network_is_never_replaced(net):
    with pytest.raises(SettingsError, match="would replace the float32 network; give another path"):
        quantised(net, net)


def test_an_unknown_layer_to_keep_suggests_the_nearest(tmp_path, net):
    with pytest.raises(SettingsError, match=r"no layer begins with '/clasify' \(did you mean '/classify/Gemm'\?\)"):
        quantised(net, tmp_path / "int8.onnx", keep=("/clasify",))


def test_a_network_with_nothing_to_quantise_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no convolution or matrix product is left to quantise"):
        quantised(of_numbers(tmp_path), tmp_path / "int8.onnx", keep=("first",))


def test_a_network_with_two_inputs_is_refused(tmp_path):
    class Both(torch.nn.Module):
        def forward(self, face: torch.Tensor, voice: torch.Tensor) -> torch.Tensor:
            return face @ voice.T

    net = exported(tmp_path / "n.onnx", Both(), torch.rand(2, 3), torch.rand(2, 3), inputs=("face", "voice"))
    with pytest.raises(SettingsError, match=r"takes face tensor\(float\), voice tensor\(float\); only networks with"):
        quantised(net, tmp_path / "int8.onnx")


@pytest.mark.parametrize("content", [None, b"", b"\x08\xff not a network", b"text"])
def test_a_file_that_is_not_a_network_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(
        WeightsError, match=r"net\.onnx: cannot be read as an ONNX network \(.+\); give a file of export_onnx"
    ):
        quantised(tmp_path / "net.onnx", tmp_path / "int8.onnx")


# -- half precision -------------------------------------------------------------------------------------------


def test_a_network_in_half_precision_is_half_as_large_and_equal_to_three_digits(net, tmp_path):
    assert halve_onnx(net, tmp_path / "h.onnx") > 0
    weights = sum(np.prod(t.dims) * 4 for t in onnx.load(net).graph.initializer)
    assert net.stat().st_size - (tmp_path / "h.onnx").stat().st_size > 0.4 * weights
    faces = np.random.default_rng(0).random((5, 1, 48, 48), np.float32)
    for plain, half in zip(run(net, faces), run(tmp_path / "h.onnx", faces), strict=True):
        assert half == pytest.approx(plain, abs=2e-3 * float(np.abs(plain).max()))


def test_a_network_in_half_precision_computes_with_the_rounded_weights(net, tmp_path):
    halve_onnx(net, tmp_path / "h.onnx")
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

    export_onnx(Large(), torch.rand(3, 20), tmp_path / "n.onnx", outputs=("y",))
    assert halve_onnx(tmp_path / "n.onnx", tmp_path / "h.onnx") == 0
    assert (tmp_path / "h.onnx").read_bytes() == (tmp_path / "n.onnx").read_bytes()


def test_large_dense_layers_in_int8_are_near_float32_and_small_ones_unchanged(tmp_path):
    net = fresh(
        lambda: torch.nn.Sequential(torch.nn.Linear(40, 64), torch.nn.ReLU(), torch.nn.Linear(64, 6)), seed=0
    ).eval()
    inputs = torch.randn(3, 5, 40, generator=torch.Generator().manual_seed(0))
    export_onnx(net, inputs, tmp_path / "net.onnx", outputs=("logits",))
    quantise_dense_onnx(tmp_path / "net.onnx", tmp_path / "int8.onnx", least_weights=2_000)
    kinds = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert (kinds.count("MatMulInteger"), kinds.count("MatMul")) == (1, 1)
    found, expected = (OnnxNetwork(tmp_path / f"{n}.onnx")(inputs.numpy(), "logits") for n in ("int8", "net"))
    assert 0 < np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


def test_a_network_without_large_dense_layers_is_not_quantised(tmp_path):
    export_onnx(torch.nn.Linear(4, 3), torch.zeros(2, 5, 4), tmp_path / "net.onnx", outputs=("logits",))
    with pytest.raises(SettingsError, match="no dense layer has 262144 weights or more"):
        quantise_dense_onnx(tmp_path / "net.onnx", tmp_path / "int8.onnx")
    assert not (tmp_path / "int8.onnx").exists()
