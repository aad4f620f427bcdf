from __future__ import annotations

import json

from emofuse.testing.writers import prediction


def test_a_report_is_written(run, tmp_path):
    prediction().save(tmp_path / "two.csv")
    code, out, _ = run("report", "two.csv", "--out", "pages/two.html")
    assert code == 0
    assert "wrote pages/two.html" in out
    code, out, _ = run("report", ".", "--json")
    assert json.loads(out) == {"page": "report.html", "files": 1, "without_media": [prediction().file]}


def test_a_damaged_table_and_embedding_without_a_video_are_one_line(run, tmp_path):
    prediction().save(tmp_path / "two.csv")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    for words, problem in ((("bad.csv",), "no column 'file'"), (("two.csv", "--embed"), "is not where it was")):
        code, _, error = run("report", *words)
        assert code == 2
        assert problem in error
        assert error.count("\n") == 1
