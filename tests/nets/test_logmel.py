from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import SettingsError  # noqa: E402
from emofuse.nets.cnn14 import LOGMEL_16K, LOGMEL_32K  # noqa: E402
from emofuse.nets.logmel import LogMel, LogMelSettings, mel_bands  # noqa: E402
from emofuse.training.loop import export_onnx  # noqa: E402
from support.numpy_networks import log_mel, relative_error, slaney_edges  # noqa: E402 (torch may be missing)

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = LogMelSettings(rate_hz=8_000, window=64, hop=24, mels=12, fmin=0.0, fmax=3_000.0)


def waves(n: int, samples: int) -> torch.Tensor:
    """Noise that grows from nearly nothing to 0.3."""
    noise = torch.randn(n, samples, generator=torch.Generator().manual_seed(5))
    return 0.3 * noise * torch.linspace(0.001, 1, samples)


@pytest.mark.parametrize(
    ("settings", "samples"),
    [
        (LOGMEL_16K, 48_000),
        (LOGMEL_16K, 257),
        (LOGMEL_16K, 16_001),
        (LOGMEL_32K, 32_000),
        (LOGMEL_32K, 5_119),
        (SMALL, 1_000),
    ],
)
def test_spectra_equal_numpy(settings, samples):
    given = waves(2, samples)
    expected = log_mel(given.numpy().astype(np.float64), settings)
    assert relative_error(LogMel(settings)(given).numpy(), expected) < 1e-5


def test_the_scale_of_the_reference_is_librosas():
    # librosa.mel_frequencies(n_mels=40), as its documentation prints it.
    published = {0: 0.0, 1: 85.317, 11: 938.49, 12: 1024.856, 20: 2071.84, 30: 4994.285, 38: 10096.408, 39: 11025.0}
    edges = slaney_edges(0, 11_025, 40)
    np.testing.assert_allclose([edges[n] for n in published], [*published.values()], atol=5e-4)


def test_a_tone_on_a_bin_has_the_power_of_the_hann_window():
    # A Hann window of N samples keeps (A N / 4)^2 of a tone, and a quarter of it in both neighbours.
    settings = LogMelSettings(rate_hz=8_000, window=256, hop=64, mels=16, fmin=0.0, fmax=4_000.0)
    tone = 0.5 * torch.cos(2 * np.pi * 40 / 256 * torch.arange(4_000, dtype=torch.float64))
    power = torch.zeros(129, dtype=torch.float64)
    power[39:42] = (0.5 * 256 / 4) ** 2 * torch.tensor([0.25, 1, 0.25])
    band = mel_bands(settings)[40].argmax()
    expected = 10 * torch.log10(power @ mel_bands(settings))[band]
    torch.testing.assert_close(LogMel(settings)(tone[None])[0, 20, band].double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("settings", [LOGMEL_32K, LogMelSettings(window=4096, fmin=0.0)])
def test_each_band_has_the_area_one_over_hertz(settings):
    bands = mel_bands(settings)
    # Low bands are narrower than a few frequencies of the transform, so that their sum is rough.
    area = bands.sum(dim=0)[20:] * settings.rate_hz / settings.window
    torch.testing.assert_close(area, torch.ones_like(area), atol=0.05, rtol=0)


def test_silence_is_at_the_floor():
    assert (LogMel(SMALL)(torch.zeros(1, 500)) == -100).all()


def test_ten_times_the_amplitude_is_twenty_decibels_more():
    quiet = waves(1, 800) + 0.01
    torch.testing.assert_close(LogMel(SMALL)(10 * quiet), LogMel(SMALL)(quiet) + 20, atol=1e-3, rtol=0)


@pytest.mark.parametrize("samples", [0, 1, 24, 32])
def test_audio_too_short_to_be_mirrored_is_padded_with_zeros_at_the_end(samples):
    short = waves(2, samples)
    longer = torch.nn.functional.pad(short, (0, SMALL.least_samples - samples))
    assert torch.equal(LogMel(SMALL)(short), LogMel(SMALL)(longer))


@pytest.mark.parametrize("samples", [33, 47, 48, 1_000])
def test_there_is_one_frame_more_than_hops(samples):
    assert LogMel(SMALL)(waves(2, samples)).shape == (2, samples // SMALL.hop + 1, SMALL.mels)


def test_spectra_keep_their_precision_under_bfloat16_autocast():
    given = waves(2, 1_000)
    with torch.autocast("cpu", torch.bfloat16):
        found = LogMel(SMALL)(given)
    assert torch.equal(found, LogMel(SMALL)(given))


def test_log_mel_has_no_trainable_parameters():
    assert list(LogMel(SMALL).parameters()) == []


@pytest.mark.parametrize("settings", [LOGMEL_16K, LOGMEL_32K, SMALL], ids=["16k", "32k", "small"])
def test_the_onnx_export_equals_torch_at_several_batch_sizes(settings, tmp_path):
    net = LogMel(settings)
    given = waves(5, 4 * settings.window + 7)
    assert export_onnx(net, given[:3], tmp_path / "net.onnx", outputs=("logmel",)) < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert relative_error(session.run(None, {"input": given.numpy()})[0], net(given).numpy()) < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hop": 0}, "a hop of 0 samples .* are not possible; give whole numbers above 0"),
        ({"window": 511}, "a window of 511 .* and an even window"),
        ({"fmax": 14_000.0}, "bands from 50 to 14000 Hz at 16000 Hz; give increasing frequencies, .* at most 8000"),
        ({"fmin": 8_000.0}, "bands from 8000 to 8000 Hz"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(SettingsError, match=message):
        LogMelSettings(**change)
