from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from emofuse.errors import SettingsError  # noqa: E402
from emofuse.nets.cnn1d_lstm import Cnn1dLstm, Cnn1dLstmSettings  # noqa: E402
from emofuse.training.loop import export_onnx, fresh  # noqa: E402
from support.numpy_networks import keras_conv_pool, keras_lstm, relative_error  # noqa: E402
from support.tiny_networks import CNN1D_LSTM as TINY  # noqa: E402 (torch may be missing)

pytestmark = pytest.mark.usefixtures("one_thread")
SEQUENCE = replace(TINY, sequence=True)
# Kernels and pools of the published net, narrow.
NARROW = Cnn1dLstmSettings(widths=(4, 5, 6, 7), hidden=8)


@pytest.fixture
def net() -> Cnn1dLstm:
    return fresh(lambda: Cnn1dLstm(TINY), seed=1).eval()


def waves(n: int, samples: int) -> torch.Tensor:
    return torch.randn(n, samples, generator=torch.Generator().manual_seed(2))


def randomised(settings: Cnn1dLstmSettings) -> Cnn1dLstm:
    """A net whose biases, too, are random."""
    net = fresh(lambda: Cnn1dLstm(settings), seed=3).eval()
    generator = torch.Generator().manual_seed(4)
    for parameter in net.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return net


def by_hand(net: Cnn1dLstm, given: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """All steps of embedding and logits, with Keras's layers in NumPy."""
    state = {k: v.numpy().astype(np.float64) for k, v in net.state_dict().items()}
    x = given.numpy().astype(np.float64)[..., None] * net.settings.gain
    for n, pool in enumerate(net.settings.pools):
        kernel = state[f"convolutions.{n}.conv.weight"].transpose(2, 1, 0)
        average = n == len(net.settings.pools) - 1
        x = keras_conv_pool(x, kernel, state[f"convolutions.{n}.conv.bias"], pool=pool, average=average)
    for name in ("lstm1", "lstm2"):
        kernel, bias = np.split(state[f"{name}.lstm.weight_ih_l0"].T, [-1])
        x = keras_lstm(x, kernel, state[f"{name}.lstm.weight_hh_l0"].T, bias[0])
    return x, x @ state["classify.weight"].T + state["classify.bias"]


@pytest.mark.parametrize("pools", [(10, 10, 8, 4), (10, 10, 8, 3)])
@pytest.mark.parametrize("sequence", [False, True])
def test_the_full_network_has_the_parameters_of_the_authors_keras_network(sequence, pools):
    with torch.device("meta"):
        net = Cnn1dLstm(Cnn1dLstmSettings(sequence=sequence, pools=pools))
    assert sum(p.numel() for p in net.parameters()) == 4_005_511
    assert sum(v.numel() for v in net.state_dict().values()) == 4_005_511


@pytest.mark.parametrize(
    ("samples", "last_pool", "steps"), [(48_000, 4, 15), (64_000, 4, 20), (48_000, 3, 20), (63_999, 4, 19)]
)
def test_a_sequence_has_one_answer_per_lstm_step(samples, last_pool, steps):
    settings = replace(NARROW, pools=(10, 10, 8, last_pool), sequence=True)
    embedding, logits = Cnn1dLstm(settings).eval()(waves(1, samples))
    assert (embedding.shape, logits.shape) == ((1, steps, 8), (1, steps, 7))
    assert Cnn1dLstm(replace(settings, sequence=False)).eval()(waves(1, samples))[1].shape == (1, 7)


@pytest.mark.parametrize("samples", [12_800, 13_999])
@pytest.mark.parametrize("gain", [1.0, 30.0])
def test_a_sequence_equals_keras_layers_in_numpy(samples, gain):
    net, given = randomised(replace(NARROW, sequence=True, gain=gain)), waves(2, samples)
    with torch.inference_mode():
        found = net(given)
    for got, expected in zip(found, by_hand(net, given), strict=True):
        assert relative_error(got.numpy(), expected) < 1e-5


def test_a_single_answer_is_the_last_of_the_sequence():
    one, given = randomised(TINY), waves(3, 640)
    many = Cnn1dLstm(SEQUENCE).eval()
    many.load_state_dict(one.state_dict())
    for last, steps in zip(one(given), many(given), strict=True):
        torch.testing.assert_close(last, steps[:, -1])


@pytest.mark.parametrize("pool", [1, 5, 16])
def test_dropout_before_the_pool_equals_relu_dropout_and_pool_in_values_and_gradients(pool):
    settings = replace(TINY, widths=(6, 3), kernels=(5, 1), pools=(pool, 1))
    layer = Cnn1dLstm(settings).convolutions[0].train()
    given = waves(3, 403).unsqueeze(1)
    # With all ones and no pool, the layer shows what it drops.
    shown = Cnn1dLstm(replace(settings, pools=(1, 1))).convolutions[0].train()
    torch.nn.init.zeros_(shown.conv.weight)
    torch.nn.init.ones_(shown.conv.bias)
    torch.manual_seed(7)
    kept = shown(given).detach()
    torch.manual_seed(7)
    found = layer(given)
    plain = torch.relu(functional.conv1d(functional.pad(given, (2, 2)), layer.conv.weight, layer.conv.bias))
    expected = functional.max_pool1d(plain * kept, pool)
    torch.testing.assert_close(found, expected)
    towards = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    gradients = [
        torch.autograd.grad((y * towards).sum(), [layer.conv.weight, layer.conv.bias]) for y in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("which", [0, 1])
def test_a_convolution_drops_at_the_rate_of_the_settings(rate, which):
    layer = Cnn1dLstm(replace(TINY, widths=(8, 8), pools=(1, 1), dropout=rate)).convolutions[which].train()
    torch.nn.init.zeros_(layer.conv.weight)
    torch.nn.init.ones_(layer.conv.bias)
    torch.manual_seed(3)
    out = layer(torch.zeros(4, 1 if which == 0 else 8, 5_001))
    dropped = (out == 0).double().mean()
    assert abs(dropped - rate) < 4 * np.sqrt(rate * (1 - rate) / out.numel())
    torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], 1 / (1 - rate)))


