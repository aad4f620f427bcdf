"""A small Table 1 on the synthetic corpus: every network is trained once, and a second run does nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from emofuse.datasets import open_data
from emofuse.errors import DataError, OutputError
from emofuse.experiments.table1 import Monitor, Table1Request, table1
from emofuse.experiments.trial import Trial

QUICK = {f"{name}.fit.epochs": "1" for name in ("vggface2", "vggface2-svm", "cnn1d-lstm")} | {
    "cnn1d-lstm.fit.batch": "4"
}
ROWS = ("vggface2", "vggface2-svm", "mcwf-best")


@pytest.fixture(scope="module")
def request_(corpus, tmp_path_factory) -> Table1Request:
    return Table1Request(Trial(corpus[0], tmp_path_factory.mktemp("table1") / "out"), ROWS, QUICK)


@pytest.fixture(scope="module")
def result(request_):
    return table1(request_)


def test_every_row_has_metrics_and_a_submission(result, request_):
    assert [row["name"] for row in result["rows"]] == list(ROWS)
    for row in result["rows"]:
        assert 0 <= row["in_sample"]["cpm"][0] <= 1
        files = list((request_.trial.out / row["submission"]).iterdir())
        assert len(files) == len(open_data(request_.trial.data).split("test"))
    assert json.loads((request_.trial.out / "table1.json").read_text()) == result


def test_quoted_values_are_separate_from_measured_ones(result):
    assert result["rows"][0]["quoted"] == {"validation": 50.23, "test": 40.6}


def test_two_systems_share_one_network(result):
    assert result["systems"]["vggface2"]["history"] != []
    assert result["systems"]["vggface2-svm"]["history"] == []  # it reuses the network


def test_a_second_run_trains_nothing_and_returns_the_same(result, request_):
    lines: list[str] = []
    again = table1(request_, Monitor(report=lines.append))
    assert lines == []
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in result.items() if k != "seconds"}


def test_a_lost_training_is_repeated_alone(result, request_, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(request_.trial.out, copy)
    (copy / result["systems"]["cnn1d-lstm"]["bundle"] / "bundle.json").unlink()
    shutil.rmtree(copy / "scores")
    lines: list[str] = []
    again = table1(Table1Request(replace(request_.trial, out=copy), ROWS, QUICK), Monitor(report=lines.append))
    assert [line for line in lines if line.endswith(": training")] == ["cnn1d-lstm: training"]
    assert again["rows"] == result["rows"]


def test_a_folder_of_other_data_is_refused(result, request_, tmp_path):
    content = json.loads((request_.trial.out / "format.json").read_text())
    (tmp_path / "format.json").write_text(json.dumps(content | {"contents": "other"}))
    with pytest.raises(OutputError, match="whose clips or labels differ"):
        table1(Table1Request(replace(request_.trial, out=tmp_path), ROWS, QUICK))


def test_a_folder_of_another_version_is_refused(result, request_, tmp_path):
    (tmp_path / "format.json").write_text('{"format": 0}')
    with pytest.raises(OutputError, match="format 0, this emofuse writes 3"):
        table1(Table1Request(replace(request_.trial, out=tmp_path), ROWS, QUICK))


def test_a_folder_of_other_files_is_refused_and_kept(request_, tmp_path):
    (tmp_path / "table1.md").write_text("my notes")
    with pytest.raises(
        OutputError, match=r"holds table1\.md and is not the folder of a run; give a new one with --out"
    ):
        table1(Table1Request(replace(request_.trial, out=tmp_path), ROWS, QUICK))
    assert [path.name for path in tmp_path.iterdir()] == ["table1.md"]


@pytest.mark.parametrize("part", ["train", "validation"])
def test_data_without_a_split_is_refused(part, tmp_path):
    other = {"train": "validation", "validation": "train"}[part]
    (tmp_path / "clips.csv").write_text(f"path,label,split\na.mp4,anger,{other}\n")
    with pytest.raises(DataError, match=f"no split '{part}'|{part}"):
        table1(Table1Request(Trial(tmp_path / "clips.csv", tmp_path / "out")))
