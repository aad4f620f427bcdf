"""`emofuse fuse` as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

from emofuse.models.bundle import load
from support.fused_bundles import anger_and_happiness, use_square_detector, write_bundle


def test_a_bundle_is_written_and_its_worth_is_told(run, tmp_path, monkeypatch):
    use_square_detector(monkeypatch)
    both = write_bundle(tmp_path, {"face": 0.5, "voice": 0.5})
    people = anger_and_happiness(tmp_path / "people")
    code, out, err = run("fuse", both, "--data", people, "--split", "all", "--folds", 3, "--out", "fused")
    assert (code, err) == (0, "")
    assert "log-pool  cross-fitted" in out
    assert f"bundle fused {load('fused').version} written to fused; use it with: emofuse predict FILE" in out
    assert json.loads(Path("fused/evaluation.json").read_text())["systems"][-1]["calibration_error"] >= 0


def test_a_time_that_makes_no_sense_is_one_line(run):
    code, _, err = run("fuse", "default", "--data", "people.csv", "--out", "o", "--smooth", -1)
    assert (code, err) == (2, "emofuse: --smooth -1: give seconds from 0 to 60.\n")
