"""The audio reader on small files encoded for each test: every sample must be where the clip's clock says."""

from __future__ import annotations

import struct
from itertools import pairwise
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soxr

from emofuse.core.time import TICKS_PER_SECOND, ticks
from emofuse.errors import MediaError, SettingsError
from emofuse.media.audio import AudioReader
from emofuse.media.container import MediaFile, packets
from emofuse.media.video import VideoReader
from support.media_files import moving_bar, tone_burst, write_media, write_pcm

RATE = 16000


def waveform(path, seconds=1.0):
    with AudioReader(path) as audio:
        blocks = list(audio.blocks(seconds))
    assert all(b.rate_hz == RATE and b.samples.dtype == np.float32 and b.samples.ndim == 1 for b in blocks)
    return np.concatenate([b.samples for b in blocks])


def seconds_of_burst(samples):
    """Seconds at the middle of the tone burst, from where it fits best."""
    tone = tone_burst(RATE, at=0.02, length=0.04)
    return int(np.argmax(np.correlate(samples, tone, mode="valid"))) / RATE + 0.02


@pytest.mark.parametrize(
    ("name", "codec", "rate", "video_codec"),
    [
        ("a.wav", "pcm_s16le", 44100, None),
        ("a.flac", "flac", 44100, None),
        ("a.mp3", "libmp3lame", 44100, None),
        ("a.m4a", "aac", 48000, None),
        ("a.opus", "libopus", 48000, None),
        ("a.mp4", "aac", 44100, "libx264"),
        ("mp3.mp4", "libmp3lame", 44100, "libx264"),
        ("a.mkv", "aac", 22050, "libx264"),
        ("a.webm", "libopus", 48000, "libvpx"),
        ("low.mp4", "aac", 8000, "mpeg4"),
    ],
)
def test_a_tone_burst_keeps_its_time_in_any_format(tmp_path, name, codec, rate, video_codec):
    video = {"frames": moving_bar(30), "codec": video_codec} if video_codec else {}
    path = write_media(tmp_path / name, **video, audio=tone_burst(rate), audio_codec=codec, audio_rate=rate)
    assert seconds_of_burst(waveform(path)) == pytest.approx(0.5, abs=0.0005)


def test_audio_that_begins_late_is_preceded_by_zeros(tmp_path):
    path = write_media(
        tmp_path / "a.mkv",
        moving_bar(60),
        audio=tone_burst(44100, at=0.2),
        audio_codec="pcm_s16le",
        audio_start=0.7,
    )
    samples = waveform(path)
    assert seconds_of_burst(samples) == pytest.approx(0.9, abs=0.0005)
    assert not samples[: int(0.69 * RATE)].any()
    assert len(samples) == pytest.approx(1.7 * RATE, abs=1)


def test_audio_and_video_share_clip_time_zero(tmp_path):
    late = [15 + i for i in range(30)]
    path = write_media(tmp_path / "a.ts", moving_bar(30), times=late, audio=tone_burst(48000), audio_rate=48000)
    with VideoReader(path) as video:
        first_frame = video.timeline.start[0] / TICKS_PER_SECOND
    assert seconds_of_burst(waveform(path)) == pytest.approx(first_frame, abs=0.0005)  # both were written at 0.5 s


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 96000])
def test_the_output_is_as_long_as_the_input(tmp_path, rate):
    n = round(1.37 * rate)
    path = write_media(tmp_path / "a.wav", audio=np.zeros(n, np.float32), audio_codec="pcm_s16le", audio_rate=rate)
    assert len(waveform(path)) == pytest.approx(n * RATE / rate, abs=1)


def test_resampling_in_pieces_equals_resampling_in_one_call(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 60000).astype(np.float32)
    path = write_media(tmp_path / "a.wav", audio=noise, audio_codec="pcm_f32le", audio_rate=44100)
    assert np.abs(waveform(path) - soxr.resample(noise, 44100, RATE, "HQ")).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.wav", "pcm_u8"),
        ("a.wav", "pcm_s16le"),
        ("a.wav", "pcm_s24le"),
        ("a.wav", "pcm_s32le"),
        ("a.mkv", "pcm_f32le"),
        ("a.wav", "pcm_f64le"),
        ("a.wav", "pcm_s64le"),
        ("a.flac", "flac"),
        ("a.m4a", "alac"),
    ],
)
def test_mono_is_the_mean_of_the_channels_in_any_format(tmp_path, name, codec):
    rng = np.random.default_rng(0)
    stereo = rng.uniform(-1, 1, (2, 5000)).astype(np.float32)
    path = write_media(tmp_path / name, audio=stereo, audio_codec=codec, audio_rate=RATE)
    step = 2 / 256 if codec == "pcm_u8" else 2 / 65536
    assert np.abs(waveform(path)[:5000] - stereo.mean(axis=0)).max() <= 1.5 * step


