"""A fixture that runs commands as a user types them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from emofuse.cli.main import main


@pytest.fixture
def run(capsys, tmp_path, monkeypatch) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in an empty folder and returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(w) for w in words])
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return command
