"""Speech detection: on synthetic speech, noise and silence at every level, and on real speech if available."""

from __future__ import annotations

import os
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.time import TICKS_PER_SECOND, ticks
from emofuse.errors import SettingsError, ShapeError, WeightsError
from emofuse.media.audio import AudioBlock, AudioReader
from emofuse.speech import AlwaysActive
from emofuse.speech.activity import VoteWindow
from emofuse.speech.energy import EnergyDetector
from emofuse.speech.silero import CONTEXT, SileroClassifier, SileroDetector
from emofuse.synthetic.speech import SPEECH_RATE_HZ, block_times, prosody_rows, synthesise
from support.spleeter_networks import gain_network

RATE = 16000
ENERGY = EnergyDetector()


@pytest.fixture(scope="module")
def silero():
    package = find_spec("silero_vad")
    if package is None:
        pytest.skip("needs the network of silero-vad")
    return SileroDetector(Path(package.submodule_search_locations[0]) / "data" / "silero_vad.onnx")


@pytest.fixture(scope="module")
def synthetic_speech():
    """4 s of the synthetic voice, root mean square 1."""
    samples = 4 * SPEECH_RATE_HZ
    track = np.repeat(prosody_rows(["neutral"]), len(block_times(samples)), axis=0)
    spoken = scipy.signal.resample_poly(
        synthesise(track, samples, rng=np.random.default_rng(0)), 1, SPEECH_RATE_HZ // RATE
    )
    return at_level(spoken, 0)


