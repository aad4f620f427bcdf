from __future__ import annotations

import pytest

from emofuse.core.time import ticks
from emofuse.core.windows import Windows
from emofuse.errors import SettingsError


def test_seconds_become_exact_ticks():
    windows = Windows(4, 1.6, rate_hz=12_000, min_voice_seconds=0.3)
    assert (windows.width, windows.step, windows.min_voice) == (2_822_400_000, 1_128_960_000, 211_680_000)


def test_the_last_windows_are_cut_at_the_end_of_the_video():
    timeline = Windows(4, 2).timeline(ticks(5))
    assert timeline.start.tolist() == [0, ticks(2), ticks(4)]
    assert timeline.end.tolist() == [ticks(4), ticks(5), ticks(5)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seconds": 0}, "a width of 0 s; give more than 0 s"),
        ({"step_seconds": -1}, "a step of -1 s; give more than 0 s"),
        ({"seconds": 0.0001, "rate_hz": 12_000}, "a width of 0.0001 s is not a whole number of samples at 12000 Hz"),
        ({"rate_hz": 16_000, "segments": 7}, "64000 samples cannot be divided into 7 segments"),
        ({"segments": 0}, "0 segments"),
        ({"min_voice_seconds": -1}, "at least -1 s of voice"),
    ],
)
def test_impossible_windows_are_refused(given, message):
    with pytest.raises(SettingsError, match=message):
        Windows(**given)
