from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import erf

torch = pytest.importorskip("torch")

from safetensors.numpy import load_file  # noqa: E402

from emofuse.errors import SettingsError, WeightsError  # noqa: E402
from emofuse.nets.whisper_encoder import (  # noqa: E402
    WhisperEncoder,
    WhisperEncoderSettings,
    load_published,
    relative_to_maximum,
)
from emofuse.training.loop import fresh  # noqa: E402
from support.numpy_networks import Array, relative_error, slaney_edges  # noqa: E402 (torch may be missing)
from support.speech_samples import synthetic_voices  # noqa: E402
from support.tiny_networks import SPEECH_ENCODER  # noqa: E402
from support.weight_files import cut, shared_weights, whisper_state, write_whisper  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = SPEECH_ENCODER.encoder
PREFIX = "model.encoder."
SHARED = "whisper-tiny-en-encoder3.safetensors"


@pytest.fixture
def net() -> WhisperEncoder:
    return fresh(lambda: WhisperEncoder(TINY), seed=1).eval()


def spectra_by_hand(wave: Array, mels: int) -> Array:
    """Scaled spectra [steps, mels] of one waveform, as described in the paper and its code: one window at a time."""
    edges = slaney_edges(0, 8_000, mels + 2)
    hertz = np.arange(201) * 16_000 / 400
    bands = np.zeros((201, mels))
    for m, (low, centre, high) in enumerate(zip(edges[:-2], edges[1:-1], edges[2:], strict=True)):
        rising, falling = (hertz - low) / (centre - low), (high - hertz) / (high - centre)
        bands[:, m] = np.maximum(np.minimum(rising, falling), 0) * 2 / (high - low)
    padded = np.pad(wave, 200, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    windows = [padded[160 * n : 160 * n + 400] * hann for n in range(len(wave) // 160)]
    logs = np.array([np.log10(np.maximum(np.abs(np.fft.rfft(w)) ** 2 @ bands, 1e-10)) for w in windows])
    return (np.maximum(logs, logs.max() - 8) + 4) / 4


def outputs_by_hand(wave: Array, weights: Mapping[str, Array], *, blocks: int, heads: int) -> list[Array]:
    """The output [frames, width] of each block for one waveform, from the tensors of the file."""
    w = {k.removeprefix(PREFIX): np.asarray(v, np.float64) for k, v in weights.items()}

    def convolved(x: Array, name: str, stride: int) -> Array:
        padded = np.pad(x, ((1, 1), (0, 0)))
        kernel = w[f"{name}.weight"]  # [out, in, 3]
        steps = range(0, len(x), stride)
        return np.array([np.einsum("oik,ki->o", kernel, padded[n : n + 3]) for n in steps]) + w[f"{name}.bias"]

    def gelu(x: Array) -> Array:
        return x * (1 + erf(x / np.sqrt(2))) / 2

    def normed(x: Array, name: str) -> Array:
        centred = x - x.mean(axis=1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + 1e-5)
        return centred / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]

    def dense(x: Array, name: str) -> Array:
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)

    x = gelu(convolved(spectra_by_hand(wave, w["conv1.weight"].shape[1]), "conv1", 1))
    x = gelu(convolved(x, "conv2", 2))
    x = x + w["embed_positions.weight"][: len(x)]
    outputs = []
    for n in range(blocks):
        at = f"layers.{n}."
        y = normed(x, at + "self_attn_layer_norm")
        queries, keys, values = (np.split(dense(y, f"{at}self_attn.{p}_proj"), heads, axis=1) for p in "qkv")
        attended = []
        for q, k, v in zip(queries, keys, values, strict=True):
            powers = np.exp(q @ k.T / np.sqrt(q.shape[1]))
            attended.append(powers / powers.sum(axis=1, keepdims=True) @ v)
        x = x + dense(np.hstack(attended), at + "self_attn.out_proj")
        x = x + dense(gelu(dense(normed(x, at + "final_layer_norm"), at + "fc1")), at + "fc2")
        outputs.append(x)
    return outputs


@pytest.mark.parametrize("samples", [16_000, 4_960, 321])
def test_the_outputs_of_all_blocks_equal_numpy(net, samples):
    wave = synthetic_voices(1, samples)
    with torch.inference_mode():
        found = [x[0].numpy() for x in net(wave)]
    weights = {k: v.numpy() for k, v in whisper_state(net).items()}
    expected = outputs_by_hand(wave[0].numpy().astype(np.float64), weights, blocks=2, heads=TINY.heads)
    assert all(relative_error(a, b) < 1e-5 for a, b in zip(found, expected, strict=True))


def test_the_published_weights_equal_numpy():
    path, wave = shared_weights(SHARED), synthetic_voices(1, 24_000)
    net = WhisperEncoder(WhisperEncoderSettings(blocks=3)).eval()
    net.load_state_dict(load_published(path, net.settings))
    expected = outputs_by_hand(wave[0].numpy().astype(np.float64), load_file(path), blocks=3, heads=6)
    with torch.inference_mode():
        assert all(relative_error(a[0].numpy(), b) < 1e-4 for a, b in zip(net(wave), expected, strict=True))


def test_the_published_positions_are_the_sinusoids_of_a_new_network():
    stored = load_published(shared_weights(SHARED))["embed_positions.weight"]
    torch.testing.assert_close(WhisperEncoder().embed_positions.weight, stored, atol=1e-3, rtol=0)  # half precision


def test_there_is_a_frame_for_each_20_ms(net):
    with torch.inference_mode():
        assert [net(torch.zeros(2, n))[-1].shape for n in (0, 320, 480, 640, 16_000)] == [
            (2, n, TINY.width) for n in (1, 1, 2, 2, 50)
        ]


def test_the_floor_is_eight_below_the_loudest_band_of_each_recording():
    log_power = torch.tensor([[[2.0, -9.0]], [[-3.0, -4.0]]])
    expected = (torch.tensor([[[2.0, -6.0]], [[-3.0, -4.0]]]) + 4) / 4
    torch.testing.assert_close(relative_to_maximum(log_power), expected)


def test_the_first_blocks_do_not_depend_on_how_many_follow(tmp_path, net):
    write_whisper(tmp_path / "model.safetensors", net)
    one = WhisperEncoder(replace(TINY, blocks=1)).eval()
    one.load_state_dict(load_published(tmp_path / "model.safetensors", one.settings))
    with torch.inference_mode():
        assert torch.equal(one(synthetic_voices())[0], net(synthetic_voices())[0])


def test_audio_beyond_the_positions_is_refused(net):
    with pytest.raises(SettingsError, match="501 frames of 20 ms, but there are positions for 500; divide the audio"):
        net(torch.zeros(1, 501 * 320))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv1.weight": None}, "'model.encoder.conv1.weight' is missing; found"),
        ({"conv1.weight": torch.zeros(32, 128, 3)}, r"'model.encoder.conv1.weight' has shape \[32, 128, 3\], expected"),
        ({"embed_positions.weight": torch.zeros(500, 64)}, r"has shape \[500, 64\], expected \[500, 32\]"),
        ({"layers.0.fc3.weight": torch.zeros(2)}, "'model.encoder.layers.0.fc3.weight' does not belong to it"),
        ({"conv2.bias": torch.full((32,), torch.nan)}, "'model.encoder.conv2.bias' has values that are not finite"),
    ],
    ids=["missing", "other mel bands", "other size", "extra", "not finite"],
)
def test_a_file_of_another_network_is_refused_in_one_line(tmp_path, net, changes, message):
    write_whisper(tmp_path / "w.safetensors", net, {PREFIX + k: v for k, v in changes.items()})
    with pytest.raises(WeightsError, match=message) as error:
        load_published(tmp_path / "w.safetensors", TINY)
    assert "\n" not in str(error.value)


def test_a_file_with_fewer_blocks_than_needed_is_refused(tmp_path, net):
    write_whisper(tmp_path / "w.safetensors", net)
    with pytest.raises(WeightsError, match=r"not a Whisper encoder of width 32 with at least 4 blocks: .* is missing"):
        load_published(tmp_path / "w.safetensors", replace(TINY, blocks=4))


def test_a_truncated_file_is_refused_in_one_line(tmp_path, net):
    write_whisper(tmp_path / "w.safetensors", net)
    with pytest.raises(WeightsError, match="expected a safetensors file, found a safetensors file") as error:
        load_published(cut(tmp_path / "w.safetensors"), TINY)
    assert "\n" not in str(error.value)


def test_a_width_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(SettingsError, match="width 32 with 3 heads"):
        WhisperEncoderSettings(width=32, heads=3)
