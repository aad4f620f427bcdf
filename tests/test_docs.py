"""The documentation keeps up with the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

import emofuse
from emofuse.cli.main import app
from emofuse.datasets.problems import PROBLEM_CODES
from emofuse.evaluation.submission_formats import EDITIONS
from emofuse.export import WRITERS
from emofuse.faces import DETECTORS
from emofuse.fusion import METHODS
from emofuse.metrics import MEASURES
from emofuse.models.bundle import shipped
from emofuse.models.weights import KNOWN
from emofuse.runtime import DEVICES

ROOT = Path(__file__).parent.parent
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")


def walk(command: Any, name: str) -> list[tuple[str, Any]]:
    found = [(name, command)]
    for sub, child in getattr(command, "commands", {}).items():
        found += walk(child, f"{name} {sub}")
    return found


ALL = walk(typer.main.get_command(app), "emofuse")


@pytest.mark.parametrize(("name", "command"), ALL, ids=[n for n, _ in ALL])
def test_every_command_and_option_is_documented(name, command):
    if not getattr(command, "commands", None):
        assert name.split()[-1] in COMMANDS
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("--") or f"{option}`" in COMMANDS, f"{name} {option}"


@pytest.mark.parametrize(("name", "command"), ALL, ids=[n for n, _ in ALL])
def test_every_command_has_help_and_each_that_acts_an_example(name, command):
    assert command.help
    if not getattr(command, "commands", None):
        assert f"Example: {name}" in (command.epilog or "")


def test_every_name_that_can_be_given_is_documented():
    for name in (*WRITERS, "auto", *DETECTORS, *DEVICES, *KNOWN, *shipped(), *METHODS, *MEASURES, *EDITIONS):
        assert f"`{name}`" in COMMANDS or f"bundle `{name}`" in COMMANDS, name


def test_every_problem_code_is_documented():
    data = (ROOT / "docs" / "data.md").read_text("utf-8")
    for code, meaning in PROBLEM_CODES.items():
        assert f"| `{code}` | {meaning} |" in data


def test_every_public_name_is_there_and_has_a_docstring():
    for name in emofuse.__all__:
        assert getattr(emofuse, name).__doc__
