from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from emofuse.nets.compact_speech import CompactSpeech, CompactSpeechSettings, decibels, levelled, masked, warped  # noqa: E402
from emofuse.nets.logmel import LogMel, LogMelSettings  # noqa: E402
from emofuse.training.loop import export_onnx, fresh  # noqa: E402 (torch may be missing)
from support.speech_samples import voices  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def net() -> CompactSpeech:
    return fresh(CompactSpeech.tiny, seed=1).eval()


@pytest.mark.parametrize("classes", [2, 7, 8])
def test_a_net_gives_an_embedding_and_one_logit_for_each_class(classes):
    embedding, logits = CompactSpeech.tiny(classes)(voices())
    assert (len(embedding), logits.shape) == (3, (3, classes))


def test_the_embedding_of_the_full_net_has_320_numbers_for_any_length():
    net = CompactSpeech().eval()
    with torch.inference_mode():
        shapes = [net(voices(2, samples))[0].shape for samples in (16_000, 48_000)]
    assert shapes == [(2, 320)] * 2


def test_the_full_net_has_at_most_a_million_and_a_half_parameters():
    assert sum(p.numel() for p in CompactSpeech().parameters()) <= 1_500_000


def test_the_net_for_tests_is_small():
    assert sum(p.numel() for p in CompactSpeech.tiny().parameters()) < 20_000


@pytest.mark.parametrize("gain", [0.03, 0.5, 9.0])
def test_how_loud_a_recording_is_changes_nothing(net, gain):
    torch.testing.assert_close(net(voices() * gain)[1], net(voices())[1], atol=1e-3, rtol=1e-3)


def test_silence_after_the_voice_does_not_change_the_level_of_its_spectrum():
    spectrum = LogMel(LogMelSettings(hop=256))
    fading = voices() * torch.linspace(4, 0, 32_000).clamp(max=1)
    padded = torch.nn.functional.pad(fading, (0, 16_000))
    short, long = (levelled(spectrum(waves), floor_db=25) for waves in (fading, padded))
    torch.testing.assert_close(long[:, : short.shape[1]], short, atol=0.2, rtol=0)


def test_what_is_far_below_the_voice_lies_at_the_floor():
    spectrum = LogMel(LogMelSettings(hop=256))
    silent = torch.nn.functional.pad(voices(), (0, 16_000))
    levels = levelled(spectrum(silent), floor_db=25)
    assert levels.min() >= -25.001
    assert levels[:, -40:].max() < -24.9
    assert levels[:, 40:100].max() > 0


def test_silence_has_finite_logits_that_can_be_learned_from(net):
    net.train()
    loss = net(torch.zeros(2, 16_000))[1].sum()
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@given(colour=st.lists(st.floats(-12, 12), min_size=8, max_size=8))
def test_levelled_spectra_do_not_know_the_colour_of_the_microphone(colour):
    loud = 30 + 10 * torch.rand(2, 40, 8, generator=torch.Generator().manual_seed(0))
    gains = torch.tensor(colour)
    plain, coloured = (levelled(s, floor_db=25) for s in (loud, loud + gains))
    # What counts as voice depends a little on the colour, so the means are nearly those of the same steps.
    torch.testing.assert_close(coloured, plain, atol=0.1, rtol=0)


def test_the_fast_fourier_transform_gives_the_decibels_that_are_exported():
    spectrum = LogMel(LogMelSettings(hop=256))
    torch.testing.assert_close(decibels(spectrum, voices()), spectrum(voices()), atol=0.01, rtol=0)


def test_a_voice_does_not_depend_on_the_others_of_its_batch(net):
    together = net(voices())[1]
    alone = torch.cat([net(wave[None])[1] for wave in voices()])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_every_weight_takes_part_in_training(net):
    net.train()
    torch.nn.functional.cross_entropy(net(voices())[1], torch.tensor([0, 3, 6])).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


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


def test_masks_hide_whole_bands_and_steps_and_no_more_than_their_share():
    torch.manual_seed(0)
    spectra = torch.randn(200, 1, 50, 40)
    hidden = (masked(spectra, count=1, share=0.2) != spectra)[:, 0]
    steps, bands = hidden.all(dim=2), hidden.all(dim=1)
    assert torch.equal(hidden, steps[:, :, None] | bands[:, None])
    assert 0 < steps.sum(dim=1).max() <= 11
    assert 0 < bands.sum(dim=1).max() <= 9


def test_masks_and_warps_are_for_training_alone(net):
    torch.testing.assert_close(net(voices())[1], net(voices())[1], atol=0, rtol=0)


def test_an_exported_net_says_the_same(net, tmp_path: Path):
    assert export_onnx(net, voices(), tmp_path / "net.onnx", outputs=("embedding", "logits")) < 1e-4


def test_the_full_net_is_exported_faithfully(tmp_path: Path):
    net = fresh(CompactSpeech, seed=0)
    assert export_onnx(net, voices(2, 48_000), tmp_path / "net.onnx", outputs=("embedding", "logits")) < 1e-4


def test_a_checkpoint_does_not_belong_to_a_net_with_other_masks():
    assert str(CompactSpeech(CompactSpeechSettings(masks=2))) != str(CompactSpeech())
    assert str(CompactSpeech(CompactSpeechSettings(warp=0.3))) != str(CompactSpeech())


@pytest.mark.parametrize("build", [CompactSpeech, CompactSpeech.tiny], ids=["full", "tiny"])
def test_no_strided_1x1_convolution_has_fewer_channels_than_a_block_of_onednn(build):
    # As in tests/nets/test_compact.py: its backward pass writes past its buffer.
    convolutions = [m for m in build().modules() if isinstance(m, torch.nn.Conv2d)]
    narrow = [c for c in convolutions if c.kernel_size == (1, 1) and c.stride != (1, 1) and c.in_channels < 16]
    assert narrow == []
