from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emofuse.errors import OutputError, SettingsError  # noqa: E402
from emofuse.training.loop.distributed import ProcessGroup, process_group  # noqa: E402
from support.training_process import work  # noqa: E402 (torch may be missing)

ROOT = Path(__file__).parents[3]


def two(out: Path, *more: str) -> list[subprocess.Popen[str]]:
    """Two processes of one training, as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        path = os.pathsep.join([str(ROOT / "tests"), *sys.path])
        place = {
            "PYTHONPATH": path,
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free.getsockname()[1]),
        }
    out.mkdir(exist_ok=True)
    return [
        subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "support" / "training_process.py"), str(out), *more],
            env=os.environ | place | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, dict]:
    """Results of one process, and of each of two."""
    out = tmp_path_factory.mktemp("distributed")
    running = two(out / "two")
    work(out)
    texts = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], "\n".join(texts)
    found = {p.stem: json.loads(p.read_text()) for p in out.rglob("*.json")}
    return found | {"files": sorted(f.name for f in (out / "two").iterdir())}


@pytest.mark.parametrize("curve", ["train", "validation"])
def test_two_processes_have_the_loss_curve_of_one_with_a_batch_twice_as_large(results, curve):
    np.testing.assert_allclose(results["2-0"][curve], results["1-0"][curve], rtol=1e-5)
    assert len(set(results["1-0"][curve])) == 3


def test_all_processes_end_with_the_same_weights(results):
    assert results["2-0"]["weights"] == results["2-1"]["weights"]


def test_only_the_first_process_reports(results):
    assert (results["2-0"]["reported"], results["2-1"]["reported"]) == ([0, 1, 2], [])


def test_only_the_first_process_writes(results):  # the second could not write a byte
    assert results["files"] == ["2-0.json", "2-1.json", "checkpoint.safetensors", "history.csv"]


@pytest.mark.slow
def test_a_full_disk_in_the_first_process_ends_all_with_one_line_each(tmp_path):
    first, second = two(tmp_path / "two", "1000")
    texts = [process.communicate(timeout=120)[0].strip().splitlines() for process in (first, second)]
    assert (first.returncode, second.returncode) == (2, 2)
    assert texts[0][-1].startswith("OutputError: ")
    assert texts[1][-1] == "SettingsError: fit: another process of this training failed; see its message."


@pytest.mark.slow
def test_two_processes_resume_exactly_from_their_checkpoint(tmp_path):
    for out, limits in ((tmp_path / "parts", ["1000"]), (tmp_path / "parts", []), (tmp_path / "whole", [])):
        for process in two(out, *limits):
            process.communicate(timeout=120)
    parts, whole = (json.loads((tmp_path / name / "2-1.json").read_text()) for name in ("parts", "whole"))
    assert parts == whole
    assert json.loads((tmp_path / "parts" / "2-0.json").read_text())["reported"] == [1, 2]


# Alone


def test_without_torchrun_a_group_has_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group(torch.device("cpu")) as members:
        assert (members.rank, members.size, members.first) == (0, 1, True)


@pytest.mark.parametrize(("rank", "message"), [(None, "RANK is None"), ("first", "RANK is 'first'")])
def test_incomplete_variables_of_torchrun_are_refused(monkeypatch, rank, message):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    with pytest.raises(SettingsError, match=f"WORLD_SIZE is set, but {message}"), process_group(torch.device("cpu")):
        pass


def test_a_group_that_cannot_be_joined_is_refused(monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with (
        pytest.raises(SettingsError, match=r"process 0 of 2 cannot join .*; start it with torchrun"),
        process_group(torch.device("cpu")),
    ):
        pass


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 2, 10])
def test_the_rows_of_all_processes_are_every_row_once(size, n):
    rows = [row for rank in range(size) for row in range(n)[ProcessGroup(rank, size).rows(n)]]
    assert rows == list(range(n))


def test_an_error_of_a_single_process_is_raised_unchanged():
    with pytest.raises(OutputError, match="full"), ProcessGroup().fail_together():
        raise OutputError("full")