@pytest.fixture(scope="module")
def real_speech():
    """One trimmed clip of each of eight speakers, root mean square 1."""
    folder = Path(os.environ.get("EMOFUSE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data") / "speech"
    if not folder.is_dir():
        pytest.skip("needs the shared speech: set EMOFUSE_TEST_DATA")
    clips = []
    for actor in range(1, 9):
        path = folder / "ravdess" / f"actor_{actor:02d}" / f"03-01-05-01-01-01-{actor:02d}.flac"
        clips.append(at_level(np.concatenate([b.samples for b in AudioReader(path).blocks()]), 0))
    return clips


def at_level(audio, level_db):
    """The audio scaled to a root mean square in decibels relative to full scale."""
    return np.asarray(audio * 10 ** (level_db / 20) / np.sqrt(np.mean(np.square(audio))), np.float32)


def noise(seconds, *, seed=0, rate=RATE):
    return np.random.default_rng(seed).normal(0, 1, round(seconds * rate))


def segments_of(detector, samples, rate=RATE, sizes=(), *, start=0):
    """All segments; they must follow one another from start to end of the audio."""
    stream = detector.stream(rate)
    bounds = [b for b in np.cumsum([0, *sizes]).tolist() if b < len(samples)] + [len(samples)]
    found = []
    for first, last in pairwise(bounds):
        found += stream.push(AudioBlock(samples[first:last], start + first * TICKS_PER_SECOND // rate, rate))
    found += stream.close()
    ends = [start, *(s.end for s in found)]
    assert [s.start for s in found] == ends[:-1]
    assert ends[-1] == start + len(samples) * TICKS_PER_SECOND // rate
    return found


def active_in(detector, samples, rate=RATE, sizes=()):
    """Whether each 10 ms are active."""
    active = np.zeros(-(-len(samples) * 100 // rate), bool)
    for s in segments_of(detector, samples, rate, sizes):
        active[-(-s.start * 100 // ticks(1)) : -(-s.end * 100 // ticks(1))] = s.active
    return active


# -- silence, noise and speech --------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_digital_silence_is_never_active(rate):
    assert not active_in(ENERGY, np.zeros(3 * rate, np.float32), rate).any()


def test_digital_silence_between_words_is_not_active(synthetic_speech):
    audio = at_level(synthetic_speech, -20)
    assert active_in(ENERGY, audio)[150:170].all()
    audio[round(1.5 * RATE) : round(1.7 * RATE)] = 0
    active = active_in(ENERGY, audio)
    assert not active[152:170].any()
    assert active[145:150].all()


@pytest.mark.parametrize("level_db", [-40, -30, -20, -10, 0])
def test_synthetic_speech_is_active_at_any_level(synthetic_speech, level_db):
    audio = np.clip(at_level(synthetic_speech, level_db), -1, 1)
    assert active_in(ENERGY, audio).mean() > 0.93


@pytest.mark.parametrize("level_db", [-40, -20, 0])
def test_real_speech_is_active_at_any_level(real_speech, silero, level_db):
    for detector in (ENERGY, silero):
        active = [active_in(detector, np.clip(at_level(clip, level_db), -1, 1)) for clip in real_speech]
        assert np.concatenate(active).mean() > 0.75  # the clips have breaths and ends without speech
        assert min(a.mean() for a in active) > 0.6


@pytest.mark.parametrize("level_db", [-55, -40, -20, -10])
@pytest.mark.parametrize("colour", ["white", "brown", "hum"])
def test_steady_noise_becomes_inactive(level_db, colour):
    audio = {
        "white": noise(8),
        "brown": scipy.signal.lfilter([1], [1, -0.97], noise(8)),
        "hum": np.sin(2 * np.pi * 120 * np.arange(8 * RATE) / RATE),
    }[colour]
    active = active_in(ENERGY, np.clip(at_level(audio, level_db), -1, 1))
    assert not active[180:].any()  # the noise level is unknown for 1.5 s, and 0.3 s around it are active


def test_noise_that_begins_later_becomes_inactive():
    audio = np.concatenate([at_level(noise(4), -60), at_level(noise(8, seed=1), -25)])
    active = active_in(ENERGY, audio)
    assert active[400:600].all()  # it might be speech
    assert not active[400 + 280 :].any()


@pytest.mark.parametrize("snr_db", [20, 10])
def test_speech_in_steady_noise_is_active_and_the_noise_is_not(synthetic_speech, snr_db):
    behind = at_level(noise(12), -30)
    behind[6 * RATE : 10 * RATE] += at_level(synthetic_speech, -30 + snr_db)
    active = active_in(ENERGY, behind)
    assert active[600:1000].mean() > 0.85
    assert not active[200:585].any()
    assert not active[1030:].any()


def test_a_click_is_not_active():
    audio = at_level(noise(3), -70)
    audio[RATE : RATE + 30] = 0.9
    assert not active_in(ENERGY, audio).any()


def test_silero_distinguishes_speech_from_sudden_noise(real_speech, silero):
    speech = np.concatenate([at_level(clip, -25) for clip in real_speech[:2]])
    sudden_noise = at_level(noise(2), -25)
    active = active_in(silero, np.concatenate([sudden_noise, speech, sudden_noise]))
    middle = slice(200, 200 + len(speech) * 100 // RATE)
    assert active[middle].mean() > 0.8
    assert active[:185].mean() < 0.05
    assert active[middle.stop + 30 :].mean() < 0.05


def test_silence_is_not_active_for_silero(silero):
    assert not active_in(silero, np.zeros(RATE, np.float32)).any()


def test_silero_classifies_frames_as_its_own_package_does(silero, synthetic_speech):
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("silero_vad").load_silero_vad(onnx=True)
    audio = at_level(synthetic_speech, -20) + at_level(noise(4), -40)
    frames = audio[: 40 * 512].reshape(40, 512)
    expected = np.array([float(reference(torch.from_numpy(frame), RATE)) for frame in frames])
    classify = SileroClassifier(silero._network)
    np.testing.assert_array_equal(np.concatenate([classify(frames[:7]), classify(frames[7:])]), expected >= 0.5)
    assert len(set((expected >= 0.5).tolist())) == 2
    assert CONTEXT == 64


# -- time -----------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9000), max_size=10), st.sampled_from([8000, 16000, 22050]), st.integers(1, 60_000))
def test_the_result_does_not_depend_on_the_size_of_the_blocks(sizes, rate, samples):
    audio = np.random.default_rng(samples).normal(0, 0.1, samples) * (np.arange(samples) // 4000 % 3 == 0)
    audio = audio.astype(np.float32)
    np.testing.assert_array_equal(active_in(ENERGY, audio, rate, sizes), active_in(ENERGY, audio, rate))


def test_the_result_of_silero_does_not_depend_on_the_size_of_the_blocks(silero, synthetic_speech):
    audio = at_level(synthetic_speech, -20)[:30_000]
    np.testing.assert_array_equal(active_in(silero, audio, sizes=[1, 511, 4000, 777]), active_in(silero, audio))


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 192_000])
def test_a_tone_is_active_at_its_time_at_any_sample_rate(rate):
    at = np.arange(3 * rate) / rate
    tone = (0.1 * np.sin(2 * np.pi * 250 * at) * ((at >= 1) & (at < 2))).astype(np.float32)
    changes = [s.start / ticks(1) for s in segments_of(ENERGY, tone, rate) if s.active]
    assert min(changes) == pytest.approx(1.0, abs=0.041)  # the resampling filter rings before it
    assert active_in(ENERGY, tone, rate)[105:195].all()


@pytest.mark.parametrize("rate", [2000, 8000, 16000, 44100, 192_000])
@pytest.mark.parametrize("detector", ["energy", "silero", "none"])
def test_decisions_are_never_later_than_the_lookahead(detector, rate, request):
    chosen = {"energy": ENERGY, "none": AlwaysActive()}.get(detector) or request.getfixturevalue("silero")
    stream, reached = chosen.stream(rate), 0
    for n in range(40):
        audio = AudioBlock(np.full(rate // 20, 0.1, np.float32), ticks(1) * n // 20, rate)
        reached = max([reached, *(s.end for s in stream.push(audio))])
        assert reached >= ticks(1) * (n + 1) // 20 - stream.lookahead


def test_audio_after_the_lookahead_changes_no_decision(synthetic_speech):
    audio = at_level(synthetic_speech, -25)
    known = active_in(ENERGY, audio[: 2 * RATE])
    changed = np.concatenate([audio[: 2 * RATE], 0.5 * np.ones(RATE, np.float32)])
    before = 200 - ENERGY.stream(RATE).lookahead * 100 // ticks(1)
    np.testing.assert_array_equal(active_in(ENERGY, changed)[:before], known[:before])


@pytest.mark.parametrize("samples", [1, 160, 321])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 192_000])
def test_the_shortest_audio_is_covered_by_segments(samples, rate):
    segments_of(ENERGY, np.full(samples, 0.5, np.float32), rate, start=ticks(7))


def test_an_empty_stream_has_no_segments():
    assert ENERGY.stream(RATE).close() == []


def test_always_active_is_active_from_start_to_end():
    assert [s.active for s in segments_of(AlwaysActive(), np.zeros(1000, np.float32), sizes=[300])] == [True, True]


def test_the_memory_of_a_stream_does_not_grow_with_time():
    stream = ENERGY.stream(44100)
    for n in range(100):
        stream.push(AudioBlock(np.zeros(4410, np.float32), ticks(1) * n // 10, 44100))
    assert len(stream._samples) < 320
    assert len(stream._votes) <= 10 + 5
    assert len(stream._classifier._levels) == 124


# -- unusual audio ---------------------------------------------------------------------------------------


def test_nan_and_infinities_count_as_zeros(synthetic_speech):
    broken, repaired = at_level(synthetic_speech, -25), at_level(synthetic_speech, -25)
    broken[8000:8400:3] = np.nan
    broken[9000], broken[9001] = np.inf, -np.inf
    repaired[8000:8400:3] = repaired[9000:9002] = 0
    np.testing.assert_array_equal(active_in(ENERGY, broken), active_in(ENERGY, repaired))


def test_clipped_speech_is_active(synthetic_speech):
    assert active_in(ENERGY, np.clip(3 * synthetic_speech, -1, 1)).mean() > 0.9


def test_a_constant_offset_is_not_active():
    assert not active_in(ENERGY, np.full(3 * RATE, 0.3, np.float32))[60:].any()


def test_a_gap_and_another_rate_are_refused():
    for detector in (ENERGY, AlwaysActive()):
        stream = detector.stream(RATE)
        stream.push(AudioBlock(np.zeros(160, np.float32), 0, RATE))
        with pytest.raises(ShapeError, match="without gaps"):
            stream.push(AudioBlock(np.zeros(160, np.float32), ticks(0.5), RATE))
        with pytest.raises(ShapeError, match="the stream has 16000 Hz"):
            stream.push(AudioBlock(np.zeros(160, np.float32), ticks(0.01), 48000))
    with pytest.raises(SettingsError, match="the sample rate is 0 Hz; give 1 or more"):
        ENERGY.stream(0)


@pytest.mark.parametrize("wrong", [(-1, 0, 1), (0, -1, 1), (1, 1, 0), (1, 1, 4)])
def test_a_vote_that_no_frame_could_win_is_refused(wrong):
    with pytest.raises(SettingsError, match="min_votes from 1 to the number of frames"):
        VoteWindow(*wrong)


# -- the network --------------------------------------------------------------------------------------------------


def test_a_network_that_is_not_silero_is_refused(tmp_path):
    path = gain_network(tmp_path / "silero_vad.onnx", 0.7)
    with pytest.raises(WeightsError, match=rf"^Silero: {path} is a different network \(x, y\); give .*$"):
        SileroDetector(path)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "silero_vad.onnx"
    path.write_bytes(b"\x08\x08half of it")
    with pytest.raises(WeightsError, match=r"silero_vad\.onnx: cannot be read as an ONNX network"):
        SileroDetector(path)
    with pytest.raises(WeightsError, match=r"gone\.onnx: there is no such file"):
        SileroDetector(tmp_path / "gone.onnx")


def test_each_detector_has_its_own_identity(silero):
    assert ENERGY.identity == EnergyDetector().identity
    assert len({ENERGY.identity, silero.identity, AlwaysActive().identity}) == 3
