"""Voices and backgrounds of the synthetic corpus: levels, turns of speech, and the spectrum of each background."""

from dataclasses import replace

import numpy as np
import pytest

from emofuse.synthetic.corpus.plan import plan_corpus
from emofuse.synthetic.corpus.soundtrack import RATE_HZ, mixture, voices

PLAN = plan_corpus(12, 4.0, seed=5)


def background_of(video):
    """The background alone, at its level in the mixture."""
    voice = sum(voices(video, seed=5))
    mixed, factor = mixture(video, voice, seed=5)
    return mixed - factor * voice, factor * voice


@pytest.mark.parametrize("background", ["music", "pink", "babble", "hum"])
@pytest.mark.parametrize("snr_db", [20, 0])
def test_the_voice_is_above_the_background_by_the_stated_ratio(background, snr_db):
    noise, voice = background_of(replace(PLAN[0], background=background, snr_db=snr_db))
    assert 10 * np.log10(np.mean(voice**2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.05)


def test_the_audio_does_not_clip():
    for video in PLAN:
        mixed, _ = mixture(replace(video, snr_db=0, background="music"), sum(voices(video, seed=5)), seed=5)
        assert np.abs(mixed).max() <= 0.96


def test_a_subject_that_does_not_speak_is_silent():
    video = next(video for video in PLAN if len(video.entries) == 2)
    for entry, voice in zip(video.entries, voices(video, seed=5), strict=True):
        for segment in entry.segments:
            span = voice[round((segment.start + 0.05) * RATE_HZ) : round((segment.end - 0.05) * RATE_HZ)]
            assert (np.abs(span).max() > 0.01) == (segment.voice is not None)


def test_pink_noise_falls_by_three_decibels_per_octave():
    noise, _ = background_of(replace(PLAN[0], background="pink", snr_db=0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / RATE_HZ)
    octaves = [power[(hz >= low) & (hz < 2 * low)].mean() for low in (100, 200, 400, 800, 1600, 3200)]
    assert np.diff(10 * np.log10(octaves)).mean() == pytest.approx(-3, abs=0.5)


def test_hum_is_loudest_at_a_mains_frequency():
    noise, _ = background_of(replace(PLAN[0], background="hum", snr_db=0))
    spectrum = np.abs(np.fft.rfft(noise * np.hanning(len(noise))))
    loudest = np.fft.rfftfreq(len(noise), 1 / RATE_HZ)[spectrum.argmax()]
    assert loudest in (pytest.approx(50, abs=0.5), pytest.approx(60, abs=0.5))


def test_music_has_a_beat_and_noise_does_not():
    def beat(background):
        noise, _ = background_of(replace(PLAN[0], background=background, snr_db=0))
        blocks = noise[: len(noise) // 80 * 80].reshape(-1, 80)
        level = np.sqrt((blocks**2).mean(axis=1))
        level -= level.mean()
        lag = round(1.875 / 4 * RATE_HZ / 80)
        return float((level[:-lag] * level[lag:]).sum() / (level**2).sum())

    assert beat("music") > 0.5
    assert abs(beat("pink")) < 0.2


def test_a_subject_has_the_same_voice_in_two_videos():
    shared = [(v, e) for v in plan_corpus(24, 4.0, seed=0) for e in v.entries]
    first, other = next(
        (one, two) for one in shared for two in shared if one[1].subject == two[1].subject and one[0] is not two[0]
    )
    calm = [replace(s, emotion="neutral", face="neutral", voice="neutral") for s in first[1].segments]
    spoken = []
    for video, entry in (first, other):
        alone = replace(video, entries=(replace(entry, side=0, segments=tuple(calm)),), frames=first[0].frames,
                        rate_hz=first[0].rate_hz)  # fmt: skip
        spoken.append(median_pitch(voices(alone, seed=0)[0]))
    assert spoken[0] == pytest.approx(spoken[1], rel=0.08)


def median_pitch(audio):
    frames = np.lib.stride_tricks.sliding_window_view(audio, 1024)[::400] * np.hanning(1024)
    lags = np.fft.irfft(np.abs(np.fft.rfft(frames, 2048)) ** 2)[:, :512]
    best = 30 + lags[:, 30:230].argmax(axis=1)
    clear = lags[np.arange(len(lags)), best] > 0.3 * lags[:, 0]
    return float(np.median(RATE_HZ / best[clear & (lags[:, 0] > lags[:, 0].mean())]))