def test_dropout_is_determined_by_the_seed():
    net, given = fresh(lambda: Cnn1dLstm(TINY), seed=1).train(), waves(2, 640)
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(net(given)[1])
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize("samples", [0, 1, 63])
def test_audio_shorter_than_a_step_is_padded_with_zeros_at_the_end(net, samples):
    assert TINY.step_samples == 64
    short = waves(2, samples)
    assert torch.equal(net(short)[1], net(functional.pad(short, (0, 64 - samples)))[1])


def test_initial_biases_are_one_in_the_forget_gate_and_zero_elsewhere(net):
    for lstm in (net.lstm1.lstm, net.lstm2.lstm):
        bias = lstm.weight_ih_l0[:, -1].detach().view(4, TINY.hidden)
        assert torch.equal(bias, torch.tensor([0.0, 1, 0, 0])[:, None].expand_as(bias))


def test_gradients_are_finite_under_bfloat16_autocast(net):
    net.train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(waves(4, 640))[1]
    functional.cross_entropy(logits.float(), torch.arange(4)).backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_it_can_overfit_a_few_windows():
    classes, time = torch.arange(7), torch.arange(640) / 640
    given = torch.sin(2 * torch.pi * 10 * (classes[:, None] + 1) * time)
    settings = replace(TINY, widths=(16, 24), kernels=(20, 5), hidden=24, dropout=0.1)
    net = fresh(lambda: Cnn1dLstm(settings), seed=1).train()
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(100):
        optimiser.zero_grad()
        functional.cross_entropy(net(given)[1], classes).backward()
        optimiser.step()
    assert functional.cross_entropy(net.eval()(given)[1], classes) < 0.1


@pytest.mark.parametrize(
    ("settings", "samples"),
    [(TINY, 640), (SEQUENCE, 650), (TINY, 20), (Cnn1dLstmSettings(), 6_400), (Cnn1dLstmSettings(sequence=True), 6_400)],
    ids=["tiny", "tiny sequence", "tiny short", "full", "full sequence"],
)
def test_the_onnx_export_equals_torch_at_several_batch_sizes(settings, samples, tmp_path):
    net, given = fresh(lambda: Cnn1dLstm(settings), seed=1).eval(), waves(5, samples)
    assert export_onnx(net, given[:3], tmp_path / "net.onnx", outputs=("embedding", "logits")) < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        assert relative_error(session.run(["logits"], {"input": given.numpy()})[0], net(given)[1].numpy()) < 1e-4


def test_different_numbers_of_widths_kernels_and_pools_are_refused():
    with pytest.raises(SettingsError, match="cnn1d-lstm: 4 widths, 2 kernels and 4 pools; give one of each"):
        Cnn1dLstmSettings(kernels=(20, 10))
