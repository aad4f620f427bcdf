from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from emofuse.nets.compact_speech import CompactSpeech, CompactSpeechSettings, decibels, masked, relative_levels, warped  # noqa: E402
from emofuse.nets.logmel import LogMel, LogMelSettings  # noqa: E402
from emofuse.training.loop import export_onnx, fresh  # noqa: E402 (torch may be missing)
from support.speech_samples import synthetic_voices  # noqa: E402
from support.tiny_networks import COMPACT_SPEECH as TINY  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def net() -> CompactSpeech:
    return fresh(lambda: CompactSpeech(TINY), seed=1).eval()


def test_the_embedding_of_the_full_network_has_320_values_for_any_length():
    net = CompactSpeech().eval()
    with torch.inference_mode():
        shapes = [net(synthetic_voices(2, samples))[0].shape for samples in (16_000, 48_000)]
    assert shapes == [(2, 320)] * 2


def test_the_full_network_has_at_most_1_5_million_parameters():
    assert sum(p.numel() for p in CompactSpeech().parameters()) <= 1_500_000


@pytest.mark.parametrize("gain", [0.03, 0.5, 9.0])
def test_the_level_of_a_recording_does_not_change_the_logits(net, gain):
    torch.testing.assert_close(net(synthetic_voices() * gain)[1], net(synthetic_voices())[1], atol=1e-3, rtol=1e-3)


def test_silence_after_the_voice_does_not_change_its_levels():
    spectrum = LogMel(LogMelSettings(hop=256))
    fading = synthetic_voices() * torch.linspace(4, 0, 32_000).clamp(max=1)
    padded = torch.nn.functional.pad(fading, (0, 16_000))
    short, long = (relative_levels(spectrum(waves), floor_db=25) for waves in (fading, padded))
    torch.testing.assert_close(long[:, : short.shape[1]], short, atol=0.2, rtol=0)


def test_audio_far_below_the_voice_is_at_the_floor():
    spectrum = LogMel(LogMelSettings(hop=256))
    silent = torch.nn.functional.pad(synthetic_voices(), (0, 16_000))
    levels = relative_levels(spectrum(silent), floor_db=25)
    assert levels.min() >= -25.001
    assert levels[:, -40:].max() < -24.9
    assert levels[:, 40:100].max() > 0


def test_silence_has_finite_logits_and_gradients(net):
    net.train()
    loss = net(torch.zeros(2, 16_000))[1].sum()
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@given(colour=st.lists(st.floats(-12, 12), min_size=8, max_size=8))
def test_levels_do_not_depend_on_the_frequency_response_of_the_microphone(colour):
    loud = 30 + 10 * torch.rand(2, 40, 8, generator=torch.Generator().manual_seed(0))
    gains = torch.tensor(colour)
    plain, coloured = (relative_levels(s, floor_db=25) for s in (loud, loud + gains))
    # What counts as voice depends a little on the colour, so the means are nearly those of the same steps.
    torch.testing.assert_close(coloured, plain, atol=0.1, rtol=0)


def test_the_fft_computes_the_decibels_of_the_exported_spectrum():
    spectrum = LogMel(LogMelSettings(hop=256))
    torch.testing.assert_close(decibels(spectrum, synthetic_voices()), spectrum(synthetic_voices()), atol=0.01, rtol=0)


def test_a_warp_moves_bands_and_stretches_time_about_the_middle():
    torch.manual_seed(0)
    bands, steps = torch.arange(40.0), torch.arange(51.0)
    high = warped(bands.expand(200, 1, 51, 40).clone(), bands=0.2, steps=0.0)
    long = warped(steps[:, None].expand(200, 1, 51, 40).clone(), bands=0.0, steps=0.2)
    # The end is repeated outwards, so a factor above 1 shows in the middle.
    across, down = high[:, 0, 0, 20] / 20, (long[:, 0, 26, 0] - 25)
    for factor in (across, down):
        assert 1 / 1.2 - 1e-4 <= factor.min() < 0.87
        assert 1.15 < factor.max() <= 1.2 + 1e-4
    torch.testing.assert_close(high[:, 0, :, 0], torch.zeros(200, 51), atol=1e-4, rtol=0)
    torch.testing.assert_close(long[:, 0, 25], torch.full((200, 40), 25.0), atol=1e-4, rtol=0)


def test_masks_hide_whole_bands_and_steps_and_at_most_their_fraction():
    torch.manual_seed(0)
    spectra = torch.randn(200, 1, 50, 40)
    hidden = (masked(spectra, count=1, fraction=0.2) != spectra)[:, 0]
    steps, bands = hidden.all(dim=2), hidden.all(dim=1)
    assert torch.equal(hidden, steps[:, :, None] | bands[:, None])
    assert 0 < steps.sum(dim=1).max() <= 11
    assert 0 < bands.sum(dim=1).max() <= 9


def test_the_onnx_export_of_the_full_network_equals_torch(tmp_path: Path):
    net = fresh(CompactSpeech, seed=0)
    assert export_onnx(net, synthetic_voices(2, 48_000), tmp_path / "net.onnx", outputs=("embedding", "logits")) < 1e-4


def test_a_checkpoint_does_not_match_a_network_with_other_masks():
    assert str(CompactSpeech(CompactSpeechSettings(masks=2))) != str(CompactSpeech())
    assert str(CompactSpeech(CompactSpeechSettings(warp=0.3))) != str(CompactSpeech())
