"""`emofuse serve` as a process, and its errors."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from emofuse.cli.main import main
from emofuse.cli.serve import _reached
from emofuse.core.files import locked

pytest.importorskip("fastapi", reason="needs emofuse[web]")


def error_of(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["serve", "--no-browser", *arguments])
    assert end.value.code == 2
    error: str = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_port_that_is_taken_is_an_error(capsys, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port}: is in use" in error_of(capsys, "--port", str(port), "--results", str(tmp_path))


def test_a_folder_that_cannot_be_written_is_an_error(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    error = error_of(capsys, "--results", str(tmp_path / "file"))
    assert "there is a file where a folder is needed" in error
    assert "choose another with --results" in error


def test_a_folder_has_one_server(capsys, tmp_path):
    with locked(tmp_path / ".emofuse" / "serve.lock"):
        assert "another `emofuse serve` has this folder" in error_of(capsys, "--results", str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--max-upload", "much"), "--max-upload much: give a size"),
        (("--host", "no such host"), "--host no such host: is not an address"),
        (("--host", "203.0.113.1"), "--host 203.0.113.1: cannot be used"),
        (("--host", "0.0.0.0", "--token", "short"), "--token: give at least 16"),
        (("--bundle", "nothing"), "nothing"),
    ],
)
def test_wrong_options_are_errors_of_one_line(capsys, tmp_path, arguments, error):
    assert error in error_of(capsys, "--port", "0", "--results", str(tmp_path), *arguments)


def test_without_the_extra_the_error_says_how_to_install_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "emofuse.server.connections", None)
    assert "pip install 'emofuse[web]'" in error_of(capsys, "--results", str(tmp_path))


def test_the_address_of_a_server_on_all_addresses_is_one_that_others_can_use():
    assert _reached("0.0.0.0") not in ("0.0.0.0", "127.0.0.1")


@pytest.fixture
def process(tmp_path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "emofuse", "serve", "--port", "0", "--results", str(tmp_path), "--no-browser"]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


def test_an_interrupt_ends_the_server_in_one_line(process, tmp_path: Path):
    assert process.stdout is not None
    printed = ""
    while not printed.endswith("}\n"):
        printed += process.stdout.readline()
    found = json.loads(printed)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", found["address"])
    assert (found["token"], found["results"]) == (None, str(tmp_path))
    with urllib.request.urlopen(found["address"] + "api/events") as stream:  # an open stream does not keep it
        stream.readline()
        os.kill(process.pid, signal.SIGINT)
        output, error = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "")
    assert error == "emofuse: ended; jobs that are not done go on at the next start.\n"
