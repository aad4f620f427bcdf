from __future__ import annotations

import json

from emofuse.testing.writers import prediction


def test_statistics_are_printed_and_written(run, tmp_path):
    prediction().save(tmp_path / "two.csv")
    (tmp_path / "events.csv").write_text("name,start,end\nfirst,0,1\nsecond,1,2\n")
    code, out, _ = run("stats", "two.csv", "--events", "events.csv", "--by", "event", "--baseline", "first 1s")
    assert code == 0
    assert "events: 2 of events.csv" in " ".join(out.split())
    assert {p.name for p in (tmp_path / "emofuse-stats").glob("[!.]*")} == {"stats.csv", "groups.csv", "stats.html"}


def test_json_has_the_rows_of_every_table(run, tmp_path):
    prediction().save(tmp_path / "two.parquet")
    code, out, _ = run("stats", "two.parquet", "--synchrony", "anger", "--json", "--out", "s", "--format", "parquet")
    assert code == 0
    tables = json.loads(out)
    assert list(tables) == ["stats", "synchrony", "synchrony-windows"]
    assert tables["stats"][0]["event"] == "whole"


def test_wrong_options_are_one_line_and_write_nothing(run, tmp_path):
    prediction().save(tmp_path / "two.csv")
    for words, problem in (
        (("--format", "xls"), "--format 'xls': unknown"),
        (("--by", "evnt"), "did you mean 'event'"),
        (("--baseline", "x"), "--baseline x: give"),
        (("--events", "none.csv"), "none.csv: cannot be read"),
    ):
        code, _, error = run("stats", "two.csv", *words)
        assert code == 2
        assert problem in error
        assert error.count("\n") == 1
    assert not (tmp_path / "emofuse-stats").exists()
