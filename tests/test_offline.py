"""Nothing is sent, and nothing is written outside the output folder and emofuse's cache."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from emofuse.synthetic.sample import make_sample

# Runs a command in which sockets are recorded and not opened; prints them, and the setting of ONNX Runtime's telemetry
# at the moment of its import, which audit hooks cannot observe because its sockets are not Python's.
_GUARDED = """
import json, os, sys
sockets, telemetry = [], []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        sockets.append(f"{event} {arguments[1:] if event == 'socket.connect' else arguments}")
        raise OSError("no network in this test")
    if event == "import" and arguments[0] == "onnxruntime":
        telemetry.append(os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.addaudithook(hook)
from emofuse.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(json.dumps([end.code, sockets, telemetry]))
"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("offline") / "sample.mp4"
    make_sample(path, seconds=6, size=(320, 180))
    return path


def environment(home: Path) -> dict[str, str]:
    """Variables of a user with an empty home, who has not switched anything off."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_", "MPL"))}
    return kept | {"HOME": str(home)}


def files_outside_the_cache(home: Path) -> list[str]:
    inside = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
    return [path for path in inside if not path.startswith(".cache/emofuse/")]


def test_predict_with_a_plot_opens_no_socket_and_writes_only_results_and_the_cache(tmp_path, sample):
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    words = ["predict", str(sample), "--out", str(out), "--plot"]
    done = subprocess.run(
        [sys.executable, "-c", _GUARDED, *words], capture_output=True, text=True, env=environment(home), check=False
    )
    code, sockets, telemetry = json.loads(done.stdout.splitlines()[-1])
    assert (code or 0, sockets, telemetry) == (0, [], ["1"]), done.stderr
    assert (out / "sample.png").is_file()
    assert files_outside_the_cache(home) == []


def test_no_program_imports_onnx_runtime_before_emofuse():
    for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py"):
        assert not re.search(r"^(import|from) onnxruntime", path.read_text("utf-8"), re.MULTILINE), path


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_internet_socket_is_opened_by_any_library_or_process(tmp_path, sample):
    """Telemetry is sent after 5 s, so the command is kept alive for 10."""
    home, log = tmp_path / "home", tmp_path / "strace.txt"
    home.mkdir()
    copies = [str(shutil.copy(sample, tmp_path / f"{name}.mp4")) for name in "ab"]
    words = ["predict", *copies, "--out", str(tmp_path / "out"), "--jobs", "2"]
    code = f"""
import time
from emofuse.cli.main import main
if __name__ == "__main__":
    try:
        main({words!r})
    finally:
        time.sleep(10)
"""
    (tmp_path / "script.py").write_text(code)
    command = ["strace", "-f", "-e", "trace=socket", "-o", str(log), sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(home), check=False)
    assert done.returncode == 0, done.stderr
    assert "AF_INET" not in log.read_text()
    assert files_outside_the_cache(home) == []
