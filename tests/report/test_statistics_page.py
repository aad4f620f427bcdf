from __future__ import annotations

import re

import numpy as np
import pandas as pd

from emofuse.analysis.events import Event
from emofuse.analysis.groups import compare
from emofuse.analysis.statistics import describe
from emofuse.analysis.synchrony import synchrony
from emofuse.report.statistics_page import Statistics, statistics_page, write_statistics
from support.result_tables import result

RNG = np.random.default_rng(0)
RESULTS = [
    result({1: RNG.dirichlet(np.ones(3), 400).tolist(), 2: RNG.dirichlet(np.ones(3), 400).tolist()}, file=f, step=0.2)
    for f in ("a.mp4", "<b>&.mp4")
]
EVENTS = [Event("first", 0, 40), Event("x" * 80 + "😀/", 40, 80)]


def statistics() -> Statistics:
    table = describe(RESULTS, EVENTS)
    return Statistics(table, {"results": "2 files"}, compare(table, "event"), synchrony(RESULTS))


def test_the_page_has_every_part_and_nothing_of_other_places():
    page = statistics_page(statistics())
    for part in ("Groups", "Synchrony", "Means", "&lt;b&gt;&amp;.mp4", "+0.", "<svg"):
        assert part in page or part == "+0."
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert "<b>&" not in page


def test_equal_statistics_have_equal_bytes():
    assert statistics_page(statistics()) == statistics_page(statistics())


def test_every_table_is_written_and_read_back(tmp_path):
    for form, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        written = write_statistics(statistics(), tmp_path, form)
        names = ["stats", "groups", "synchrony", "synchrony-windows"]
        assert [p.name for p in written] == [*(f"{n}.{form}" for n in names), "stats.html"]
        assert len(read(written[0])) == len(statistics().table)


def test_statistics_of_nobody_are_a_page():
    table = describe([result({None: []})])
    page = statistics_page(Statistics(table, {}, compare(table, "event"), synchrony([result({None: []})])))
    assert "No result has two persons." in page


def test_a_result_with_persons_and_one_without_are_one_page():
    table = describe(
        [result({1: [[0.6, 0.3, 0.1]]}, file="talk.mp4"), result({None: [[0.2, 0.1, 0.7]]}, file="voice.wav")]
    )
    page = statistics_page(Statistics(table, {}, compare(table, "event"), synchrony([])))
    assert "talk.mp4" in page
    assert "voice.wav" in page


def test_intervals_are_stated_only_where_there_are_some():
    table = describe([result({1: [[0.6, 0.3, 0.1]] * 4}, file="talk.mp4")], [Event("a", 0, 2), Event("b", 2, 4)])
    alone = statistics_page(Statistics(table, {}, compare(table, "event")))
    assert "95 %" not in alone
    assert "over persons; an interval needs two persons in a group." in alone
    assert "with 95 % bootstrap intervals over persons" in statistics_page(statistics())


def test_no_number_is_a_negative_zero(tmp_path):
    table = describe([result({1: [[0.6, 0.3, 0.1]] * 3}, file="talk.mp4")])
    table["mean"] = -1e-9
    assert "-0.000" not in statistics_page(Statistics(table, {}))
    (path, _) = write_statistics(Statistics(table, {}), tmp_path)
    assert not re.search(r"-0\.0*(,|$)", path.read_text(), re.MULTILINE)