def test_gaps_in_the_timestamps_are_filled_with_zeros(tmp_path):
    ones = np.full(1600, 0.5)
    path = write_pcm(tmp_path / "a.mkv", [(0.0, ones), (0.1, ones), (2.5, ones)])
    samples = waveform(path)
    expected = np.zeros(round(2.6 * RATE))
    expected[:3200] = expected[round(2.5 * RATE) :] = 0.5
    assert np.allclose(samples, expected, atol=1e-4)


def test_overlaps_in_the_timestamps_are_trimmed(tmp_path):
    pieces = [(0.0, np.full(1600, 0.25)), (0.05, np.full(1600, 0.5)), (0.15, np.full(1600, 0.75))]
    samples = waveform(write_pcm(tmp_path / "a.mkv", pieces))
    expected = np.concatenate([np.full(1600, 0.25), np.full(800, 0.5), np.full(1600, 0.75)])
    assert np.allclose(samples, expected, atol=1e-4)


def test_jitter_in_the_timestamps_leaves_the_samples_contiguous(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (20, 800))
    jitter = np.random.default_rng(1).integers(-6, 7, 20) * 0.001
    jitter[0] = 0
    path = write_pcm(tmp_path / "a.mkv", [(0.05 * i + jitter[i], piece) for i, piece in enumerate(noise)])
    assert np.allclose(waveform(path), noise.ravel(), atol=1e-4)


def noise_pieces(n, seed=0):
    """Pieces of 50 ms with the time at which each one begins."""
    noise = np.random.default_rng(seed).uniform(-0.9, 0.9, (n, 800))
    return noise.ravel(), [(0.05 * i, piece) for i, piece in enumerate(noise)]


def samples_and_warnings(path):
    with AudioReader(path) as audio:
        blocks = [block.samples for block in audio.blocks()]
        return np.concatenate(blocks), audio.warnings


@pytest.mark.parametrize("by", [2, 60, 3600, 10 * 86400, -0.5])
@pytest.mark.parametrize("where", [[7], [20], [38], [20, 21, 30]])
def test_a_wrong_timestamp_moves_no_audio(tmp_path, by, where):
    noise, pieces = noise_pieces(40)
    for n in where:
        pieces[n] = (max(pieces[n][0] + by, 0.1), pieces[n][1])
    samples, warnings = samples_and_warnings(write_pcm(tmp_path / "a.mkv", pieces))
    assert np.allclose(samples, noise, atol=1e-4)
    reason = "they contradict their neighbours or the length of the clip"
    assert warnings == [f"ignored timestamps of the audio: {len(where)}; {reason}"]


def test_audio_whose_timestamps_waver_by_a_packet_stays_contiguous(tmp_path):
    noise, pieces = noise_pieces(40)
    wavering = [(start + 0.05 * (n % 3 == 1), piece) for n, (start, piece) in enumerate(pieces)]
    samples, warnings = samples_and_warnings(write_pcm(tmp_path / "a.mkv", wavering))
    assert np.allclose(samples, noise, atol=1e-4)
    assert warnings == []


@pytest.mark.parametrize("by", [3600, 30 * 86400])
def test_a_clock_that_leaps_far_beyond_the_video_leaps_alone(tmp_path, by):
    noise, pieces = noise_pieces(40)
    pieces[20:] = [(start + by, piece) for start, piece in pieces[20:]]
    samples, warnings = samples_and_warnings(write_pcm(tmp_path / "a.mkv", pieces, frames=moving_bar(60)))
    assert np.allclose(samples, noise, atol=1e-4)
    assert [line[:36] for line in warnings] == ["ignored timestamps of the audio: 1; "]


@pytest.mark.parametrize("by", [5, 60, 86400])
def test_a_last_packet_that_claims_a_time_beyond_the_video_does_not_extend_the_audio(tmp_path, by):
    noise, pieces = noise_pieces(40)
    pieces[-1] = (pieces[-1][0] + by, pieces[-1][1])
    samples, warnings = samples_and_warnings(write_pcm(tmp_path / "a.mkv", pieces, frames=moving_bar(60)))
    assert np.allclose(samples, noise, atol=1e-4)
    assert len(warnings) == 1


def test_a_clock_that_leaps_by_a_month_without_video_leaps_alone(tmp_path):
    noise, pieces = noise_pieces(40)
    pieces[20:] = [(start + 30 * 86400, piece) for start, piece in pieces[20:]]
    assert np.allclose(waveform(write_pcm(tmp_path / "a.mka", pieces)), noise, atol=1e-4)


