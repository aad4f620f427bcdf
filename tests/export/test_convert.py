from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from emofuse.cli.main import main
from emofuse.errors import DataError, SettingsError
from emofuse.export import export_results, read_results
from emofuse.testing.writers import prediction


@pytest.fixture
def table(tmp_path) -> Path:
    return prediction().save(tmp_path / "two.csv")


@pytest.mark.parametrize("extension", ["csv", "parquet", "json"])
def test_results_that_exist_are_written_as_predictions_are(extension, tmp_path):
    saved = prediction().save(tmp_path / f"two.{extension}")
    for name, suffix in (("elan", ".eaf"), ("praat", ".TextGrid"), ("boris", ".boris.tsv"), ("srt", ".srt")):
        (written, *_) = export_results([saved], formats=[name], out=tmp_path / "out")
        assert written == tmp_path / "out" / f"two{suffix}"
        direct = prediction().export(tmp_path / "out" / f"direct{suffix}", name)
        if name != "elan":  # which names its own files
            without = [path.read_text().replace(", bundle synthetic 1", "") for path in (written, direct)]
            assert without[0] == without[1]


def test_files_are_written_beside_each_table(table):
    written = export_results([table.parent], formats=["elan", "webvtt"])
    assert [path.name for path in written] == ["two.eaf", "two_series.txt", "two_tsconf.xml", "two.vtt"]
    assert {path.parent for path in written} == {table.parent}


def test_a_table_is_never_replaced_by_its_own_export(table, tmp_path):
    before = table.read_bytes()
    with pytest.raises(SettingsError, match=r"two\.csv: the result in csv would replace the table; give --out"):
        export_results([table], formats=["csv"])
    assert table.read_bytes() == before
    (copy,) = export_results([table], formats=["csv"], out=tmp_path / "out")
    assert copy.read_bytes() == before


def test_results_of_one_name_get_numbers(tmp_path):
    paths = [prediction().save(tmp_path / folder / "talk.csv") for folder in ("a", "b")]
    written = export_results(paths, formats=["srt"], out=tmp_path / "out")
    assert [path.name for path in written] == ["talk.srt", "talk-2.srt"]


def test_a_table_of_several_files_becomes_one_result_each(tmp_path):
    tables = [replace(prediction(), file=name).table() for name in ("a.mp4", "b.mp4")]
    pd.concat(tables).to_csv(tmp_path / "all.csv", index=False)
    written = export_results([tmp_path / "all.csv"], formats=["srt"])
    assert [path.name for path in written] == ["a.srt", "b.srt"]


def test_what_is_no_table_is_one_line(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"x\.csv: no column 'file', found a, b; give a table"):
        export_results([tmp_path / "x.csv"], formats=["srt"])


@pytest.mark.parametrize("name", ["😀 a&b <c>", "x" * 250, "ओ" * 80])
def test_names_of_any_kind_are_written_and_read_back(tmp_path, name):
    table = replace(prediction(), file=f"{name}.mp4").save(tmp_path / "results" / "t.csv")
    written = export_results([table], formats=["elan", "praat", "boris", "webvtt", "csv"], out=tmp_path / "out")
    assert len(written) == 7
    assert read_results([tmp_path / "out" / "t.csv"])[0].file == f"{name}.mp4"
    assert set(pd.read_csv(tmp_path / "out" / "t.boris.tsv", sep="\t")["Media file name"]) == {f"{name}.mp4"}


def test_the_command_lists_what_it_wrote(table, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["export", str(table), "--format", "webvtt,srt", "--out", str(tmp_path / "out"), "--json"])
    assert not end.value.code
    assert [Path(name).name for name in json.loads(capsys.readouterr().out)] == ["two.vtt", "two.srt"]


def test_the_command_names_an_unknown_format(table, capsys):
    with pytest.raises(SystemExit) as end:
        main(["export", str(table), "--format", "elann"])
    assert end.value.code == 2
    assert "--format 'elann': unknown (did you mean 'elan'?)" in capsys.readouterr().err


def test_a_result_that_fails_never_stops_the_others(table, tmp_path, capsys):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    words = ["export", tmp_path / "bad.csv", table, "--format", "annotated-video,srt", "--out", tmp_path / "out"]
    with pytest.raises(SystemExit) as end:
        main(list(map(str, words)))
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert "bad.csv: no column 'file'" in printed.err
    assert "the video is not found" in printed.err
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["two.srt"]
    assert printed.out.endswith("two.srt\n")
