"""The HTTP API answers as its document says, whatever it is asked: schemathesis tries it. Needs no browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOKEN = "abcdefgh12345678"  # with which files of this machine cannot be named


def test_answers_conform_to_the_document(serving, tmp_path, talk):
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists():
        pytest.skip("needs schemathesis: pip install 'emofuse[browser]'")
    with serving(tmp_path / "results") as server:  # a result, for a server that is asked with a token
        server.add(talk)
    with serving(tmp_path / "results", f"--token={TOKEN}", "--api-only") as server:
        document = f"{server.url}api/openapi.json"
        # A stream of events never ends. Of `OPTIONS /api/jobs/local` GET and DELETE are named too: of a job "local".
        options = ["--exclude-path=/api/events", "--exclude-checks=allow_header_conformance", "--request-timeout=120"]
        options += ["--max-examples=30", "--seed=1", "--no-color", f"--header=Authorization: Bearer {TOKEN}"]
        command = [str(program), "run", document, *options]
        found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert not found.returncode, found.stdout