def test_a_pause_of_a_minute_is_filled_with_zeros(tmp_path):
    noise, pieces = noise_pieces(40)
    pieces[20:] = [(start + 60, piece) for start, piece in pieces[20:]]
    samples, warnings = samples_and_warnings(write_pcm(tmp_path / "a.mka", pieces))
    assert np.allclose(samples, np.concatenate([noise[:RATE], np.zeros(60 * RATE), noise[RATE:]]), atol=1e-4)
    assert warnings == []


@pytest.mark.parametrize("by", [-2, -3600])
def test_a_wrong_first_timestamp_of_the_audio_does_not_move_the_video(tmp_path, by):
    noise, pieces = noise_pieces(40)
    late = -min(by, 0)
    moved = [(start + late + 1, piece) for start, piece in pieces]  # timestamps in Matroska are not negative
    moved[0] = (moved[0][0] + by, pieces[0][1])
    times = [round(30 * (late + 1)) + n for n in range(60)]
    path = write_pcm(tmp_path / "a.mkv", moved, frames=moving_bar(60), times=times)
    samples, warnings = samples_and_warnings(path)
    with VideoReader(path) as video:
        assert video.timeline.start[0] == 0
    assert np.allclose(samples, noise, atol=1e-4)
    assert len(warnings) == 1


def test_a_wrong_first_timestamp_of_the_video_does_not_move_the_audio(tmp_path):
    noise, pieces = noise_pieces(40)
    times = [0, *range(30 * 3600 + 1, 30 * 3600 + 60)]
    late = [(start + 3600, piece) for start, piece in pieces]
    path = write_pcm(tmp_path / "a.mkv", late, frames=moving_bar(60), times=times)
    samples = waveform(path)
    assert len(samples) == pytest.approx(len(noise), abs=0.002 * RATE)  # times in Matroska are whole milliseconds
    assert np.allclose(samples[-len(noise) :], noise, atol=1e-4)
    with VideoReader(path) as video:
        assert video.end == pytest.approx(ticks(2), abs=ticks(0.1))


@pytest.mark.parametrize(("name", "searched"), [("a.mpg", [5_000_000, 50_000_000]), ("a.mkv", [5_000_000])])
def test_a_format_without_a_list_of_streams_is_searched_further_for_audio(tmp_path, monkeypatch, name, searched):
    path = write_media(tmp_path / name, moving_bar(3), codec="mpeg2video")
    av_open, found = av.open, []

    def recorded(*args, options=None, **settings):
        found.append(int((options or {}).get("probesize", 5_000_000)))
        return av_open(*args, options=options, **settings)

    monkeypatch.setattr(av, "open", recorded)
    MediaFile(path).close()
    assert found == searched


def test_a_stream_that_appears_on_the_way_is_reported(tmp_path):
    class Growing:  # PyAV looks for a stream that it does not know, at the end of the file
        streams = ()

        def demux(self, stream):
            yield av.Packet(b"audio")
            raise IndexError("list index out of range")

    warnings = []
    read = list(packets(Growing(), SimpleNamespace(index=0), warnings))
    assert [bytes(packet) for packet in read] == [b"audio"]
    assert warnings == ["a stream that begins later in the file is not used"]


def test_an_impossible_sample_rate_is_not_decoded(tmp_path):
    path = write_media(tmp_path / "a.wav", audio=tone_burst(RATE), audio_codec="pcm_s16le", audio_rate=RATE)
    data = bytearray(path.read_bytes())
    at = data.index(b"fmt ") + 12
    data[at : at + 4] = struct.pack("<I", 1)
    path.write_bytes(data)
    with AudioReader(path) as audio:
        assert list(audio.blocks()) == []
        assert audio.warnings[-1] == "none of the audio could be decoded"


def test_joined_recordings_whose_clock_restarts_are_read_in_full(tmp_path):
    single = write_media(tmp_path / "single.ts", audio=tone_burst(48000, length=2), audio_rate=48000).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(single + single)
    assert len(waveform(path)) == pytest.approx(2 * len(waveform(tmp_path / "single.ts")), rel=0.02)


