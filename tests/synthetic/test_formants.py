"""The synthetic voice: what tones and speakers say is measured in the sound."""

import numpy as np
import pytest

from emofuse.errors import ShapeError
from emofuse.synthetic.formants import SOUND_RATE_HZ, TONES, Speaker, block_times, speak, tone_rows

SECONDS = 4
COLOURED = Speaker(colouring=1.0)


def voice(name, speaker=COLOURED, seed=0):
    samples = SECONDS * SOUND_RATE_HZ
    track = np.repeat(tone_rows([name]), len(block_times(samples)), axis=0)
    return speak(track, samples, speaker=speaker, rng=np.random.default_rng(seed))


def pitches(sound):
    """Of voiced frames in hertz, by autocorrelation."""
    slow = sound.reshape(-1, 3).mean(axis=1)
    frames = np.lib.stride_tricks.sliding_window_view(slow, 800)[::160] * np.hanning(800)
    lags = np.fft.irfft(np.abs(np.fft.rfft(frames, 2048)) ** 2)[:, :400]
    # The first lag that is nearly as good as the best: no octave too low.
    part = lags[:, 30:220] / np.maximum(lags[:, :1], 1e-9)
    best = 30 + (part > 0.9 * part.max(axis=1, keepdims=True)).argmax(axis=1)
    steps = np.arange(len(best))
    while (better := lags[steps, np.minimum(best + 1, 398)] > lags[steps, best]).any():
        best = best + better
    clear = (part.max(axis=1) > 0.4) & (lags[:, 0] > 0.1 * lags[:, 0].mean())
    return 16_000 / best[clear]


def loudness(sound):
    return float(np.sqrt(np.mean(sound**2)))


def brightness(sound):
    """Decibels that the part above 1 kHz has over the part below."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    high = np.fft.rfftfreq(len(sound), 1 / SOUND_RATE_HZ) > 1000
    return 10 * np.log10(power[high].sum() / power[~high].sum())


@pytest.fixture(scope="module")
def spoken():
    return {name: voice(name) for name in TONES}


def test_every_emotion_has_the_pitch_of_its_tone(spoken):
    for name, tone in TONES.items():
        assert np.median(pitches(spoken[name])) == pytest.approx(tone.pitch_hz, rel=0.15), name


def test_surprise_swings_more_than_sadness(spoken):
    def spread(name):
        low, high = np.percentile(pitches(spoken[name]), [15, 85])
        return np.log2(high / low)

    assert spread("surprise") > 2 * spread("sadness")


def test_anger_is_loudest_and_sadness_softest(spoken):
    ordered = sorted(TONES, key=lambda name: loudness(spoken[name]))
    assert (ordered[0], ordered[-1]) == ("sadness", "anger")


def test_anger_brightens_a_voice_that_follows_it_and_sadness_darkens_it(spoken):
    change = {name: brightness(spoken[name]) - brightness(voice(name, Speaker())) for name in ("anger", "sadness")}
    assert change["anger"] > 2.5
    assert change["sadness"] < -1.5


def test_fear_trembles(spoken):
    def tremble(sound):
        """Part of the pitch's movement that is at 5 to 9 Hz."""
        track = np.log(pitches(sound))
        power = np.abs(np.fft.rfft((track - track.mean()) * np.hanning(len(track)))) ** 2
        hz = np.fft.rfftfreq(len(track), 0.01)
        return power[(hz > 5) & (hz < 9)].sum() / power[1:].sum()

    assert tremble(spoken["fear"]) > 1.5 * tremble(spoken["happiness"])


def test_a_fast_speaker_says_more_syllables():
    def syllables(sound):
        level = np.sqrt((sound.reshape(-1, 480) ** 2).mean(axis=1))
        smooth = np.convolve(level, np.hanning(9) / 4, mode="same")
        middle = smooth[1:-1]
        return int(((middle > smooth[:-2]) & (middle >= smooth[2:]) & (middle > 0.2 * smooth.max())).sum())

    slow, fast = (voice("neutral", Speaker(pace=pace)) for pace in (0.7, 1.4))
    assert syllables(fast) > 1.4 * syllables(slow)


def test_pitch_and_tract_belong_to_the_speaker():
    deep, high = (voice("neutral", Speaker(pitch=p, tract=t)) for p, t in ((0.65, 0.95), (1.3, 1.2)))
    assert np.median(pitches(high)) / np.median(pitches(deep)) == pytest.approx(2, rel=0.15)

    def centre(sound):
        power = np.abs(np.fft.rfft(sound)) ** 2
        hz = np.fft.rfftfreq(len(sound), 1 / SOUND_RATE_HZ)
        return (hz * power).sum() / power.sum()

    assert centre(high) > centre(deep)


def test_the_same_seed_speaks_the_same():
    np.testing.assert_array_equal(voice("fear", seed=3), voice("fear", seed=3))
    assert not np.array_equal(voice("fear", seed=3), voice("fear", seed=4))


def test_a_track_of_another_length_is_refused_with_the_right_one():
    with pytest.raises(ShapeError, match="one row for each block_times"):
        speak(tone_rows(["anger"]), 4800, rng=np.random.default_rng(0))
