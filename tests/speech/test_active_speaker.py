"""The networks for active speakers, and the voice in chunks of a second."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.core.time import ticks
from emofuse.errors import WeightsError
from emofuse.faces.mouth import SIZE
from emofuse.media.audio import AudioBlock
from emofuse.media.audio_clock import sample_time
from emofuse.speech.active_speaker import (
    BANDS,
    CONTEXT,
    FRAMES,
    MOUTH_NETWORK,
    VOICE_NETWORK,
    WIDTH,
    ActiveSpeakerNetworks,
    VoiceChunk,
    VoiceChunks,
    spectrum,
)
from emofuse.speech.energy import EnergyDetector

RATE = 16_000


@pytest.fixture(scope="module")
def networks() -> ActiveSpeakerNetworks:
    return ActiveSpeakerNetworks()


def babble(seconds: float, rate: int = RATE) -> np.ndarray:
    rng, time = np.random.default_rng(0), np.arange(round(seconds * rate)) / rate
    syllables = np.maximum(np.sin(2 * np.pi * 3 * time), 0)
    return (0.2 * syllables * np.sin(2 * np.pi * 180 * time) + 0.001 * rng.standard_normal(len(time))).astype(
        np.float32
    )


def chunked(
    networks: ActiveSpeakerNetworks, samples: np.ndarray, cuts: list[int], rate: int = RATE
) -> list[VoiceChunk]:
    stream, found = VoiceChunks(networks, EnergyDetector().stream(rate), rate), []
    for start, end in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        found += stream.push(AudioBlock(samples[start:end], sample_time(start, rate), rate))
    return found + stream.close()


def test_both_networks_are_small_and_take_one_second_with_context(networks):
    assert MOUTH_NETWORK.stat().st_size + VOICE_NETWORK.stat().st_size < 300_000
    frames = FRAMES + 2 * CONTEXT
    assert networks.mouth(np.zeros((frames, SIZE, SIZE), np.float32)).shape == (FRAMES, WIDTH)
    assert networks.voice(np.zeros((4 * frames, BANDS), np.float32)).shape == (FRAMES, WIDTH)
    assert networks.scale > 0


def test_a_missing_network_says_what_to_do(tmp_path):
    with pytest.raises(WeightsError, match=r"mouth\.onnx: there is no such file; install emofuse again"):
        ActiveSpeakerNetworks(tmp_path / "mouth.onnx")


def test_mouths_count_the_same_in_any_light(networks):
    crops = np.random.default_rng(0).uniform(60, 160, (FRAMES + 2 * CONTEXT, SIZE, SIZE)).astype(np.float32)
    assert networks.mouth(crops * 1.5 - 40) == pytest.approx(networks.mouth(crops), abs=0.25)


@pytest.mark.parametrize("seed", range(3))
def test_chunks_do_not_depend_on_how_the_audio_is_pushed(networks, seed):
    samples = babble(5.3)
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, len(samples), rng.integers(1, 30))).tolist()
    whole, parts = chunked(networks, samples, []), chunked(networks, samples, cuts)
    assert [chunk.number for chunk in whole] == [chunk.number for chunk in parts] == list(range(6))
    for one, other in zip(whole, parts, strict=True):
        assert np.array_equal(one.outputs, other.outputs)
        assert np.array_equal(one.speech, other.speech)


def test_the_last_chunk_is_completed_with_silence(networks):
    found = chunked(networks, babble(2.5), [])
    assert len(found) == 3
    assert found[-1].speech[FRAMES // 2 + 3 :].max() == 0


def test_silence_has_no_speech(networks):
    assert all(chunk.speech.max() == 0 for chunk in chunked(networks, np.zeros(3 * RATE, np.float32), []))


def test_no_audio_has_no_chunks(networks):
    assert VoiceChunks(networks, EnergyDetector().stream(RATE), RATE).close() == []


def test_audio_of_another_rate_is_resampled(networks):
    one, other = chunked(networks, babble(4), []), chunked(networks, babble(4, 48_000), [7], 48_000)
    assert len(one) == len(other) == 4
    assert np.abs(one[1].outputs - other[1].outputs).mean() < 0.5


def test_a_spectrum_has_one_frame_for_each_hop():
    assert spectrum(np.zeros(160 * 8 + 240, np.float32)).shape == (8, BANDS)


def test_audio_that_begins_late_is_refused_by_its_times(networks):
    stream = VoiceChunks(networks, EnergyDetector().stream(RATE), RATE)
    stream.push(AudioBlock(babble(1), 0, RATE))
    with pytest.raises(Exception, match="push blocks without gaps"):
        stream.push(AudioBlock(babble(1), ticks(5), RATE))
