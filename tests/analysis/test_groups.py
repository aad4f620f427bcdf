from __future__ import annotations

import numpy as np
import pytest

from emofuse.analysis.events import Event
from emofuse.analysis.groups import compare
from emofuse.analysis.statistics import Baseline, StatisticsSettings, describe
from emofuse.errors import SettingsError
from support.result_tables import result


def rows(*happiness: float) -> list[list[float]]:
    return [[h, 1 - h, 0.0] for h in happiness]


def happiness(table):
    return table[table["emotion"] == "happiness"].reset_index(drop=True)


def test_groups_of_files_are_compared_over_persons():
    results = [result({1: rows(h)}, file=f"{n}.mp4") for n, h in enumerate([0.2, 0.4, 0.7, 0.9])]
    events = [Event("all", file=f"{n}.mp4", columns={"group": "ab"[n // 2]}) for n in range(4)]
    a, b = (row for _, row in happiness(compare(describe(results, events), "group")).iterrows())
    assert (a["group"], a["persons"], a["mean"]) == ("a", 2, pytest.approx(0.3))
    assert (b["group"], b["mean"], b["difference"]) == ("b", pytest.approx(0.8), pytest.approx(0.5))
    # Of two persons, a quarter of the resamples is each extreme.
    assert (a["low"], a["high"]) == (pytest.approx(0.2), pytest.approx(0.4))
    assert (b["difference_low"], b["difference_high"]) == (pytest.approx(0.3), pytest.approx(0.7))
    assert np.isnan(a["difference"])


def test_a_person_who_is_in_both_groups_is_resampled_in_both():
    """Every person has the same difference, so its interval has no width, however different the persons are."""
    results = [result({1: rows(h, h + 0.1)}, file=f"{n}.mp4") for n, h in enumerate([0.1, 0.5, 0.8])]
    compared = happiness(compare(describe(results, [Event("before", 0, 1), Event("after", 1, 2)]), "event"))
    after = compared.iloc[1]
    assert (after["event"], after["difference"]) == ("after", pytest.approx(0.1))
    assert (after["difference_low"], after["difference_high"]) == (pytest.approx(0.1), pytest.approx(0.1))
    assert after["high"] - after["low"] > 0.3


def test_a_named_person_in_several_files_counts_once():
    results = [result({1: rows(h)}, file=f"{n}.mp4", names={1: "Ann"}) for n, h in enumerate([0.2, 0.4])]
    compared = happiness(compare(describe(results), "event"))
    assert compared[["persons", "mean"]].to_numpy().tolist() == [[1, pytest.approx(0.3)]]
    assert compared["low"].isna().all()


def test_events_that_every_group_has_are_compared_one_by_one():
    results = [result({1: rows(h, 1 - h)}, file=f"{n}.mp4") for n, h in enumerate([0.2, 0.4])]
    events = [
        Event(name, start, start + 1, f"{n}.mp4", {"group": "ab"[n]})
        for n in range(2)
        for start, name in enumerate(["first", "second"])
    ]
    compared = happiness(compare(describe(results, events), "group"))
    assert compared[["event", "group"]].to_numpy().tolist() == [[e, g] for e in ("first", "second") for g in "ab"]


def test_changes_are_compared_where_there_is_a_baseline():
    table = describe(
        [result({1: rows(0.2, 0.6)})], [Event("e", 1, 2)], StatisticsSettings(baseline=Baseline.parse("first 1s"))
    )
    assert happiness(compare(table, "event"))["mean_change"].tolist() == [pytest.approx(0.4)]


def test_an_unknown_column_is_answered_with_the_nearest():
    with pytest.raises(
        SettingsError, match=r"--by evnt: no such column \(did you mean 'event'\?\); choose file, person"
    ):
        compare(describe([result({1: rows(0.2)})]), "evnt")


def test_nobody_with_scores_gives_no_groups():
    assert len(compare(describe([result({None: []})]), "event")) == 0
