"""Separation by small networks whose masks are known: which voice is returned, and when."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.time import TICKS_PER_SECOND, ticks
from emofuse.errors import SettingsError, ShapeError, WeightsError
from emofuse.media.audio import AudioBlock
from emofuse.runtime import ONE_THREAD
from emofuse.speech.spleeter import Spleeter
from support.spleeter_networks import context_network_pair, gain_network, gain_network_pair

VOICE_FRACTION = 0.7**2 / (0.7**2 + 0.3**2)  # if the networks return 0.7 and 0.3 of the magnitudes
SPLIT = 512 * 1024  # samples at 44.1 kHz


@pytest.fixture(scope="module")
def spleeter(tmp_path_factory):
    return Spleeter(*gain_network_pair(tmp_path_factory.mktemp("gain")), engine=ONE_THREAD)


@pytest.fixture(scope="module")
def context_spleeter(tmp_path_factory):
    return Spleeter(*context_network_pair(tmp_path_factory.mktemp("context_spleeter")), engine=ONE_THREAD)


def blocks_of(samples, rate, sizes=(), *, start=0):
    bounds = [b for b in np.cumsum([0, *sizes]).tolist() if b < len(samples)] + [len(samples)]
    for first, last in pairwise(bounds):
        yield AudioBlock(samples[first:last], start + first * TICKS_PER_SECOND // rate, rate)


def separated(spleeter, samples, rate, sizes=(), *, start=0):
    """The voice as one array; its blocks must follow one another from the start of the audio."""
    stream = spleeter.stream(rate)
    blocks = [out for block in blocks_of(samples, rate, sizes, start=start) for out in stream.push(block)]
    blocks += stream.close()
    reached = start
    for block in blocks:
        assert (block.start, block.rate_hz, block.samples.dtype) == (reached, rate, np.float32)
        reached = block.end
    return np.concatenate([np.empty(0, np.float32), *(b.samples for b in blocks)])


def faded_noise(seconds, rate, *, top_hz=3000.0, seed=0):
    """Noise below a frequency, faded in and out, because an abrupt start has energy above 11 kHz."""
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate))
    sos = scipy.signal.butter(10, top_hz, fs=rate, output="sos")
    edge = np.arange(len(noise)) / (0.02 * rate)
    fade = np.sin(np.pi / 2 * np.clip(np.minimum(edge, edge[::-1]), 0, 1)) ** 2
    return (fade * scipy.signal.sosfilt(sos, noise)).astype(np.float32)


# -- the voice -------------------------------------------------------------------------------------------


def test_the_voice_is_its_fraction_of_the_audio_from_the_first_sample_to_the_last(spleeter):
    audio = faded_noise(13, 44100)
    assert np.abs(separated(spleeter, audio, 44100) - VOICE_FRACTION * audio).max() < 2e-5


def test_frequencies_above_11_khz_are_removed(spleeter):
    at = np.arange(44100) / 44100
    high = (0.5 * np.hanning(44100) * np.sin(2 * np.pi * 13000 * at)).astype(np.float32)
    assert np.abs(separated(spleeter, high, 44100)).max() < 1e-5


def test_mono_is_processed_as_two_equal_channels_and_returned_as_their_mean(tmp_path):
    stems = gain_network(tmp_path / "v.onnx", [0.7, 0.3]), gain_network(tmp_path / "a.onnx", [0.3, 0.7])
    audio = faded_noise(0.5, 44100)
    assert np.abs(separated(Spleeter(*stems), audio, 44100) - 0.5 * audio).max() < 2e-5


def one_pass(spleeter, audio):
    """The voice by loops and SciPy from one spectrogram of all audio, padded as in the published program."""
    padded = np.concatenate([np.zeros(4096), audio, np.zeros(4096 + 1024)])
    window = scipy.signal.get_window("hann", 4096)
    count = -(-(4096 + len(audio)) // 1024)
    frames = np.stack([padded[k * 1024 : k * 1024 + 4096] * window for k in range(count)])
    spectrum = np.fft.rfft(frames)
    magnitudes = np.zeros((-(-count // 512) * 512, 1024), np.float32)
    magnitudes[:count] = np.abs(spectrum[:, :1024])
    both = np.stack([magnitudes, magnitudes]).reshape(2, -1, 512, 1024)
    voice, rest = (network.run(["y"], {"x": both})[0].astype(float) ** 2 for network in spleeter._networks)
    mask = ((voice + 5e-11) / (voice + rest + 1e-10)).mean(axis=0).reshape(-1, 1024)[:count]
    result, weight = np.zeros(len(padded)), np.zeros(len(padded))
    for k in range(count):
        part = slice(k * 1024, k * 1024 + 4096)
        result[part] += np.fft.irfft(np.pad(spectrum[k, :1024] * mask[k], (0, 1025))) * window
        weight[part] += window**2
    return (result / np.maximum(weight, 1e-9))[4096 : 4096 + len(audio)]


@pytest.mark.parametrize("samples", [SPLIT - 4096, SPLIT + 123_456])
def test_a_stream_equals_one_pass_over_all_audio(context_spleeter, samples):
    audio = faded_noise(samples / 44100, 44100, top_hz=9000)
    expected = one_pass(context_spleeter, audio)
    assert np.abs(separated(context_spleeter, audio, 44100, sizes=[50_000] * 30) - expected).max() < 1e-6
    assert np.abs(expected - 0.5 * audio).max() > 0.01  # the mask is not constant


def test_the_voice_equals_that_of_sherpa_onnx(tmp_path):
    sherpa = pytest.importorskip("sherpa_onnx", reason="needs sherpa-onnx to compare with")
    vocals, accompaniment = context_network_pair(tmp_path)
    config = sherpa.OfflineSourceSeparationSpleeterModelConfig(vocals=str(vocals), accompaniment=str(accompaniment))
    model = sherpa.OfflineSourceSeparationModelConfig(spleeter=config, num_threads=1)
    reference = sherpa.OfflineSourceSeparation(sherpa.OfflineSourceSeparationConfig(model=model))
    audio = faded_noise(520 * 1024 / 44100, 44100, top_hz=9000)
    padded = np.concatenate([np.zeros(4096), audio, np.zeros(4096)]).astype(np.float32)
    found = np.stack(reference.process(44100, np.stack([padded, padded])).stems[0].data)
    expected = np.asarray(found).mean(axis=0)[4096 : 4096 + len(audio)]
    assert np.abs(separated(Spleeter(vocals, accompaniment), audio, 44100) - expected).max() < 1e-6


# -- time ----------------------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 90_000), max_size=12), st.sampled_from([8000, 16000, 44100]), st.integers(1, 260_000))
def test_the_voice_does_not_depend_on_the_size_of_the_blocks(spleeter, sizes, rate, samples):
    audio = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    cut = separated(spleeter, audio, rate, sizes)
    assert len(cut) == samples
    np.testing.assert_array_equal(cut, separated(spleeter, audio, rate))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 48000, 96000, 192_000])
def test_the_voice_keeps_its_time_at_any_sample_rate(spleeter, rate):
    audio = faded_noise(1.5, rate)
    voice = separated(spleeter, audio, rate)
    assert len(voice) == len(audio)
    assert np.abs(voice - VOICE_FRACTION * audio).max() < 0.001 * np.abs(audio).max()


def test_a_stream_may_begin_at_any_time(spleeter):
    audio = faded_noise(0.3, 16000)
    later = separated(spleeter, audio, 16000, sizes=[1000, 7], start=ticks(5))
    np.testing.assert_array_equal(later, separated(spleeter, audio, 16000))


@pytest.mark.parametrize("rate", [8000, 44100])
def test_the_voice_is_never_later_than_the_lookahead(spleeter, rate):
    stream, reached = spleeter.stream(rate), 0
    for n in range(26):
        reached = max([reached, *(b.end for b in stream.push(AudioBlock(np.zeros(rate, np.float32), ticks(n), rate)))])
        assert reached >= ticks(n + 1) - stream.lookahead
    assert reached > ticks(11)


def test_the_memory_of_a_stream_does_not_grow_with_time(spleeter):
    stream = spleeter.stream(44100)
    kept = []
    for n in range(40):
        stream.push(AudioBlock(np.zeros(44100, np.float32), ticks(n), 44100))
        kept.append(sum(map(len, stream._waiting)))
    assert max(kept) < SPLIT + 4096 + 44100


def test_streams_of_one_pair_of_networks_are_independent(spleeter):
    one, other = faded_noise(1, 16000, seed=1), faded_noise(1, 16000, seed=2)
    first, second = spleeter.stream(16000), spleeter.stream(16000)
    first.push(AudioBlock(one, 0, 16000))
    second.push(AudioBlock(other, 0, 16000))
    np.testing.assert_array_equal(first.close()[0].samples, separated(spleeter, one, 16000))


# -- unusual audio ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 160])
def test_the_voice_in_the_shortest_audio_is_as_long(spleeter, samples):
    assert len(separated(spleeter, np.full(samples, 0.5, np.float32), 16000)) == samples


def test_an_empty_stream_has_no_voice(spleeter):
    assert spleeter.stream(16000).close() == []
    assert len(separated(spleeter, np.empty(0, np.float32), 16000)) == 0


def test_the_voice_in_silence_is_silence(spleeter):
    assert not separated(spleeter, np.zeros(20_000, np.float32), 16000).any()


def test_the_voice_in_clipped_audio_is_within_full_scale(tmp_path):
    square = np.sign(np.sin(2 * np.pi * 200 * np.arange(30_000) / 16000)).astype(np.float32)
    voice = separated(Spleeter(*gain_network_pair(tmp_path, 1.0, 0.0)), square, 16000)
    assert np.abs(voice).max() == 1  # without its upper harmonics a square wave overshoots
    assert np.corrcoef(voice, square)[0, 1] > 0.95


def test_nan_and_infinities_count_as_zeros(spleeter):
    audio = faded_noise(1, 16000)
    broken, repaired = audio.copy(), audio.copy()
    broken[5000:5003] = np.nan, np.inf, -np.inf
    repaired[5000:5003] = 0
    np.testing.assert_array_equal(separated(spleeter, broken, 16000), separated(spleeter, repaired, 16000))


def test_a_gap_another_rate_and_two_channels_are_refused(spleeter):
    stream = spleeter.stream(16000)
    stream.push(AudioBlock(np.zeros(160, np.float32), 0, 16000))
    with pytest.raises(ShapeError, match="without gaps"):
        stream.push(AudioBlock(np.zeros(160, np.float32), ticks(1), 16000))
    with pytest.raises(ShapeError, match="8000 Hz, but the stream has 16000 Hz"):
        stream.push(AudioBlock(np.zeros(160, np.float32), ticks(0.01), 8000))
    with pytest.raises(ShapeError, match="give one channel"):
        stream.push(AudioBlock(np.zeros((160, 2), np.float32), ticks(0.01), 16000))
    with pytest.raises(SettingsError, match="the sample rate is 0 Hz; give 1 or more"):
        spleeter.stream(0)


# -- weights --------------------------------------------------------------------------------------------------


def test_the_identity_changes_only_with_the_weights(tmp_path, spleeter):
    for name in ("same", "other"):
        (tmp_path / name).mkdir()
    assert Spleeter(*gain_network_pair(tmp_path / "same")).identity == spleeter.identity
    assert Spleeter(*gain_network_pair(tmp_path / "other", 0.8)).identity != spleeter.identity
    assert spleeter.identity.startswith("spleeter:")


def refused(vocals, accompaniment):
    with pytest.raises(WeightsError) as error:
        Spleeter(vocals, accompaniment)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_file_is_named(tmp_path):
    vocals, _ = gain_network_pair(tmp_path)
    assert "gone.onnx: there is no such file" in refused(vocals, tmp_path / "gone.onnx")


def test_a_truncated_file_is_named(tmp_path):
    vocals, accompaniment = gain_network_pair(tmp_path)
    vocals.write_bytes(vocals.read_bytes()[:80])
    assert f"{vocals}: cannot be read as an ONNX network" in refused(vocals, accompaniment)


def test_a_web_page_in_place_of_a_file_is_named(tmp_path):
    vocals, accompaniment = gain_network_pair(tmp_path)
    accompaniment.write_text("<html>\nNot found\n</html>")
    assert f"{accompaniment}: cannot be read as an ONNX network" in refused(vocals, accompaniment)


@pytest.mark.parametrize("shape", [["splits", 2, 512, 1024], [2, 1, 512, 512], [2, 1, 1, 512, 1024]])
def test_a_different_network_is_refused_with_its_shape(tmp_path, shape):
    _, accompaniment = gain_network_pair(tmp_path)
    other = gain_network(tmp_path / "other.onnx", 0.7, shape=shape)
    assert f"a different network ({shape}, {shape})" in refused(other, accompaniment)


def test_swapped_files_are_refused(tmp_path):
    vocals, accompaniment = context_network_pair(tmp_path)
    assert "is the network of 'accompaniment', not of 'vocals'" in refused(accompaniment, vocals)


def test_the_same_file_twice_is_refused(tmp_path):
    vocals, _ = gain_network_pair(tmp_path)
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(vocals.read_bytes())
    assert "are the same file" in refused(vocals, copy)
