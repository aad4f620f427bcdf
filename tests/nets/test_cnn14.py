from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import SettingsError, WeightsError  # noqa: E402
from emofuse.nets.cnn14 import LOGMEL_16K, LOGMEL_32K, Cnn14, Cnn14Settings, load_torch  # noqa: E402
from emofuse.nets.logmel import LogMel  # noqa: E402
from emofuse.training.loop import export_onnx, fresh  # noqa: E402
from support.module_calls import module_calls  # noqa: E402
from support.numpy_networks import cnn14, relative_error  # noqa: E402
from support.tiny_networks import CNN14 as TINY  # noqa: E402
from support.weight_files import cut, pann_shapes, pann_state  # noqa: E402 (torch may be missing)

pytestmark = pytest.mark.usefixtures("one_thread")
# All six blocks of the published net, narrow.
NARROW = Cnn14Settings(LOGMEL_16K, widths=(4, 5, 6, 7, 8, 9), hidden=10, classes=3)
FRONT = {
    "logmel.real": "spectrogram_extractor.stft.conv_real.weight",
    "logmel.imag": "spectrogram_extractor.stft.conv_imag.weight",
    "logmel.mel": "logmel_extractor.melW",
}


@pytest.fixture
def net() -> Cnn14:
    return fresh(lambda: Cnn14(TINY), seed=1).eval()


def waves(n: int, samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(n, samples, generator=torch.Generator().manual_seed(2))


def published(settings: Cnn14Settings = NARROW) -> dict[str, torch.Tensor]:
    """Random weights under the names of the checkpoints, behind the true front end."""
    window, widths, hidden = settings.logmel.window, settings.widths, settings.hidden
    shapes = pann_shapes(window=window, widths=widths, hidden=hidden, classes=settings.classes)
    values = pann_state(shapes, np.random.default_rng(3))
    front = {FRONT[f"logmel.{k}"]: v for k, v in LogMel(settings.logmel).state_dict().items()}
    return {k: torch.from_numpy(v) for k, v in values.items()} | front


def write(path: Path, tensors: dict[str, torch.Tensor], **beside: Any) -> Path:
    torch.save({"iteration": 600_000, "model": tensors, **beside}, path)
    return path


def loaded(path: Path, settings: Cnn14Settings = NARROW) -> Cnn14:
    net = Cnn14(settings).eval()
    net.load_state_dict(load_torch(path, settings))
    return net


@pytest.mark.parametrize("logmel", [LOGMEL_16K, LOGMEL_32K], ids=["16k", "32k"])
def test_the_full_network_has_the_names_shapes_and_parameters_of_the_published_one(logmel):
    with torch.device("meta"):
        net = Cnn14(Cnn14Settings(logmel, classes=527))
    own = {FRONT.get(k, k): tuple(v.shape) for k, v in net.state_dict().items()}
    assert own == pann_shapes(window=logmel.window)
    assert sum(p.numel() for p in net.parameters()) == 80_753_615  # as the PANNs paper has it


def test_every_layer_from_a_checkpoint_equals_numpy(tmp_path):
    tensors, given = published(), waves(3, 9_999)
    net = loaded(write(tmp_path / "w.pth", tensors))
    expected = cnn14({k: v.numpy() for k, v in tensors.items()}, given.numpy().astype(np.float64), NARROW)
    with torch.inference_mode():
        calls = module_calls(net, given)
    # A block's output is pooled, and then given to the next; the last one is the input of the dropout.
    found = {name: x for name, (_, x) in calls.items() if name == "logmel"}
    blocks = [f"conv_block{n}" for n in range(1, 7)]
    found |= {name: calls[after][0] for name, after in pairwise(blocks)}
    found |= {"conv_block6": calls["conv_block6"][1], "pool": calls["fc1"][0], "fc1": calls["fc_audioset"][0]}
    found = {name: x.numpy() for name, x in (found | {"logits": calls["fc_audioset"][1]}).items()}
    assert found.keys() == expected.keys()
    assert max(relative_error(found[name], expected[name]) for name in expected) < 1e-5


def test_the_spectrum_and_the_weights_come_from_the_file(tmp_path):
    tensors = published()
    tensors["logmel_extractor.melW"] = 2 * tensors["logmel_extractor.melW"]
    own = load_torch(write(tmp_path / "w.pth", tensors), NARROW)
    assert own.keys() == Cnn14(NARROW).state_dict().keys()
    assert all(torch.equal(v, tensors[FRONT.get(k, k)]) for k, v in own.items())


@pytest.mark.parametrize("module", ["numpy._core.multiarray", "numpy.core.multiarray"])
def test_other_arrays_in_a_checkpoint_are_ignored(tmp_path, module):
    # As in the 16 kHz checkpoint, which torch's old format and NumPy 1 wrote.
    sampler = {"indexes_per_class": [np.arange(5), np.arange(3)], "queue": [1, 0], "pointers_of_classes": [0, 2]}
    tensors, path = published(), tmp_path / "w.pth"
    torch.save({"model": tensors, "sampler": sampler}, path, _use_new_zipfile_serialization=False)
    written = np.empty(0).__reduce__()[0].__module__
    path.write_bytes(path.read_bytes().replace(f"{written}\n".encode(), f"{module}\n".encode()))
    assert torch.equal(load_torch(path, NARROW)["fc1.weight"], tensors["fc1.weight"])


def test_a_file_without_batch_counters_is_accepted(tmp_path):
    tensors = {k: v for k, v in published().items() if not k.endswith("num_batches_tracked")}
    own = load_torch(write(tmp_path / "w.pth", tensors), NARROW)
    assert own.keys() == Cnn14(NARROW).state_dict().keys()
    assert own["bn0.num_batches_tracked"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_block6.conv2.weight": None}, "'conv_block6.conv2.weight' is missing; found 83 arrays"),
        ({"logmel_extractor.melW": None}, "'logmel_extractor.melW' is missing"),
        ({"att_block.att.weight": torch.zeros(9)}, "'att_block.att.weight' does not belong to it"),
        ({"bn9.num_batches_tracked": torch.tensor(1)}, "'bn9.num_batches_tracked' does not belong to it"),
        ({"fc_audioset.bias": torch.zeros(7)}, r"'fc_audioset.bias' has shape \[7\], expected \[3\]"),
        ({"bn0.running_var": torch.full((64,), torch.inf)}, "'bn0.running_var' has values that are not finite"),
    ],
)
def test_a_file_of_another_network_is_refused_with_its_first_difference(tmp_path, changes, message):
    tensors = {k: v for k, v in (published() | changes).items() if v is not None}
    with pytest.raises(WeightsError, match=f"^[^\n]*{message}[^\n]*$"):
        load_torch(write(tmp_path / "w.pth", tensors), NARROW)


