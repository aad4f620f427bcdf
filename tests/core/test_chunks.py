from __future__ import annotations

import numpy as np
import pytest

from emofuse.core.chunks import LEVEL, Chunks, RunningLevel
from emofuse.errors import SettingsError


def noise(rms: float, frames: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, rms, frames * 320).astype(np.float32)


@pytest.mark.parametrize("rms", [0.003, 0.1, 0.5])
def test_steady_audio_is_brought_to_the_level(rms):
    assert RunningLevel().gain(noise(rms, 100)) * rms == pytest.approx(LEVEL, rel=0.03)


def test_silence_around_a_voice_hardly_changes_its_gain():
    voice, silence = noise(0.1, 50), np.zeros(100 * 320, np.float32)
    alone, padded = (RunningLevel().gain(samples) for samples in (voice, np.concatenate([silence, voice, silence])))
    assert padded == pytest.approx(alone, rel=1e-6)


def test_after_a_loud_passage_a_quiet_one_keeps_its_distance_and_regains_the_level_later():
    level = RunningLevel()
    level.gain(noise(0.1, 100))
    gains = [level.gain(noise(0.03, 100)) * 0.03 for _ in range(30)]
    assert gains[0] < 0.4 * LEVEL
    assert gains[-1] == pytest.approx(LEVEL, rel=0.05)
    assert gains == sorted(gains)


def test_digital_silence_has_a_finite_gain():
    assert np.isfinite(RunningLevel().gain(np.zeros(32_000, np.float32)))


@pytest.mark.parametrize("changes", [{"seconds": 0}, {"before_seconds": -0.02}, {"after_seconds": 0.03}])
def test_lengths_that_are_not_whole_frames_are_refused(changes):
    with pytest.raises(SettingsError, match=f"chunks: {next(iter(changes))} is .*; give a multiple of 0.02"):
        Chunks(**{"seconds": 2.0, "before_seconds": 0.6, "after_seconds": 0.4} | changes)
