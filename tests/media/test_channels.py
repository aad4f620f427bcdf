"""Channels of audio and their mix: any number of channels is read, and no voice is lost in the mix."""

from __future__ import annotations

import struct
from itertools import pairwise

import av
import numpy as np
import pytest

from emofuse.media.audio import AudioReader
from emofuse.media.channels import Downmix, mix_weights
from support.media_files import tone_burst, write_pcm

RATE = 16000


def voice_and_noise(seconds=3, level=0.3):
    """A tone that changes like a voice, and noise of the same power."""
    rng = np.random.default_rng(0)
    t = np.arange(seconds * RATE) / RATE
    voice = level * np.sin(2 * np.pi * (300 + 100 * np.sin(2 * np.pi * 3 * t)) * t)
    return voice, rng.normal(0, level / np.sqrt(2), len(t)).clip(-0.9, 0.9)


def samples_and_warnings(path):
    with AudioReader(path) as audio:
        return np.concatenate([block.samples for block in audio.blocks()]), audio.warnings


def write_channels(path, channels, layout):
    """PCM of [channels, n] in packets of 0.1 s."""
    rows = np.asarray(channels).T
    return write_pcm(path, [(n / RATE, rows[n : n + 1600]) for n in range(0, len(rows), 1600)], layout=layout)


def mixed(channels, names, *, sizes):
    mix, samples = Downmix(names, RATE), []
    bounds = np.append(0, np.cumsum(sizes))
    for start, end in pairwise(bounds):
        samples += mix.push(channels[:, start:end])
    return np.concatenate(samples + mix.close()), mix.cancelled


def write_opus(path, n, samples):
    """The same samples in n channels; Opus is decoded to a plane for each."""
    with av.open(str(path), "w") as container:
        options = {"mapping_family": "255"}
        stream = container.add_stream("libopus", rate=48000, layout=f"{n} channels", options=options)
        rows = np.ascontiguousarray(np.repeat(samples, n)[None] * 32767, np.int16)
        frame = av.AudioFrame.from_ndarray(rows, format="s16", layout=f"{n} channels")
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


@pytest.mark.parametrize("n", [8, 9, 10, 16, 24])
def test_any_number_of_planar_channels_is_read(tmp_path, n):
    path = write_opus(tmp_path / "a.mkv", n, tone_burst(48000))
    samples, warnings = samples_and_warnings(path)
    assert np.argmax(np.abs(samples)) / RATE == pytest.approx(0.5, abs=0.03)
    assert np.abs(samples).max() > 0.5
    assert warnings == []


def set_channel_order(path, labels):
    """Overwrite the channel layout of a QuickTime file by a list of channels, as some recorders write it."""
    data = bytearray(path.read_bytes())
    at = data.index(b"chan") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    channels = b"".join(struct.pack(">5I", label, 0, 0, 0, 0) for label in labels)
    atom = struct.pack(">I4s4I", 24 + len(channels), b"chan", 0, 0, 0, len(labels)) + channels
    data[at : at + size] = atom
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"sowt"):
        head = data.index(name) - 4
        data[head : head + 4] = struct.pack(">I", int.from_bytes(data[head : head + 4], "big") + len(atom) - size)
    path.write_bytes(data)
    return path


def test_channels_in_an_unusual_order_are_read_to_the_end(tmp_path):
    voice, noise = voice_and_noise()
    path = write_channels(tmp_path / "a.mov", [noise, noise, voice], "3.0")
    samples, _ = samples_and_warnings(set_channel_order(path, [2, 1, 3]))  # right, left, centre
    weights = mix_weights(("FR", "FL", "FC"))
    assert np.allclose(samples, 2 * weights[0] * noise + weights[2] * voice, atol=1e-3)


def test_the_mix_of_surround_keeps_the_centre(tmp_path):
    voice, noise = voice_and_noise()
    around = 0.3 * noise
    path = write_channels(tmp_path / "a.wav", [0 * voice, 0 * voice, voice, noise, around, around], "5.1")
    samples, warnings = samples_and_warnings(path)
    total = 1 + 2 * np.sqrt(0.5) + 2 * 0.5  # ITU-R BS.775, without the low-frequency channel
    assert np.allclose(samples, (voice + 0.5 * 2 * around) / total, atol=1e-4)
    assert warnings == []


def test_ambisonics_are_mixed_to_their_channel_of_all_directions():
    assert mix_weights(("AMBI0", "AMBI1", "AMBI2", "AMBI3")).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("layout", [("LFE", "LFE2", "LFE"), ("NONE",) * 4])
def test_channels_without_a_place_have_equal_weights(layout):
    assert np.allclose(mix_weights(layout), 1 / len(layout))


@pytest.mark.parametrize("gain", [-1.0, -0.9])
def test_opposite_phase_keeps_the_voice_and_adds_a_warning(tmp_path, gain):
    voice, _ = voice_and_noise()
    samples, warnings = samples_and_warnings(write_channels(tmp_path / "a.wav", [voice, gain * voice], "stereo"))
    assert np.allclose(samples[160:], voice[160:], atol=1e-4)  # a fade of 10 ms
    reason = "the channels of its audio cancel each other, as with a microphone in opposite phase"
    assert warnings == [f"{reason}: the loudest channel is used for 3.0 s"]


def test_opposite_phase_is_found_below_hum_in_both_channels():
    voice, _ = voice_and_noise()
    hum = 0.3 * np.sin(2 * np.pi * 50 * np.arange(len(voice)) / RATE)
    channels = np.asarray([voice + hum, hum - voice], np.float32)
    samples, cancelled = mixed(channels, ("FL", "FR"), sizes=[len(voice)])
    assert cancelled == len(voice)
    assert np.corrcoef(samples, voice)[0, 1] > 0.6


@pytest.mark.parametrize("right", [0.0, 0.3, -0.3, 1.0])
def test_ordinary_stereo_is_the_mean_to_the_bit(right):
    voice, noise = voice_and_noise()
    channels = np.asarray([voice + 0.05 * noise, right * voice + 0.05 * noise[::-1]], np.float32)
    samples, cancelled = mixed(channels, ("FL", "FR"), sizes=[1024] * 46 + [len(voice) - 1024 * 46])
    assert np.array_equal(samples, channels.mean(axis=0))
    assert cancelled == 0


def test_the_mix_does_not_depend_on_how_audio_is_cut_into_pieces():
    voice, noise = voice_and_noise(6)
    phase = np.where(np.arange(len(voice)) < 3 * RATE, 1, -1)  # the plug is turned after 3 s
    channels = np.asarray([voice + 0.01 * noise, phase * voice], np.float32)
    rng = np.random.default_rng(1)
    whole = mixed(channels, ("FL", "FR"), sizes=[len(voice)])
    for _ in range(3):
        cuts = np.sort(rng.integers(0, len(voice), 40))
        pieces = mixed(channels, ("FL", "FR"), sizes=np.diff(cuts, prepend=0, append=len(voice)))
        assert np.array_equal(pieces[0], whole[0])
        assert pieces[1] == whole[1] == pytest.approx(3 * RATE, abs=RATE / 2)


def test_silence_keeps_the_choice_of_the_channel():
    voice, _ = voice_and_noise(2)
    channels = np.asarray([voice, -voice], np.float32)
    channels = np.concatenate([channels, np.zeros((2, 20 * RATE), np.float32), channels], axis=1)
    samples, cancelled = mixed(channels, ("FL", "FR"), sizes=[channels.shape[1]])
    assert cancelled == channels.shape[1]
    assert np.array_equal(samples[160:], channels[0, 160:])
