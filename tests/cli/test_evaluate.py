"""`emofuse data check`, `evaluate` and `submit` on the synthetic corpus, and their errors."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from emofuse.core.types import Scores
from emofuse.datasets import open_data
from emofuse.evaluation.score_tables import write_scores

HEADER = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"


@pytest.fixture(scope="module")
def scores(corpus, tmp_path_factory) -> Path:
    """Score tables of two systems better than chance; at chance on the test split."""
    data, folder = open_data(corpus[0]), tmp_path_factory.mktemp("scores")
    for seed, system in enumerate(("face", "voice")):
        rng, clips = np.random.default_rng(seed), {}
        for clip in data.clips:
            frames = data.timeline(clip)
            values = rng.exponential(1, (len(frames), 7))
            if clip.split != "test":
                truth = data.annotation(clip).labels
                values[np.arange(len(truth)), truth] += 2 * (truth >= 0)
            clips[clip.id] = Scores(values, frames, data.label_set, rng.random(len(frames)) < 0.9, system)
        write_scores(folder / f"{system}.parquet", clips)
    return folder


def test_check_lists_all_planted_problems_and_no_others(run, corpus):
    folder, record = corpus
    code, out, _ = run("data", "check", folder, "--json")
    found = {(p["code"], p["item"]) for p in json.loads(out)["problems"]}
    assert code == 0
    assert found == {(p["code"], p["item"]) for p in record["problems"]}


def test_check_prints_statistics_and_the_meaning_of_problems(run, corpus):
    code, out, _ = run("data", "check", corpus[0])
    assert code == 0
    assert "Distribution of classes among the labels" in out
    assert "the last label is dropped" in out


def test_a_path_may_begin_with_the_home_folder_also_after_an_equals_sign(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.csv").write_text("path,label\n")
    for words in (("data", "check", "~/mine.csv"), ("evaluate", "x", "--data=~/mine.csv", "--split=all")):
        _, out, err = run(*words)
        assert f"{tmp_path}/mine.csv" in out or "x: no such file or folder" in err


def test_check_lists_every_error_and_fails(run, corpus, tmp_path):
    folder = tmp_path / "aw"
    shutil.copytree(corpus[0], folder, ignore=shutil.ignore_patterns("cropped_aligned"))
    files = sorted((folder / "annotations/EXPR_Set/Training_Set").iterdir())
    first, second, third = [f for f in files if not f.stem.endswith(("_left", "_right"))][:3]
    first.write_text(first.read_text().replace(HEADER, "Calm,Anger,Disgust,Fear,Happiness,Sadness,Surprise"))
    second.write_text(second.read_text().replace("\n0\n", "\nzero\n", 1))
    next((folder / "videos").rglob(f"{third.stem}.mp4")).unlink()
    code, out, _ = run("data", "check", folder)
    assert code == 2
    out = " ".join(out.split())  # long lines are wrapped
    for part in (
        f"{first.name}:1: the first line names an unknown class 'calm'",
        f"{second.name}:",
        "'zero' is not a whole",
        f"{third.stem} (missing-video)",
    ):
        assert part in out


def test_evaluate_prints_every_system_and_fusion_with_intervals(run, corpus, scores):
    code, out, _ = run(
        "evaluate", scores / "face.parquet", scores / "voice.parquet", "--data", corpus[0], "--fuse", "swf,mcwf"
    )
    assert code == 0
    for row in ("face", "voice", "swf +in-sample", "swf +cross-fitted", "mcwf +cross-fitted"):
        assert re.search(rf"^{row} +\d\d\.\d\d \[", out, re.MULTILINE), out
    assert "quote these" in out


def test_a_fused_submission_is_valid_and_scores_as_in_the_evaluation(run, corpus, scores, tmp_path):
    sources = (scores / "face.parquet", scores / "voice.parquet")
    code, out, _ = run("evaluate", *sources, "--data", corpus[0], "--fuse", "mcwf", "--out", tmp_path / "out", "--json")
    assert code == 0
    fused = next(s for s in json.loads(out)["systems"] if s["weights"] == "in-sample")
    fusion = ("--fusion", tmp_path / "out" / "mcwf.safetensors", "--data", corpus[0], "--edition", "2020")
    code, out, _ = run("submit", *sources, *fusion, "--out", tmp_path / "test")
    assert (code, "valid for the 2020 edition" in out) == (0, True)
    assert run("submit", "--check", tmp_path / "test", "--data", corpus[0], "--edition", "2020")[0] == 0
    assert run("submit", *sources, *fusion, "--split", "validation", "--out", tmp_path / "validation")[0] == 0
    again = json.loads(run("evaluate", tmp_path / "validation", "--data", corpus[0], "--json")[1])
    assert again["systems"][0]["cpm"] == fused["cpm"]


def test_check_of_an_invalid_submission_lists_its_faults_and_fails(run, corpus, scores, tmp_path):
    words = ("--data", corpus[0], "--edition", "2020")
    run("submit", scores / "face.parquet", *words, "--out", tmp_path / "s")
    next((tmp_path / "s").iterdir()).write_text("nothing\n")
    code, out, _ = run("submit", "--check", tmp_path / "s", *words)
    assert code == 2
    assert ".txt:1: the header is 'nothing'" in out
    assert "invalid for the 2020 edition" in out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("evaluate", "nothing.parquet", "--data", "DATA"), ("no such file or folder",)),
        (("evaluate", "FACE", "--data", "nowhere"), ("nowhere: there is no such file or folder",)),
        (("evaluate", "FACE", "--data", "DATA", "--split", "valdation"), ("did you mean 'validation'",)),
        (("evaluate", "FACE", "--data", "DATA", "--fuse", "swf"), ("a single system cannot be fused",)),
        (("evaluate", "FACE", "a=FACE", "--data", "DATA", "--fuse", "sfw"), ("did you mean 'swf'",)),
        (("evaluate", "FACE", "--data", "DATA", "--split", "test"), ("",)),
        (("submit", "FACE", "--data", "DATA", "--edition", "2021"), ("--edition '2021': unknown",)),
        (("submit", "--data", "DATA", "--edition", "2020"), ("give scores and --out",)),
        (("submit", "FACE", "b=FACE", "--data", "DATA", "--edition", "2020", "--out", "s"), ("2 systems; give one",)),
        (
            ("submit", "FACE", "--data", "DATA", "--edition", "2024", "--out", "s", "--sample", "x"),
            ("x: cannot be read",),
        ),
        (("data", "check", "nowhere"), ("nowhere: there is no such file or folder",)),
        (("data", "make", "aw", "--videos", "2"), ("give at least 3",)),
        (("data", "make", "DATA"), ("holds a corpus with",)),
        (
            ("submit", "--check", "nope", "--data", "DATA", "--edition", "2020"),
            ("nope: there is no such file or folder",),
        ),
        (
            ("submit", "--check", "nope", "--data", "DATA", "--edition", "2024"),
            ("nope: there is no such file or folder",),
        ),
        (("evaluate", "FACE", "--data", "DATA", "--seed", "-1"), ("Invalid value for '--seed'",)),
        (("evaluate", "FACE", "--data", "DATA", "--seed", str(10**20)), ("Invalid value for '--seed'",)),
        (("data", "make", "aw", "--seed", "-1"), ("Invalid value for '--seed'",)),
        (("data", "sample", "a.mp4", "--seed", "-1"), ("Invalid value for '--seed'",)),
        (("fuse", "default", "--data", "DATA", "--out", "o", "--seed", "-1"), ("Invalid value for '--seed'",)),
        (("table1", "--data", "DATA", "--out", "o", "--seed", "-1"), ("Invalid value for '--seed'",)),
        (
            ("sweep", "mobile", "--over", "C=1", "--data", "DATA", "--out", "o", "--seed", "-1"),
            ("Invalid value for '--seed'",),
        ),
    ],
)
def test_an_invalid_request_is_reported_in_one_line_and_writes_nothing(run, corpus, scores, words, parts):
    paths = {"DATA": str(corpus[0]), "FACE": str(scores / "face.parquet")}
    code, _, err = run(*(paths.get(w, w.replace("FACE", paths["FACE"])) for w in words))
    assert code == 2
    assert len(err.strip().splitlines()) == 1, err
    for part in parts:
        assert part in err
    assert not list(Path().iterdir())
