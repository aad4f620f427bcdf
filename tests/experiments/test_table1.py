"""Table 1 on the made corpus, small: what is trained is trained once, and a second run does nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from emofuse.datasets import open_data
from emofuse.errors import DataError, OutputError
from emofuse.experiments.plan import Request
from emofuse.experiments.table1 import Watch, table1
from emofuse.experiments.trial import Trial

QUICK = {f"{name}.fit.epochs": "1" for name in ("vggface2", "vggface2-svm", "cnn1d-lstm")} | {
    "cnn1d-lstm.fit.batch": "4"
}
ROWS = ("vggface2", "vggface2-svm", "mcwf-best")


@pytest.fixture(scope="module")
def request_(corpus, tmp_path_factory) -> Request:
    return Request(Trial(corpus[0], tmp_path_factory.mktemp("table1") / "out", detector="haar"), ROWS, QUICK)


@pytest.fixture(scope="module")
def result(request_):
    return table1(request_)


def test_every_row_has_figures_and_a_submission(result, request_):
    assert [row["name"] for row in result["rows"]] == list(ROWS)
    for row in result["rows"]:
        assert 0 <= row["in_sample"]["cpm"][0] <= 1
        files = list((request_.trial.out / row["submission"]).iterdir())
        assert len(files) == len(open_data(request_.trial.data).split("test"))
    assert json.loads((request_.trial.out / "table1.json").read_text()) == result


def test_quoted_figures_stand_apart_from_measured_ones(result):
    assert result["rows"][0]["quoted"] == {"validation": 50.23, "test": 40.6}


def test_one_net_serves_two_systems(result):
    assert result["systems"]["vggface2"]["history"] != []
    assert result["systems"]["vggface2-svm"]["history"] == []  # it took the net over


def test_a_second_run_trains_nothing_and_says_the_same(result, request_):
    said: list[str] = []
    again = table1(request_, Watch(say=said.append))
    assert said == []
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in result.items() if k != "seconds"}


def test_a_run_that_lost_a_training_makes_that_one_again(result, request_, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(request_.trial.out, copy)
    (copy / result["systems"]["cnn1d-lstm"]["bundle"] / "bundle.json").unlink()
    shutil.rmtree(copy / "scores")
    said: list[str] = []
    again = table1(Request(replace(request_.trial, out=copy), ROWS, QUICK), Watch(say=said.append))
    assert [line for line in said if line.endswith(": training")] == ["cnn1d-lstm: training"]
    assert again["rows"] == result["rows"]


def test_a_folder_of_other_data_is_left_alone(result, request_, tmp_path):
    content = json.loads((request_.trial.out / "format.json").read_text())
    (tmp_path / "format.json").write_text(json.dumps(content | {"contents": "other"}))
    with pytest.raises(OutputError, match="whose clips or labels are others"):
        table1(Request(replace(request_.trial, out=tmp_path), ROWS, QUICK))


def test_a_folder_of_another_version_is_left_alone(result, request_, tmp_path):
    (tmp_path / "format.json").write_text('{"format": 0}')
    with pytest.raises(OutputError, match="format 0, this emofuse writes 3"):
        table1(Request(replace(request_.trial, out=tmp_path), ROWS, QUICK))


@pytest.mark.parametrize("part", ["train", "validation"])
def test_data_without_a_part_is_one_line(part, tmp_path):
    other = {"train": "validation", "validation": "train"}[part]
    (tmp_path / "clips.csv").write_text(f"path,label,split\na.mp4,anger,{other}\n")
    with pytest.raises(DataError, match=f"no split '{part}'|{part}"):
        table1(Request(Trial(tmp_path / "clips.csv", tmp_path / "out")))
