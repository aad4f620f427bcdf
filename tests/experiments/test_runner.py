"""`make table1`: on synthetic subjects small networks are above chance, and fusing faces and voices is better."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

MAKEFILE = Path(__file__).parents[2] / "Makefile"


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> dict[str, Any]:
    """The result of the commands in the Makefile."""
    folder = tmp_path_factory.mktemp("table1")
    lines = re.search(r"^table1:.*\n((?:\t.*\n)+)", MAKEFILE.read_text("utf-8"), re.MULTILINE)
    assert lines is not None
    for line in lines[1].splitlines():
        command, *words = shlex.split(line.replace("runs/table1", str(folder)))
        assert command == "$(DEV)/bin/emofuse"
        subprocess.run([sys.executable, "-m", "emofuse", *words], check=True)
    found: dict[str, Any] = json.loads((folder / "out" / "table1.json").read_text("utf-8"))
    return found


def test_every_system_alone_is_above_chance_with_its_whole_interval(result):
    alone = {row["name"]: row["in_sample"]["cpm"] for row in result["rows"] if not row["method"]}
    assert list(alone) == ["vggface2", "vggface2-svm", "vggfer-kelm", "cnn1d-lstm", "pann"]
    assert min(low for _, low, _ in alone.values()) > result["chance"]["cpm"][0]


def test_the_best_fusion_is_better_than_its_best_system_on_held_out_videos(result):
    best = max((row for row in result["rows"] if row["method"]), key=lambda row: row["cross_fitted"]["cpm"][0])
    assert best["gain"]["cpm"][0] > 0
