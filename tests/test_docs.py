"""The documentation is complete, and its commands work."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer

import emofuse
from emofuse.cli.executors import EXECUTORS
from emofuse.cli.main import app, main
from emofuse.datasets.problems import PROBLEM_CODES
from emofuse.evaluation.submission_formats import EDITIONS
from emofuse.export import WRITERS
from emofuse.faces import DETECTORS
from emofuse.fusion import METHODS
from emofuse.metrics import MEASURES
from emofuse.models.bundle import bundled
from emofuse.models.weights import KNOWN
from emofuse.runtime import DEVICES
from emofuse.synthetic import sample
from emofuse.systems import SYSTEMS
from emofuse.systems.paper import TABLE1

ROOT = Path(__file__).parent.parent
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
ROOT_COMMAND: Any = typer.main.get_command(app)


def walk(command: Any, name: str) -> list[tuple[str, Any]]:
    found = [(name, command)]
    for sub, child in getattr(command, "commands", {}).items():
        found += walk(child, f"{name} {sub}")
    return found


ALL = walk(ROOT_COMMAND, "emofuse")
ACTIONS = [(name, command) for name, command in ALL if not getattr(command, "commands", None)]
EXAMPLES = [
    example.strip()
    for _, command in ACTIONS
    for example in (command.epilog or "").removeprefix("Example: ").split("   |   ")
]
DOCUMENTED = sorted(
    set(re.findall(r"`(emofuse (?:sweep|weights|data) [^`]*[a-z0-9])`", COMMANDS)) - {name for name, _ in ALL}
)
FIRST_STEPS = re.findall(r"^emofuse .*", re.findall(r"```\n(.*?)```", COMMANDS, re.DOTALL)[0], re.MULTILINE)


@pytest.mark.parametrize(("name", "command"), ALL, ids=[n for n, _ in ALL])
def test_every_command_and_option_is_documented(name, command):
    if not getattr(command, "commands", None):
        assert name in COMMANDS
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("--") or f"{option}`" in COMMANDS, f"{name} {option}"


@pytest.mark.parametrize(("name", "command"), ALL, ids=[n for n, _ in ALL])
def test_every_command_has_help_and_an_example(name, command):
    assert command.help
    if not getattr(command, "commands", None):
        assert f"Example: {name}" in (command.epilog or "")


@pytest.mark.parametrize(("name", "command"), ACTIONS, ids=[n for n, _ in ACTIONS])
def test_every_command_can_print_json(name, command):
    assert "--json" in {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("line", [*EXAMPLES, *DOCUMENTED, *FIRST_STEPS])
def test_every_example_is_a_valid_command(line):
    program, *words = shlex.split(line)
    command, context = ROOT_COMMAND, None
    assert program == "emofuse"
    while hasattr(command, "commands"):
        name = words.pop(0)
        command = command.commands[name]
    context = command.make_context(line, words)
    assert context.params


def test_the_first_steps_of_the_documentation_run(tmp_path, monkeypatch):
    assert len(FIRST_STEPS) == 3
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sample, "make_sample", partial(sample.make_sample, size=(320, 180)))
    for line in FIRST_STEPS:
        with pytest.raises(SystemExit) as end:
            main(shlex.split(line)[1:])
        assert not end.value.code, line
    assert (tmp_path / "emofuse-results" / "sample.csv").is_file()
    assert (tmp_path / "emofuse-results" / "sample.png").is_file()


def test_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sample, "make_sample", partial(sample.make_sample, size=(320, 180)))
    monkeypatch.setenv("MPLBACKEND", "agg")
    for kind, block in re.findall(r"```(csv|python|)\n(.*?)```", TUTORIAL, re.DOTALL):
        if kind == "csv":
            (tmp_path / "events.csv").write_text(block, "utf-8")
        elif kind == "python":
            exec(block, {})
        for line in re.findall(r"^emofuse .*", block, re.MULTILINE) if not kind else ():
            with pytest.raises(SystemExit) as end:
                main(shlex.split(line)[1:])
            assert not end.value.code, line
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert {"report.html", "stats/groups.csv", "figure.pdf", "talk.html", "results/talk.eaf"} <= written


@pytest.mark.parametrize(
    "registry",
    [WRITERS, DETECTORS, DEVICES, KNOWN, bundled(), METHODS, MEASURES, EDITIONS, SYSTEMS, TABLE1, EXECUTORS],
)
def test_every_registered_name_is_documented(registry):
    for name in registry:
        assert f"`{name}`" in COMMANDS, name


def test_every_problem_code_is_documented():
    data = (ROOT / "docs" / "data.md").read_text("utf-8")
    for code, meaning in PROBLEM_CODES.items():
        assert f"| `{code}` | {meaning} |" in data


def test_every_public_name_exists_and_has_a_docstring():
    for name in emofuse.__all__:
        assert getattr(emofuse, name).__doc__
