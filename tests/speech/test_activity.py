"""Where there is voice: on made speech, noise and silence at every level, and on real speech where it is there."""

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
from emofuse.speech import AlwaysActive, EnergyDetector
from emofuse.speech.activity import VoteWindow
from emofuse.speech.silero import CONTEXT, SileroClassifier, SileroDetector
from emofuse.synthetic.formants import SOUND_RATE_HZ, block_times, speak, tone_rows
from support.spleeter_networks import gain

RATE = 16000
ENERGY = EnergyDetector()


@pytest.fixture(scope="module")
def silero():
    package = find_spec("silero_vad")
    if package is None:
        pytest.skip("needs the net of silero-vad")
    return SileroDetector(Path(package.submodule_search_locations[0]) / "data" / "silero_vad.onnx")


@pytest.fixture(scope="module")
def made_speech():
    """4 s of the made voice, root mean square 1."""
    samples = 4 * SOUND_RATE_HZ
    track = np.repeat(tone_rows(["neutral"]), len(block_times(samples)), axis=0)
    spoken = scipy.signal.resample_poly(speak(track, samples, rng=np.random.default_rng(0)), 1, SOUND_RATE_HZ // RATE)
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


def at_level(sound, level_db):
    """The sound with this root mean square, in decibels of full scale."""
    return np.asarray(sound * 10 ** (level_db / 20) / np.sqrt(np.mean(np.square(sound))), np.float32)


def noise(seconds, *, seed=0, rate=RATE):
    return np.random.default_rng(seed).normal(0, 1, round(seconds * rate))


def stretches_of(detector, samples, rate=RATE, sizes=(), *, start=0):
    """All stretches; they must follow one another from end to end of the sound."""
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


def heard(detector, samples, rate=RATE, sizes=()):
    """Whether there is voice in each 10 ms."""
    active = np.zeros(-(-len(samples) * 100 // rate), bool)
    for s in stretches_of(detector, samples, rate, sizes):
        active[-(-s.start * 100 // ticks(1)) : -(-s.end * 100 // ticks(1))] = s.active
    return active


# -- silence, noise and speech --------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_digital_silence_is_never_voice(rate):
    assert not heard(ENERGY, np.zeros(3 * rate, np.float32), rate).any()


def test_digital_silence_between_words_is_no_voice_either(made_speech):
    sound = at_level(made_speech, -20)
    assert heard(ENERGY, sound)[150:170].all()
    sound[round(1.5 * RATE) : round(1.7 * RATE)] = 0
    active = heard(ENERGY, sound)
    assert not active[152:170].any()
    assert active[145:150].all()


@pytest.mark.parametrize("level_db", [-40, -30, -20, -10, 0])
def test_made_speech_is_voice_at_any_level(made_speech, level_db):
    sound = np.clip(at_level(made_speech, level_db), -1, 1)
    assert heard(ENERGY, sound).mean() > 0.93


@pytest.mark.parametrize("level_db", [-40, -20, 0])
def test_real_speech_is_voice_at_any_level(real_speech, silero, level_db):
    for detector in (ENERGY, silero):
        active = [heard(detector, np.clip(at_level(clip, level_db), -1, 1)) for clip in real_speech]
        assert np.concatenate(active).mean() > 0.75  # the clips have breaths and ends that are no voice
        assert min(a.mean() for a in active) > 0.6


@pytest.mark.parametrize("level_db", [-55, -40, -20, -10])
@pytest.mark.parametrize("colour", ["white", "brown", "hum"])
def test_steady_noise_stops_being_voice(level_db, colour):
    sound = {
        "white": noise(8),
        "brown": scipy.signal.lfilter([1], [1, -0.97], noise(8)),
        "hum": np.sin(2 * np.pi * 120 * np.arange(8 * RATE) / RATE),
    }[colour]
    active = heard(ENERGY, np.clip(at_level(sound, level_db), -1, 1))
    assert not active[180:].any()  # 1.5 s of not knowing, and 0.3 s around it


def test_noise_that_begins_later_stops_being_voice_too():
    sound = np.concatenate([at_level(noise(4), -60), at_level(noise(8, seed=1), -25)])
    active = heard(ENERGY, sound)
    assert active[400:600].all()  # it might be voice
    assert not active[400 + 280 :].any()


@pytest.mark.parametrize("snr_db", [20, 10])
def test_speech_is_found_in_steady_noise_and_noise_is_not(made_speech, snr_db):
    behind = at_level(noise(12), -30)
    behind[6 * RATE : 10 * RATE] += at_level(made_speech, -30 + snr_db)
    active = heard(ENERGY, behind)
    assert active[600:1000].mean() > 0.85
    assert not active[200:585].any()
    assert not active[1030:].any()


def test_a_click_is_no_voice():
    sound = at_level(noise(3), -70)
    sound[RATE : RATE + 30] = 0.9
    assert not heard(ENERGY, sound).any()


def test_silero_tells_speech_from_noise_that_begins(real_speech, silero):
    speech = np.concatenate([at_level(clip, -25) for clip in real_speech[:2]])
    bang = at_level(noise(2), -25)
    active = heard(silero, np.concatenate([bang, speech, bang]))
    middle = slice(200, 200 + len(speech) * 100 // RATE)
    assert active[middle].mean() > 0.8
    assert active[:185].mean() < 0.05
    assert active[middle.stop + 30 :].mean() < 0.05


def test_silero_hears_no_voice_in_silence(silero):
    assert not heard(silero, np.zeros(RATE, np.float32)).any()


def test_frames_of_silero_are_judged_as_in_its_own_package(silero, made_speech):
    torch = pytest.importorskip("torch")
    own = pytest.importorskip("silero_vad").load_silero_vad(onnx=True)
    sound = at_level(made_speech, -20) + at_level(noise(4), -40)
    frames = sound[: 40 * 512].reshape(40, 512)
    expected = np.array([float(own(torch.from_numpy(frame), RATE)) for frame in frames])
    judge = SileroClassifier(silero._net)
    np.testing.assert_array_equal(np.concatenate([judge(frames[:7]), judge(frames[7:])]), expected >= 0.5)
    assert len(set((expected >= 0.5).tolist())) == 2
    assert CONTEXT == 64


# -- time -----------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9000), max_size=10), st.sampled_from([8000, 16000, 22050]), st.integers(1, 60_000))
def test_the_answer_does_not_depend_on_how_the_sound_was_cut(sizes, rate, samples):
    sound = np.random.default_rng(samples).normal(0, 0.1, samples) * (np.arange(samples) // 4000 % 3 == 0)
    sound = sound.astype(np.float32)
    np.testing.assert_array_equal(heard(ENERGY, sound, rate, sizes), heard(ENERGY, sound, rate))


def test_silero_does_not_depend_on_how_the_sound_was_cut(silero, made_speech):
    sound = at_level(made_speech, -20)[:30_000]
    np.testing.assert_array_equal(heard(silero, sound, sizes=[1, 511, 4000, 777]), heard(silero, sound))


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 192_000])
def test_at_any_rate_voice_is_found_where_it_is(rate):
    at = np.arange(3 * rate) / rate
    tone = (0.1 * np.sin(2 * np.pi * 250 * at) * ((at >= 1) & (at < 2))).astype(np.float32)
    changes = [s.start / ticks(1) for s in stretches_of(ENERGY, tone, rate) if s.active]
    assert min(changes) == pytest.approx(1.0, abs=0.041)  # the filter that resamples rings before it
    assert heard(ENERGY, tone, rate)[105:195].all()


@pytest.mark.parametrize("rate", [2000, 8000, 16000, 44100, 192_000])
@pytest.mark.parametrize("detector", ["energy", "silero", "none"])
def test_decisions_are_never_later_than_the_lookahead(detector, rate, request):
    chosen = {"energy": ENERGY, "none": AlwaysActive()}.get(detector) or request.getfixturevalue("silero")
    stream, reached = chosen.stream(rate), 0
    for n in range(40):
        sound = AudioBlock(np.full(rate // 20, 0.1, np.float32), ticks(1) * n // 20, rate)
        reached = max([reached, *(s.end for s in stream.push(sound))])
        assert reached >= ticks(1) * (n + 1) // 20 - stream.lookahead


def test_nothing_is_decided_by_what_comes_after_the_lookahead(made_speech):
    sound = at_level(made_speech, -25)
    known = heard(ENERGY, sound[: 2 * RATE])
    changed = np.concatenate([sound[: 2 * RATE], 0.5 * np.ones(RATE, np.float32)])
    before = 200 - ENERGY.stream(RATE).lookahead * 100 // ticks(1)
    np.testing.assert_array_equal(heard(ENERGY, changed)[:before], known[:before])


@pytest.mark.parametrize("samples", [1, 160, 321])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 192_000])
def test_the_shortest_sound_has_an_answer(samples, rate):
    stretches_of(ENERGY, np.full(samples, 0.5, np.float32), rate, start=ticks(7))


def test_no_sound_has_none():
    assert ENERGY.stream(RATE).close() == []


def test_everywhere_is_voice_from_end_to_end():
    assert [s.active for s in stretches_of(AlwaysActive(), np.zeros(1000, np.float32), sizes=[300])] == [True, True]


def test_what_a_stream_keeps_does_not_grow_with_time():
    stream = ENERGY.stream(44100)
    for n in range(100):
        stream.push(AudioBlock(np.zeros(4410, np.float32), ticks(1) * n // 10, 44100))
    assert len(stream._waiting) < 320
    assert len(stream._maybe) <= 10 + 5
    assert len(stream._judge._levels) == 124


# -- sound of all kinds ---------------------------------------------------------------------------------------


def test_numbers_that_are_none_count_as_zeros(made_speech):
    broken, mended = at_level(made_speech, -25), at_level(made_speech, -25)
    broken[8000:8400:3] = np.nan
    broken[9000], broken[9001] = np.inf, -np.inf
    mended[8000:8400:3] = mended[9000:9002] = 0
    np.testing.assert_array_equal(heard(ENERGY, broken), heard(ENERGY, mended))


def test_clipped_speech_is_voice(made_speech):
    assert heard(ENERGY, np.clip(3 * made_speech, -1, 1)).mean() > 0.9


def test_an_offset_is_no_voice():
    assert not heard(ENERGY, np.full(3 * RATE, 0.3, np.float32))[60:].any()


def test_a_gap_and_another_rate_are_refused():
    for detector in (ENERGY, AlwaysActive()):
        stream = detector.stream(RATE)
        stream.push(AudioBlock(np.zeros(160, np.float32), 0, RATE))
        with pytest.raises(ShapeError, match="without gaps"):
            stream.push(AudioBlock(np.zeros(160, np.float32), ticks(0.5), RATE))
        with pytest.raises(ShapeError, match="the stream has 16000 Hz"):
            stream.push(AudioBlock(np.zeros(160, np.float32), ticks(0.01), 48000))
    with pytest.raises(SettingsError, match="makes no sense"):
        ENERGY.stream(0)


@pytest.mark.parametrize("wrong", [(-1, 0, 1), (0, -1, 1), (1, 1, 0), (1, 1, 4)])
def test_settings_that_no_frame_could_meet_are_refused(wrong):
    with pytest.raises(SettingsError, match="at least 1 frame"):
        VoteWindow(*wrong)


# -- the net --------------------------------------------------------------------------------------------------


def test_another_network_is_not_silero(tmp_path):
    path = gain(tmp_path / "silero_vad.onnx", 0.7)
    with pytest.raises(WeightsError, match=rf"^Silero: {path} is another network \(x, y\); give .*$"):
        SileroDetector(path)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "silero_vad.onnx"
    path.write_bytes(b"\x08\x08half of it")
    with pytest.raises(WeightsError, match=r"silero_vad\.onnx: cannot be read as an ONNX network"):
        SileroDetector(path)
    with pytest.raises(WeightsError, match=r"gone\.onnx: there is no such file"):
        SileroDetector(tmp_path / "gone.onnx")


def test_identities_tell_detectors_apart(silero):
    assert ENERGY.identity == EnergyDetector().identity
    assert len({ENERGY.identity, silero.identity, AlwaysActive().identity}) == 3
