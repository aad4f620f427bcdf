from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.nets.pretrained import load_pretrained  # noqa: E402
from emofuse.nets.speech_encoder import Frames, Pool, SpeechEncoder, causal_spectra, levelled  # noqa: E402
from emofuse.training.loop import export_onnx, fresh, wave_example  # noqa: E402
from support.speech_samples import synthetic_voices  # noqa: E402 (torch may be missing)
from support.tiny_networks import SPEECH_ENCODER as TINY  # noqa: E402
from support.weight_files import shared_weights  # noqa: E402

WIDTH = TINY.encoder.blocks * TINY.encoder.width
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def net() -> SpeechEncoder:
    return fresh(lambda: SpeechEncoder(TINY), seed=1).eval()


@pytest.mark.parametrize("gain", [0.03, 0.5, 9.0])
def test_the_level_of_a_recording_does_not_change_the_logits(net, gain):
    with torch.inference_mode():
        torch.testing.assert_close(net(synthetic_voices() * gain)[1], net(synthetic_voices())[1], atol=1e-4, rtol=1e-4)


def test_the_level_is_that_of_the_voice_however_long_the_silence_around_it():
    voice = synthetic_voices(2, 16_000)
    padded = torch.nn.functional.pad(voice, (0, 32_000))
    torch.testing.assert_close(levelled(padded)[:, :16_000], levelled(voice))


def test_frames_without_speech_do_not_count(net):
    frames = torch.randn(2, 30, WIDTH, generator=torch.Generator().manual_seed(0))
    speech = torch.ones(2, 30)
    speech[:, 20:] = 0.4
    with torch.inference_mode():
        torch.testing.assert_close(net.pool(frames, speech)[1], net.pool(frames[:, :20], speech[:, :20])[1])


def test_without_any_speech_all_frames_count(net):
    frames = torch.randn(2, 30, WIDTH)
    with torch.inference_mode():
        logits = [net.pool(frames, torch.full((2, 30), each))[1] for each in (0.0, 1.0)]
    torch.testing.assert_close(*logits)


def test_the_embedding_is_the_mean_and_deviation_of_each_block_over_the_frames_with_speech(net):
    waves = synthetic_voices(2, 16_000)
    with torch.inference_mode():
        frames = net.encode(levelled(waves))
        blocks = net.encoder.blocks(causal_spectra(net.encoder, levelled(waves)))
        embedding, _ = net.pool(frames, (torch.arange(50) < 30).float().expand(2, -1))
    spoken = torch.cat(blocks, dim=2)[:, :30]
    expected = torch.cat((spoken.mean(dim=1), spoken.std(dim=1, correction=0).clamp(min=1e-3)), dim=1)
    torch.testing.assert_close(embedding, expected)


def test_the_linear_layer_is_on_standardised_embeddings(net):
    rng = np.random.default_rng(0)
    features = 2 * TINY.encoder.blocks * TINY.encoder.width
    mean, deviation = rng.normal(size=features).astype(np.float32), rng.uniform(1, 2, features).astype(np.float32)
    coefficients, intercepts = rng.normal(size=(7, features)).astype(np.float32), rng.normal(size=7).astype(np.float32)
    net.set_linear(mean, deviation, coefficients, intercepts)
    with torch.inference_mode():
        embedding, logits = net(synthetic_voices())
    expected = (embedding.numpy() - mean) / deviation @ coefficients.T + intercepts
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-4, atol=1e-3)


def test_digital_silence_is_not_speech(net):
    voices = synthetic_voices(2, 16_000)
    waves = torch.nn.functional.pad(voices, (0, 16_000))
    with torch.inference_mode():
        frames = net.encode(levelled(waves))
        torch.testing.assert_close(net(waves)[1], net.pool(frames[:, :50], torch.ones(2, 50))[1])


@pytest.mark.parametrize("samples", [1, 320, 1_600])
def test_audio_of_a_tenth_of_a_second_and_less_has_finite_logits(net, samples):
    assert net(synthetic_voices(2, samples))[1].isfinite().all()


def test_silence_has_finite_logits(net):
    with torch.inference_mode():
        assert net(torch.zeros(2, 16_000))[1].isfinite().all()


def test_both_exported_parts_equal_the_network(net, tmp_path: Path):
    waves = levelled(wave_example(32_000))
    frames = Frames(net, slice(10, 90))
    assert export_onnx(frames, waves, tmp_path / "frames.onnx", outputs=("frames",)) < 1e-4
    example = (frames(waves).detach(), torch.ones(2, 80))
    outputs = ("embedding", "logits")
    error = export_onnx(Pool(net), example, tmp_path / "pool.onnx", outputs=outputs, inputs=("frames", "speech"))
    assert error < 1e-4


def test_the_encoder_starts_from_the_published_weights_and_the_head_anew():
    path, net = shared_weights("whisper-tiny-en-encoder3.safetensors"), fresh(SpeechEncoder, seed=0)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    assert all(k.startswith(net.head) for k in load_pretrained(net, path, name="whisper-tiny-en", fresh_head=True))
    unchanged = {k for k, v in net.state_dict().items() if torch.equal(v, before[k])}
    assert {k for k in unchanged if not k.startswith("encoder.spectrum.")} == {
        k for k in before if k.startswith(net.head)
    }
