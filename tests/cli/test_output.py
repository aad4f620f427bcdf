"""Printing to streams that are closed, full, or cannot encode what is printed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from emofuse.cli import output
from emofuse.cli.main import main
from emofuse.errors import OutputError

FULL = Path("/dev/full")
SHOW = "from emofuse.cli.output import open_streams, show; open_streams(); "


def stdout_of(encoding: str, monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
    output.open_streams()
    return content


def test_characters_that_the_encoding_lacks_are_escaped(monkeypatch):
    content = stdout_of("cp1252", monkeypatch)
    output.print_text("é 演 \udce0")
    assert content.getvalue() == b"\xe9 \\u6f14 \\udce0\n"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_json_is_read_back_whatever_the_encoding(monkeypatch, encoding):
    content = stdout_of(encoding, monkeypatch)
    value = {"file": "é 演 😀 \\u6f14.mp4"}
    output.show(lambda: "", lambda: value, as_json=True)
    assert json.loads(content.getvalue().decode(encoding)) == value


def test_text_is_never_markup(monkeypatch):
    content = stdout_of("utf-8", monkeypatch)
    output.print_text("r[/x] [red]a[/red] :smile:")
    with output.progress_bar("predicting [/x]") as bar:
        bar.update("r[/x]", 1, 2)
        bar.note("r[/x]")
    assert content.getvalue() == b"r[/x] [red]a[/red] :smile:\n"


def test_tables_are_printed_with_one_line_break(monkeypatch):
    content = stdout_of("utf-8", monkeypatch)
    table = Table("a", box=None, pad_edge=False)
    table.add_row("1")
    output.print_text(table)
    assert content.getvalue().decode().split() == ["a", "1"]
    assert content.getvalue().count(b"\n") == 2


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_result_that_cannot_be_printed_is_an_error_but_a_progress_line_is_not(monkeypatch, capsys):
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        output.print_text("done")
        assert capsys.readouterr().err == "emofuse: standard output cannot be written (No space left on device).\n"


def python(code: str, **streams: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], text=True, check=False, **streams)  # type: ignore[call-overload, no-any-return]


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_standard_output_is_reported_in_one_line_without_a_traceback():
    with FULL.open("w") as full:
        run = python("from emofuse.cli.main import main; main(['systems'])", stdout=full, stderr=subprocess.PIPE)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert run.stderr.splitlines()[0] == "emofuse: standard output cannot be written (No space left on device)."


def test_a_closed_pipe_is_not_an_error():
    code = f"{SHOW} import sys; show(lambda: 'x' * 99999, dict, as_json=False); show(lambda: 'y', dict, as_json=False)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (0, b"")
    process.stderr.close()


def test_help_into_a_closed_pipe_is_not_an_error(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit) as end:
            main(["--help"])
    assert not end.value.code


def test_closed_streams_never_receive_a_file_that_is_opened_later(tmp_path):
    code = f"{SHOW} show(lambda: 'x', dict, as_json=False); print(open('file', 'w').fileno(), file=open('number', 'w'))"
    shell = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" >&- 2>&-', sys.executable, code], cwd=tmp_path, check=False)
    assert shell.returncode == 0
    assert int((tmp_path / "number").read_text()) > 2


def test_show_raises_where_its_only_output_is_lost(monkeypatch):
    monkeypatch.setattr(output, "_write", lambda stream, text: "No space left on device")
    with pytest.raises(OutputError, match="send standard output elsewhere"):
        output.show(lambda: "x", dict, as_json=False)
