"""Sweeps: their variants, results and reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from emofuse.errors import OutputError, SettingsError
from emofuse.experiments.runner import Monitor
from emofuse.experiments.sweep import SweepRequest, sweep, variants
from emofuse.experiments.table1 import Table1Request, table1
from emofuse.experiments.trial import Trial
from emofuse.report.sweep import markdown

QUICK = {"fit.epochs": "1", "fit.batch": "4"}


def request_for(system: str, over: dict[str, str], **more) -> SweepRequest:
    return SweepRequest(
        system, {k: tuple(v.split(",")) for k, v in over.items()}, Trial(Path("aw"), Path("out"), **more)
    )


def test_variants_are_all_combinations_of_the_values():
    found = variants(request_for("vggface2-svm", {"kernel": "poly,rbf", "C": "1,3"}))
    assert list(found) == ["kernel=poly, C=1", "kernel=poly, C=3", "kernel=rbf, C=1", "kernel=rbf, C=3"]
    assert [d.head.C for d in found.values()] == [1, 3, 1, 3]


@pytest.mark.parametrize(("system", "steps"), [("cnn1d-lstm", [0.8, 1.6, 4.8]), ("vggface2-svm", [1.0, 2.0, 6.0])])
def test_windows_of_other_lengths_keep_their_overlap(system, steps):
    found = variants(request_for(system, {"window": "2,4,12"}, scale="paper")).values()
    windows = [d.windows for d in found]
    assert [p.seconds for p in windows] == [2, 4, 12]
    assert [p.step_seconds for p in windows] == pytest.approx(steps)


def test_one_segment_per_window_and_many_are_variants_of_one_system():
    found = variants(request_for("cnn1d-lstm", {"segments": "1,20"}))
    assert [d.windows.segments for d in found.values()] == [1, 20]


@pytest.mark.parametrize(
    ("system", "over", "line"),
    [
        ("cnn1d-lstm", {}, "nothing to vary; give --over NAME=VALUE,VALUE"),
        ("cnn1d-lstm", {"windw": "2"}, "cnn1d-lstm has no such setting .did you mean 'window'"),
        ("cnn1d-lstm", {"kernel": "rbf"}, "--over kernel: cnn1d-lstm has no such setting"),
        ("vggface2", {"C": "1"}, "--over C: vggface2 has no such setting"),
        ("cnn1d-lstm", {"window": "2,2"}, "--over window=2,2: give different values"),
        ("cnn1d-lstm", {"window": "long"}, "--over window=long: give seconds"),
        ("cnn1d-lst", {"window": "2"}, "did you mean 'cnn1d-lstm'"),
        ("cnn1d-lstm", {"seed": ",".join(map(str, range(65)))}, "65 variants are more than 64"),
    ],
)
def test_an_invalid_sweep_is_refused(system, over, line):
    with pytest.raises(SettingsError, match=line):
        variants(request_for(system, over))


@pytest.fixture(scope="module")
def request_(corpus, tmp_path_factory) -> SweepRequest:
    changes = QUICK | {"net.rate_hz": "1"}
    over = {"kernel": ("poly", "linear"), "C": ("1", "3")}
    out = tmp_path_factory.mktemp("sweep") / "out"
    return SweepRequest("vggface2-svm", over, Trial(corpus[0], out), changes)


@pytest.fixture(scope="module")
def swept(request_) -> tuple[dict, list[str]]:
    lines: list[str] = []
    return sweep(request_, Monitor(report=lines.append)), lines


def test_variants_of_a_head_share_one_training_of_the_network(swept):
    result, lines = swept
    assert [line for line in lines if "epoch" in line] == [
        line for line in lines if line.startswith("kernel=poly, C=1: e")
    ]
    assert [row["name"] for row in result["rows"]] == list(
        variants(request_for("vggface2-svm", result["over"] and {"kernel": "poly,linear", "C": "1,3"}))
    )


def test_every_other_variant_is_compared_with_the_first(swept):
    rows = swept[0]["rows"]
    assert rows[0]["gain"] is None
    for row in rows[1:]:
        difference = row["metrics"]["cpm"][0] - rows[0]["metrics"]["cpm"][0]
        assert row["gain"]["cpm"][0] == pytest.approx(difference)
        assert row["gain"]["over"] == "kernel=poly, C=1"


def test_a_second_run_trains_nothing_and_returns_the_same(swept, request_):
    lines: list[str] = []
    again = sweep(request_, Monitor(report=lines.append))
    assert lines == []
    assert again["rows"] == swept[0]["rows"]
    assert json.loads((request_.trial.out / "sweep.json").read_text())["rows"] == again["rows"]


def test_more_values_train_only_the_new_variants(swept, request_):
    lines: list[str] = []
    more = replace(request_, over=request_.over | {"C": ("1", "3", "10")})
    sweep(more, Monitor(report=lines.append))
    trained = [line for line in lines if line.endswith(": training")]
    assert trained == ["kernel=poly, C=10: training", "kernel=linear, C=10: training"]


def test_the_report_has_every_variant_and_warns_of_selecting_the_best(swept):
    text = markdown(swept[0])
    for row in swept[0]["rows"]:
        assert f"| {row['name']} |" in text
    assert "The best of 4 variants is selected on the split that it is scored on" in text


def test_a_folder_of_a_sweep_is_refused_by_table_1(swept, request_):
    with pytest.raises(OutputError, match="holds a sweep, not a table 1"):
        table1(Table1Request(request_.trial, ("vggface2",)))