def test_a_sample_rate_that_changes_within_the_file_changes_neither_time_nor_pitch(tmp_path):
    parts = []
    for rate in (44_100, 22_050):
        tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)).astype(np.float32)
        parts.append(write_media(tmp_path / f"{rate}.ts", audio=tone, audio_rate=rate).read_bytes())
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    samples = np.concatenate([block.samples for block in AudioReader(tmp_path / "joined.ts").blocks()])
    assert len(samples) / 16_000 == pytest.approx(4, abs=0.2)
    halves = samples[: 8 * 8_000].reshape(8, 8_000)
    assert (2 * np.abs(np.fft.rfft(halves)).argmax(axis=1)).tolist() == [440] * 8


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1.0, 60.0])
def test_blocks_of_any_length_tile_the_clip(tmp_path, seconds):
    path = write_media(tmp_path / "a.m4a", audio=tone_burst(44100, length=2.3))
    with AudioReader(path) as audio:
        assert audio.end is None
        blocks = list(audio.blocks(seconds))
        assert audio.end == blocks[-1].end
    assert [b.start for b in blocks] == [i * ticks(seconds) for i in range(len(blocks))]
    assert all(b.end == after.start for b, after in pairwise(blocks))
    assert np.array_equal(np.concatenate([b.samples for b in blocks]), waveform(path))


def test_samples_lie_between_minus_one_and_one(tmp_path):
    square = np.sign(np.sin(2 * np.pi * 300 * np.arange(44100) / 44100)).astype(np.float32)
    samples = waveform(write_media(tmp_path / "a.wav", audio=square, audio_codec="pcm_f32le"))
    assert np.abs(samples).max() == 1


def test_nan_becomes_silence(tmp_path):
    broken = tone_burst(RATE)
    broken[:100] = np.nan
    path = write_media(tmp_path / "a.wav", audio=broken, audio_codec="pcm_f32le", audio_rate=RATE)
    assert np.isfinite(waveform(path)).all()


def test_audio_may_end_before_the_video(tmp_path):
    path = write_media(tmp_path / "a.mp4", moving_bar(90), audio=tone_burst(44100))
    with AudioReader(path) as audio, VideoReader(path) as video:
        list(audio.blocks())
        assert audio.end == pytest.approx(ticks(1), abs=ticks(0.03))
        assert video.end == ticks(3)


def test_damaged_packets_become_silence_of_the_same_length(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 88200).astype(np.float32)
    path = write_media(tmp_path / "a.mp4", audio=noise, audio_codec="flac")
    whole, data = waveform(path), bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        broken = [bytes(p) for p in container.demux(audio=0) if p.size][5:7]
    for packet in broken:
        at = data.index(packet)
        data[at : at + len(packet)] = b"\xff" * len(packet)
    path.write_bytes(data)
    with AudioReader(path) as audio:
        damaged = np.concatenate([b.samples for b in audio.blocks()])
        assert audio.warnings == ["2 audio packets could not be decoded"]
    assert len(damaged) == len(whole)
    quiet = slice(round(0.54 * RATE), round(0.71 * RATE))  # packets of 4608 samples at 44.1 kHz
    assert np.abs(damaged[quiet]).max() < 1e-5
    assert np.allclose(damaged[round(0.75 * RATE) :], whole[round(0.75 * RATE) :], atol=1e-4)


def test_a_tag_with_invalid_utf_8_does_not_make_a_file_unreadable(tmp_path):
    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content

    tag = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"caf\xe9"))  # Latin-1
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16))
    path = tmp_path / "a.wav"
    path.write_bytes(chunk(b"RIFF", b"WAVE" + form + tag + chunk(b"data", bytes(32_000))))
    assert len(waveform(path)) == 16_000


def test_a_video_without_audio_is_refused(tmp_path):
    path = write_media(tmp_path / "a.mp4", moving_bar(3))
    with pytest.raises(MediaError) as error:
        AudioReader(path)
    assert str(error.value).startswith(f"{path}: has no audio.")
    assert "\n" not in str(error.value)


def test_a_missing_audio_file_is_named(tmp_path):
    with pytest.raises(MediaError, match=r"gone\.wav: there is no such file"):
        AudioReader(tmp_path / "gone.wav")


def test_audio_that_cannot_be_decoded_yields_no_block_and_a_warning(tmp_path):
    path = write_media(tmp_path / "a.wav", audio=tone_burst(RATE), audio_codec="pcm_s16le")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"data") + 8])
    with AudioReader(path) as audio:
        assert list(audio.blocks()) == []
        assert (audio.end, audio.warnings) == (0, ["none of the audio could be decoded"])


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1.0), (16000, 0.0)])
def test_rates_and_blocks_without_samples_are_refused(tmp_path, rate, seconds):
    path = write_media(tmp_path / "a.wav", audio=tone_burst(RATE), audio_codec="pcm_s16le")
    with pytest.raises(SettingsError, match="give"):
        AudioReader(path, rate_hz=rate).blocks(seconds)