def test_a_file_for_another_sample_rate_is_refused(tmp_path):
    path = write(tmp_path / "w.pth", published(replace(NARROW, logmel=LOGMEL_32K)))
    with pytest.raises(
        WeightsError, match=r"not PANN Cnn14 at 16000 Hz: .*conv_real.weight' has shape \[513, 1, 1024\]"
    ):
        load_torch(path, NARROW)


@pytest.mark.parametrize("modern", [True, False], ids=["zip", "pickle"])
def test_a_truncated_file_is_refused(tmp_path, modern):
    torch.save({"model": published()}, tmp_path / "w.pth", _use_new_zipfile_serialization=modern)
    with pytest.raises(WeightsError, match=r"^[^\n]*w.pth: expected a torch file of tensors[^\n]*complete.$"):
        load_torch(cut(tmp_path / "w.pth"), NARROW)


def test_a_file_that_would_run_code_is_refused_and_not_run(tmp_path):
    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    path = write(tmp_path / "w.pth", published(), sampler=Touch())
    with pytest.raises(WeightsError, match=r"^[^\n]*expected a torch file of tensors[^\n]*UnpicklingError[^\n]*$"):
        load_torch(path, NARROW)
    assert not (tmp_path / "ran").exists()


def test_arrays_of_objects_in_a_checkpoint_are_refused(tmp_path):
    path = write(tmp_path / "w.pth", published(), sampler=np.array(["a", None], object))
    with pytest.raises(WeightsError, match="UnpicklingError"):
        load_torch(path, NARROW)


@pytest.mark.parametrize("samples", [0, 1, 33, 95, 96])
def test_audio_too_short_for_the_pools_is_padded_with_zeros_at_the_end(net, samples):
    assert TINY.least_samples == 96
    short = waves(2, samples)
    longer = torch.nn.functional.pad(short, (0, 96 - samples))
    assert torch.equal(net(short)[1], net(longer)[1])


@pytest.mark.parametrize("logmel", [LOGMEL_16K, LOGMEL_32K], ids=["16k", "32k"])
def test_the_shortest_audio_leaves_one_step_after_the_pools(logmel):
    net = Cnn14(replace(NARROW, logmel=logmel)).eval()
    samples = net.settings.least_samples
    assert samples == 31 * logmel.hop
    assert module_calls(net, waves(1, samples))["conv_block6"][1].shape == (1, 9, 1, 2)


def test_too_many_pools_for_the_bands_are_refused():
    with pytest.raises(SettingsError, match="cnn14: 6 blocks need at least 32 mel bands, not 16"):
        replace(NARROW, logmel=replace(LOGMEL_16K, mels=16))


@pytest.mark.parametrize("samples", [2_000, 50])
def test_the_onnx_export_equals_torch_at_several_batch_sizes(net, tmp_path, samples):
    given = waves(5, samples)
    assert export_onnx(net, given[:3], tmp_path / "net.onnx", outputs=("embedding", "logits")) < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        assert relative_error(session.run(["logits"], {"input": given.numpy()})[0], net(given)[1].numpy()) < 1e-5


@pytest.mark.slow
def test_the_full_network_from_a_checkpoint_equals_numpy_in_torch_and_onnx(tmp_path):
    settings = Cnn14Settings(LOGMEL_32K, classes=527)
    tensors, given = published(settings), waves(2, settings.least_samples)
    net = loaded(write(tmp_path / "w.pth", tensors), settings)
    expected = cnn14({k: v.numpy() for k, v in tensors.items()}, given.numpy().astype(np.float64), settings)
    with torch.inference_mode():
        assert relative_error(net(given)[1].numpy(), expected["logits"]) < 1e-4
    assert export_onnx(net, given, tmp_path / "net.onnx", outputs=("embedding", "logits")) < 1e-4
