"""Table 1 and sweeps do not depend on the executor, nor on how often the run is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emofuse.core.parallel import Processes, Ray
from emofuse.experiments import sweep as sweeps
from emofuse.experiments.table1 import Table1Request, table1
from emofuse.experiments.trial import Trial

pytestmark = pytest.mark.slow

ROWS = ("vggface2", "vggface2-svm", "mcwf-best")
CHANGES = {f"{name}.fit.epochs": "2" for name in ("vggface2", "vggface2-svm", "cnn1d-lstm")} | {
    "cnn1d-lstm.fit.batch": "4"
}
TIMES = {"training.json", "history.csv"}  # these record durations


@pytest.fixture(scope="module")
def request_(corpus, tmp_path_factory) -> Table1Request:
    return Table1Request(Trial(corpus[0], tmp_path_factory.mktemp("here") / "out"), ROWS, CHANGES)


@pytest.fixture(scope="module")
def expected(request_) -> dict[str, bytes]:
    table1(request_)
    return files(request_.trial.out)


def files(folder: Path) -> dict[str, bytes]:
    """The files of a folder that must not depend on the executor."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and path.name not in TIMES and "checkpoint" not in name:
            content = path.read_bytes()
            found[name] = _untimed(content) if path.name in ("table1.json", "sweep.json") else content
    return found


def with_folder(request_: Any, out: Path) -> Any:
    """The same request for another folder."""
    return replace(request_, trial=replace(request_.trial, out=out))


def _untimed(content: bytes) -> bytes:
    result = json.loads(content)
    for values in (result, *(result["systems"].values() if "systems" in result else result["rows"])):
        values.pop("seconds")
    return json.dumps(result).encode()


def assert_equal(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def test_processes_write_equal_files(request_, expected, tmp_path):
    table1(with_folder(request_, tmp_path / "out"), executor=Processes(2))
    assert_equal(files(tmp_path / "out"), expected)


def test_a_run_killed_at_random_moments_resumes_to_equal_files(request_, expected, tmp_path):
    rng, out = random.Random(0), tmp_path / "out"
    words = ["table1", "--data", str(request_.trial.data), "--out", str(out), "--jobs", "2"]
    words += [word for row in ROWS for word in ("--rows", row)]
    words += [word for change in CHANGES.items() for word in ("--set", "=".join(change))]
    kills = 0
    while kills < 10:
        process = subprocess.Popen([sys.executable, "-m", "emofuse", *words], start_new_session=True)
        try:
            process.wait(rng.uniform(3, 6))
            break  # finished before it could be killed
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
    print(f"killed {kills} times")
    assert kills >= 3
    assert subprocess.run([sys.executable, "-m", "emofuse", *words], check=False).returncode == 0
    made = files(out)
    assert_equal({k: v for k, v in made.items() if k not in ("table1.md", "table1.html")}, expected)


def test_two_machines_of_a_ray_cluster_write_equal_files_although_a_worker_is_killed(request_, expected, tmp_path):
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs ray: pip install 'emofuse[ray]'")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    killed = threading.Event()
    try:
        cluster.add_node(num_cpus=1)
        threading.Thread(target=_kill_one, args=(killed,), daemon=True).start()
        executor = Ray(cluster.address)
        table1(with_folder(request_, tmp_path / "out"), executor=executor)
    finally:
        cluster.shutdown()
    assert killed.is_set()
    assert_equal(files(tmp_path / "out"), expected)


def test_a_sweep_on_ray_writes_equal_files(corpus, tmp_path):
    pytest.importorskip("ray", reason="needs ray: pip install 'emofuse[ray]'")
    changes = {"fit.epochs": "2", "fit.batch": "4"}
    request_ = sweeps.SweepRequest("cnn1d-lstm", {"window": ("1", "2")}, Trial(corpus[0], tmp_path / "here"), changes)
    sweeps.sweep(request_)
    sweeps.sweep(with_folder(request_, tmp_path / "ray"), executor=Ray())
    assert_equal(files(tmp_path / "ray"), files(tmp_path / "here"))


def _kill_one(killed: threading.Event) -> None:
    """Kill the first process of a cluster that has trained for a few seconds."""
    while not killed.is_set():
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                title = path.read_bytes().replace(b"\0", b" ")
            except OSError:
                continue
            if title.startswith(b"ray::") and b"train" in title:
                time.sleep(4)
                os.kill(int(path.parent.name), signal.SIGKILL)
                killed.set()
                return
        time.sleep(0.2)
