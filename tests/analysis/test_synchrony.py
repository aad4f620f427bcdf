from __future__ import annotations

import numpy as np
import pytest

from emofuse.analysis.synchrony import SynchronySettings, synchrony
from emofuse.errors import SettingsError
from support.result_tables import result

RNG = np.random.default_rng(1)
NOISE = 0.5 + 0.1 * RNG.standard_normal(1000)
OTHER = 0.5 + 0.1 * RNG.standard_normal(1000)


def rows(happiness):
    return [None if np.isnan(h) else [h, 1 - h, 0.0] for h in happiness]


def of(a, b, **settings):
    chosen = SynchronySettings(**{"measure": "happiness", "shuffles": 99, **settings})
    return synchrony([result({1: rows(a), 2: rows(b)}, step=0.2)], chosen)


def test_a_person_who_follows_another_one_has_that_lag():
    pairs, windows = of(NOISE, np.concatenate([OTHER[:5], NOISE[:-5]]))
    inner = windows.iloc[1:-1]
    assert inner["peak_lag"].to_numpy() == pytest.approx(1.0)
    assert inner["peak"].to_numpy() == pytest.approx(1.0, abs=1e-5)
    assert (pairs.loc[0, "windows"], pairs.loc[0, "p"]) == (20, pytest.approx(0.01))
    assert pairs.loc[0, "effect"] > 5


def test_correlations_without_lag_equal_those_of_numpy():
    _, windows = of(NOISE, OTHER)
    expected = [np.corrcoef(NOISE[n : n + 50], OTHER[n : n + 50])[0, 1] for n in range(0, 1000, 50)]
    assert windows["correlation"].to_numpy() == pytest.approx(expected)
    assert windows["start"].tolist() == pytest.approx(np.arange(20) * 10)


def test_independent_persons_are_as_synchronous_as_shuffled_ones():
    pairs, _ = of(NOISE, OTHER)
    assert abs(pairs.loc[0, "effect"]) < 2.5
    assert pairs.loc[0, "p"] > 0.02


def test_windows_with_too_few_scores_and_constant_ones_are_left_out():
    a, b = NOISE.copy(), OTHER.copy()
    a[:20] = np.nan  # 40 % of the first window
    b[50:100] = 0.5
    pairs, windows = of(a, b, lag_seconds=0)
    assert pairs.loc[0, "windows"] == 18
    assert windows["start"].min() == pytest.approx(20)


def test_short_results_have_no_shuffled_baseline_and_single_persons_no_pair():
    pairs, windows = of(NOISE[:100], OTHER[:100])
    assert (pairs.loc[0, "windows"], len(windows)) == (2, 2)
    assert np.isnan(pairs.loc[0, "p"])
    assert len(synchrony([result({1: rows(NOISE[:10])})]).pairs) == 0
    assert synchrony([result({1: [], 2: []})]).pairs.loc[0, "windows"] == 0


def test_an_unknown_measure_and_wrong_settings_are_one_line():
    with pytest.raises(SettingsError, match=r"--synchrony hapiness: .*did you mean 'happiness'"):
        of(NOISE, OTHER, measure="hapiness")
    with pytest.raises(SettingsError, match=r"--synchrony joy: talk\.mp4 has no such measure"):
        synchrony([result({1: rows(NOISE[:10])})], SynchronySettings("joy"))
    with pytest.raises(SettingsError, match="--window 0"):
        SynchronySettings(window_seconds=0)
    with pytest.raises(SettingsError, match="--max-lag 20"):
        SynchronySettings(lag_seconds=20)
