"""`emofuse live` on files, standard input and streams."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pandas as pd
import pytest
from rich.console import Console

from emofuse.cli import live as command
from emofuse.cli.live_display import drawn
from emofuse.core.time import ticks
from emofuse.inference import lsl
from emofuse.inference.live import LiveFace
from emofuse.inference.live_run import LiveState
from emofuse.inference.predictor import Options, Predictor

SRC = Path(command.__file__).parents[2]


@pytest.fixture(scope="module")
def whole(talk) -> pd.DataFrame:
    return Predictor(Options()).predict(talk).table()


def assert_same(rows: pd.DataFrame, whole: pd.DataFrame) -> None:
    assert rows.columns.tolist() == whole.columns.tolist()
    assert rows.emotion.fillna("").tolist() == whole.emotion.fillna("").tolist()
    numbers = whole.select_dtypes("number").columns
    difference = (rows[numbers].astype(float) - whole[numbers].astype(float)).abs()
    assert difference.max(axis=None) < 2e-4


def test_a_file_that_is_read_fast_has_the_rows_of_predict(run, talk, whole, tmp_path):
    code, printed, errors = run("live", "--source", talk, "--fast", "--out", "live.csv")
    assert (code, errors) == (0, "")
    assert printed.startswith("6.0 s, 30 frames processed, 0 dropped, 30 rows, latency ")
    assert printed.endswith("wrote live.csv\n")
    assert_same(pd.read_csv(tmp_path / "live.csv"), whole)


def test_with_json_each_row_is_a_line_and_all_else_goes_to_standard_error(run, talk, whole):
    code, printed, errors = run("live", "--source", talk, "--fast", "--json", "--out", "live.csv")
    rows = pd.DataFrame([json.loads(line) for line in printed.splitlines()])
    assert code == 0
    assert_same(rows, whole)
    assert errors.startswith("6.0 s, 30 frames processed, 0 dropped, 30 rows, latency ")
    assert errors.endswith("wrote live.csv\n")


def test_faces_of_each_frame_go_to_the_outlet_with_their_age(run, talk, monkeypatch):
    sent = []

    class Outlet:
        def __init__(self, name: str, labels: tuple[str, ...]) -> None:
            sent.append((name, len(labels)))

        def push(self, faces: list[LiveFace], age: float) -> None:
            sent.append((faces[0].status, age))

    monkeypatch.setattr(lsl, "LslOutlet", Outlet)
    code, _, _ = run("live", "--source", talk, "--fast", "--lsl", "emotions")
    assert code == 0
    assert sent[0] == ("emotions", 7)
    assert sent[-1][0] == "ok"
    assert len(sent) > 20


def test_a_session_of_some_seconds_ends_there(run, talk, tmp_path):
    code, _, _ = run("live", "--source", talk, "--fast", "--seconds", 2, "--out", "two.parquet")
    rows = pd.read_parquet(tmp_path / "two.parquet")
    assert code == 0
    assert rows.end.max() == 2
    assert len(rows) == 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--source", "no.mp4"), "--source no.mp4: there is no such file"),
        (("--source", "/dev/video77", "--audio", "none"), "/dev/video77: cannot be opened"),
        (("--source", "none", "--audio", "none"), "--source none: needs a microphone; add --audio default."),
        (("--source", "rtsp://a:secret@127.0.0.1:1/x"), "rtsp://127.0.0.1:1/x: cannot be opened"),
    ],
)
def test_a_source_that_cannot_be_opened_is_one_line(run, tmp_path, words, message):
    code, printed, errors = run("live", *words, "--out", "x.csv")
    assert (code, printed) == (2, "")
    assert message in errors
    assert "secret" not in errors
    assert not list(tmp_path.iterdir())


def test_a_table_that_is_there_is_refused_before_the_source_is_opened(run, tmp_path):
    (tmp_path / "x.csv").write_text("rows")
    code, printed, errors = run("live", "--source", "/dev/video77", "--audio", "none", "--out", "x.csv")
    assert (code, printed) == (2, "")
    assert errors == (
        "emofuse: x.csv: is there already, and is not replaced; move it, or choose another name with --out.\n"
    )


def write_matroska(video: Path, path: Path) -> Path:
    """The same video in a container that can be read from a pipe."""
    with av.open(str(video)) as source, av.open(str(path), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return path


def _live(*words: object, cwd: Path, **options: Any) -> subprocess.Popen[Any]:
    environment = os.environ | {"PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1"}
    words = (sys.executable, "-m", "emofuse", "live", *map(str, words))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, cwd=cwd, env=environment, **(pipes | options))


def _until(condition: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    while not condition() and process.poll() is None:
        time.sleep(0.02)


def test_standard_input_is_a_source(talk, tmp_path):
    stream = write_matroska(talk, tmp_path / "talk.mkv")
    with stream.open("rb") as file:
        process = _live("--source", "-", "--fast", "--json", cwd=tmp_path, stdin=file)
        printed, _ = process.communicate(timeout=60)
    rows = pd.DataFrame([json.loads(line) for line in printed.splitlines()])
    assert process.returncode == 0
    assert set(rows.file) == {"standard input"}
    assert_same(rows, Predictor(Options()).predict(stream).table())


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupt_ends_the_session_with_complete_files(talk, tmp_path, number):
    stream = write_matroska(talk, tmp_path / "talk.mkv")
    process = _live("--source", "-", "--fast", "--out", "live.parquet", cwd=tmp_path, stdin=subprocess.PIPE, text=False)
    process.stdin.write(stream.read_bytes())  # and it stays open: the session goes on
    growing = tmp_path / "live.parquet.unfinished.csv"
    _until(lambda: growing.exists() and growing.read_text().count("\n") > 3, process)
    process.send_signal(number)
    assert process.wait(timeout=60) == 0
    printed, errors = process.communicate()
    assert errors == b""
    assert printed.decode().splitlines()[1] == "wrote live.parquet"
    rows = pd.read_parquet(tmp_path / "live.parquet")
    assert len(rows) == int(printed.decode().split(" rows")[0].rsplit(" ", 1)[1])
    assert not growing.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["live.csv", "live.jsonl"])
def test_a_killed_run_leaves_whole_rows(talk, tmp_path, name):
    process = _live("--source", talk, "--out", name, cwd=tmp_path)
    path = tmp_path / name
    _until(lambda: path.exists() and path.read_text().count("\n") > 3, process)
    process.kill()
    process.communicate()
    rows = pd.read_csv(path) if name.endswith("csv") else pd.read_json(path, lines=True)
    assert len(rows) >= 3
    assert path.read_text().endswith("\n")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_a_stream_over_udp_that_breaks_off_continues_with_a_gap(talk, tmp_path):
    address = "udp://127.0.0.1:15044"
    process = _live("--source", address, "--seconds", 22, "--out", "udp.csv", cwd=tmp_path)
    assert process.stderr.readline() == f"{address}: waiting for data\n"
    for loops, pause in ((0, 8), (1, 0)):
        read = ["ffmpeg", "-v", "error", "-re", "-stream_loop", str(loops), "-i", talk]
        subprocess.run([*read, "-c:v", "copy", "-f", "mpegts", f"{address}?pkt_size=1316"], check=True)
        time.sleep(pause)
    _, errors = process.communicate(timeout=60)
    rows = pd.read_csv(tmp_path / "udp.csv")
    assert process.returncode == 0
    assert f"{address}: lost (no data); trying again" in errors
    assert f"{address}: is back after" in errors
    one = rows[rows.person == 1]
    assert one.start.is_monotonic_increasing
    assert one.status.value_counts()["ok"] > 20
    frames = rows.drop_duplicates("start").set_index("start").frame
    assert frames[6.5:11.5].nunique() <= 3  # nothing was received
    assert frames[17:].nunique() > 10


def test_the_display_shows_faces_and_the_state_of_the_session():
    labels = ("calm", "tense")
    faces = [
        LiveFace(1, "Anna", (0, 0, 1, 1), {"calm": 0.25, "tense": 0.75}, "tense", 0.75, "ok"),
        LiveFace(None, None, (0, 0, 1, 1), None, None, None, "waiting"),
    ]
    console = Console(width=80)
    with console.capture() as capture:
        console.print(drawn(labels, faces, {"calm": 1.0, "tense": 0.0}, LiveState(ticks(12), 60, 3, 5.0, 0.021)))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert lines[0].split() == ["person", "emotion", "calm", "tense"]
    assert lines[1].split() == ["Anna", "tense", "0.75", "█▊", "█████▎"]
    assert lines[2].split() == ["?", "waiting"]
    assert lines[3].split() == ["voice", "calm", "1.00", "███████"]
    assert lines[4] == "12.0 s   5.0 frames/s, 3 dropped, latency 21 ms   Ctrl-C stops"
