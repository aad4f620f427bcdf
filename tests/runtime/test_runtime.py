from __future__ import annotations

import re
import threading

import numpy as np
import onnxruntime
import pytest

from emofuse.errors import BundleError, SettingsError, WeightsError
from emofuse.models.bundle import load
from emofuse.models.face import FaceScorer
from emofuse.runtime import Engine, OnnxNetwork


@pytest.fixture(scope="module")
def path():
    return load("default").face.net


def test_an_unknown_device_suggests_the_nearest():
    with pytest.raises(SettingsError, match=r"--device cud: unknown .did you mean 'cuda'\?.; choose one of auto, cuda"):
        Engine(device="cud")


def test_the_error_for_an_unavailable_device_has_a_remedy():
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(SettingsError, match="use --device cpu"):
        Engine(device="cuda")


@pytest.fixture
def cuda_is_listed(monkeypatch):
    """ONNX Runtime lists CUDA, as with its GPU package, but the driver or a library is missing."""
    available = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)


def test_a_device_that_is_listed_but_not_used_is_refused_in_one_line(path, cuda_is_listed):
    if "CUDAExecutionProvider" in onnxruntime.InferenceSession(str(path)).get_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(SettingsError, match=r"--device cuda: is listed, but .* opened face\.onnx on the CPU") as caught:
        OnnxNetwork(path, Engine(device="cuda"))
    assert "\n" not in str(caught.value)


def test_a_device_that_is_preferred_but_not_used_is_noted_in_one_line(path, cuda_is_listed):
    engine = Engine(device="auto")
    note = engine.fallback_note("CPUExecutionProvider")
    assert re.fullmatch(r"--device auto: .* lists CUDAExecutionProvider, but runs on the CPU; .*", note)
    assert engine.fallback_note("CUDAExecutionProvider") == ""
    assert Engine(device="cpu").fallback_note(OnnxNetwork(path, Engine(device="cpu")).provider) == ""


def test_more_threads_than_any_machine_needs_are_refused():
    with pytest.raises(SettingsError, match=r"--threads 100000: this process has"):
        Engine(100_000)


def test_a_decoder_has_at_most_16_threads():
    assert [Engine(n).decoder_threads for n in (1, 6, 64)] == [1, 6, 16]


def test_a_negative_number_of_threads_is_refused():
    with pytest.raises(SettingsError, match=r"--threads -1: give 0 \(one for each core\) or more"):
        Engine(-1)


def test_a_parallel_map_keeps_the_order_and_uses_its_threads():
    both = threading.Barrier(2, timeout=10)  # passes only if two items are processed at once
    assert list(Engine(2).parallel_map()(lambda n: (both.wait(), n)[1], [1, 2])) == [1, 2]
    assert Engine(1).parallel_map() is map


def test_an_output_equals_that_of_onnx_runtime(path):
    network = OnnxNetwork(path)
    ((name, shape),) = network.inputs.items()
    batch = np.random.default_rng(0).random((2, *shape[1:]), np.float32)
    expected = onnxruntime.InferenceSession(str(path)).run(["logits"], {name: batch})[0]
    np.testing.assert_allclose(network(batch, "logits"), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(network.run(("logits",), {name: batch})[0], network(batch, "logits"))


@pytest.mark.parametrize("threads", [2, 3, 6, 8])
def test_scores_have_equal_bits_with_any_number_of_threads(threads):
    bundle, rng = load("default"), np.random.default_rng(0)
    crops = rng.integers(0, 256, (19, bundle.face.crop.size, bundle.face.crop.size, 3), dtype=np.uint8)
    waves = rng.normal(0, 0.1, (5, sum(bundle.voice.chunks.samples))).astype(np.float32)
    engines = Engine(threads, "cpu"), Engine(1, "cpu")
    np.testing.assert_array_equal(*(FaceScorer(bundle.face, engine, classes=7)(crops) for engine in engines))
    np.testing.assert_array_equal(*(bundle.voice_scorer(engine).encode(waves) for engine in engines))


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(WeightsError, match=r"net\.onnx: there is no such file; fetch it\."):
        OnnxNetwork(tmp_path / "net.onnx", error=WeightsError, remedy="fetch it")


@pytest.mark.parametrize("content", [b"", b"\x08\xff no net", b"<html>\nNot found\n</html>"])
def test_a_file_that_is_not_onnx_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"net\.onnx: cannot be read as an ONNX network \(.+\); get") as caught:
        OnnxNetwork(tmp_path / "net.onnx")
    assert "\n" not in str(caught.value)
