"""`emofuse bundles` and `emofuse fuse`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from emofuse.models.bundle import load
from support.fused_bundles import anger_and_happiness, use_square_detector, write_bundle


def test_bundles_lists_the_default_bundle_with_its_metrics(run):
    code, out, _ = run("bundles")
    assert code == 0
    assert "default" in out
    assert "cross-fitted: accuracy 0." in out
    assert json.loads(run("bundles", "--json")[1])["default"]["labels"][0] == "neutral"


def test_bundles_lists_given_folders_after_the_default_bundle(run, tmp_path):
    both = write_bundle(tmp_path / "both", {"face": 0.5, "voice": 0.5})
    assert list(json.loads(run("bundles", both, "--json")[1])) == ["default", load(both).name]


def test_fuse_writes_a_bundle_and_reports_held_out_metrics(run, tmp_path, monkeypatch):
    use_square_detector(monkeypatch)
    both = write_bundle(tmp_path, {"face": 0.5, "voice": 0.5})
    clips = anger_and_happiness(tmp_path / "clips")
    code, out, err = run("fuse", both, "--data", clips, "--split", "all", "--folds", 3, "--out", "fused")
    assert (code, err) == (0, "")
    assert re.search(r"^log-pool +cross-fitted ", out, re.MULTILINE)
    assert f"bundle fused {load('fused').version} written to fused; use it with: emofuse predict FILE" in out
    assert json.loads(Path("fused/evaluation.json").read_text())["systems"][-1]["calibration_error"] >= 0


def test_a_negative_smoothing_time_is_refused(run):
    code, _, err = run("fuse", "default", "--data", "clips.csv", "--out", "o", "--smooth", -1)
    assert (code, err) == (2, "emofuse: --smooth -1: give seconds from 0 to 60.\n")
