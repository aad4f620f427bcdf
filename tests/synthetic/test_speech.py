"""The synthetic voice: prosodies and speakers are measured in its audio."""

import numpy as np
import pytest

from emofuse.errors import ShapeError
from emofuse.synthetic.speech import PROSODIES, SPEECH_RATE_HZ, Speaker, block_times, prosody_rows, synthesise

SECONDS = 4
COLOURED = Speaker(tilt_scale=1.0)


def voice(name, speaker=COLOURED, seed=0):
    samples = SECONDS * SPEECH_RATE_HZ
    track = np.repeat(prosody_rows([name]), len(block_times(samples)), axis=0)
    return synthesise(track, samples, speaker=speaker, rng=np.random.default_rng(seed))


def pitches(audio):
    """The pitch of voiced frames in hertz, by autocorrelation."""
    slow = audio.reshape(-1, 3).mean(axis=1)
    frames = np.lib.stride_tricks.sliding_window_view(slow, 800)[::160] * np.hanning(800)
    lags = np.fft.irfft(np.abs(np.fft.rfft(frames, 2048)) ** 2)[:, :400]
    # The first lag that is nearly as good as the best, which avoids octave errors.
    part = lags[:, 30:220] / np.maximum(lags[:, :1], 1e-9)
    best = 30 + (part > 0.9 * part.max(axis=1, keepdims=True)).argmax(axis=1)
    steps = np.arange(len(best))
    while (better := lags[steps, np.minimum(best + 1, 398)] > lags[steps, best]).any():
        best = best + better
    clear = (part.max(axis=1) > 0.4) & (lags[:, 0] > 0.1 * lags[:, 0].mean())
    return 16_000 / best[clear]


def loudness(audio):
    return float(np.sqrt(np.mean(audio**2)))


def brightness(audio):
    """Power above 1 kHz relative to the power below, in decibels."""
    power = np.abs(np.fft.rfft(audio)) ** 2
    high = np.fft.rfftfreq(len(audio), 1 / SPEECH_RATE_HZ) > 1000
    return 10 * np.log10(power[high].sum() / power[~high].sum())


@pytest.fixture(scope="module")
def spoken():
    return {name: voice(name) for name in PROSODIES}


def test_every_emotion_has_the_pitch_of_its_prosody(spoken):
    for name, prosody in PROSODIES.items():
        assert np.median(pitches(spoken[name])) == pytest.approx(prosody.pitch_hz, rel=0.15), name


def test_surprise_has_a_wider_pitch_range_than_sadness(spoken):
    def spread(name):
        low, high = np.percentile(pitches(spoken[name]), [15, 85])
        return np.log2(high / low)

    assert spread("surprise") > 2 * spread("sadness")


def test_anger_is_loudest_and_sadness_softest(spoken):
    ordered = sorted(PROSODIES, key=lambda name: loudness(spoken[name]))
    assert (ordered[0], ordered[-1]) == ("sadness", "anger")


def test_anger_brightens_and_sadness_darkens_a_voice(spoken):
    change = {name: brightness(spoken[name]) - brightness(voice(name, Speaker())) for name in ("anger", "sadness")}
    assert change["anger"] > 2.5
    assert change["sadness"] < -1.5


def test_fear_has_a_pitch_tremor(spoken):
    def tremble(audio):
        """The fraction of the power of pitch changes at 5 to 9 Hz."""
        track = np.log(pitches(audio))
        power = np.abs(np.fft.rfft((track - track.mean()) * np.hanning(len(track)))) ** 2
        hz = np.fft.rfftfreq(len(track), 0.01)
        return power[(hz > 5) & (hz < 9)].sum() / power[1:].sum()

    assert tremble(spoken["fear"]) > 1.5 * tremble(spoken["happiness"])


def test_a_fast_speaker_has_more_syllables():
    def syllables(audio):
        level = np.sqrt((audio.reshape(-1, 480) ** 2).mean(axis=1))
        smooth = np.convolve(level, np.hanning(9) / 4, mode="same")
        middle = smooth[1:-1]
        return int(((middle > smooth[:-2]) & (middle >= smooth[2:]) & (middle > 0.2 * smooth.max())).sum())

    slow, fast = (voice("neutral", Speaker(pace=pace)) for pace in (0.7, 1.4))
    assert syllables(fast) > 1.4 * syllables(slow)


def test_pitch_and_vocal_tract_are_those_of_the_speaker():
    deep, high = (voice("neutral", Speaker(pitch=p, tract=t)) for p, t in ((0.65, 0.95), (1.3, 1.2)))
    assert np.median(pitches(high)) / np.median(pitches(deep)) == pytest.approx(2, rel=0.15)

    def centre(audio):
        power = np.abs(np.fft.rfft(audio)) ** 2
        hz = np.fft.rfftfreq(len(audio), 1 / SPEECH_RATE_HZ)
        return (hz * power).sum() / power.sum()

    assert centre(high) > centre(deep)


def test_the_same_seed_gives_the_same_audio():
    np.testing.assert_array_equal(voice("fear", seed=3), voice("fear", seed=3))
    assert not np.array_equal(voice("fear", seed=3), voice("fear", seed=4))


def test_a_track_of_another_length_is_an_error_with_the_expected_shape():
    with pytest.raises(ShapeError, match="one row per block_times"):
        synthesise(prosody_rows(["anger"]), 4800, rng=np.random.default_rng(0))
