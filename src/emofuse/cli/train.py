"""What `emofuse train` shows while it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from emofuse.errors import SettingsError
from emofuse.training.train import Request, train

_EXAMPLES = {"--set": "fit.lr=3e-5", "--weights": "vggface2=resnet50.h5", "--over": "window=2,4,6"}


def changes(given: Sequence[str], *, option: str = "--set") -> dict[str, str]:
    """`NAME=VALUE` words of an option as a mapping.

    Raises:
        SettingsError: a word without `=`.
    """
    for word in given:
        if "=" not in word:
            raise SettingsError(f"{option} {word}: give NAME=VALUE, such as {_EXAMPLES[option]}.")
    return {name.strip(): value.strip() for name, _, value in (word.partition("=") for word in given)}


def files(given: Sequence[str]) -> dict[str, Path]:
    """`NAME=FILE` words of --weights as a mapping.

    Raises:
        SettingsError: a word without `=`.
    """
    return {name: Path(file) for name, file in changes(given, option="--weights").items()}


def run_and_show(request: Request) -> None:
    """Train with a progress bar on standard error, that of the first process; lines go to standard output."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    errors = Console(stderr=True)
    silent = not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0"
    with Progress(*columns, console=errors, transient=True, disable=silent) as bar:
        task = bar.add_task("training", total=None)

        def step(p: Any) -> None:
            bar.update(
                task, total=p.epochs * p.steps, completed=p.epoch * p.steps + p.step, description=f"epoch {p.epoch + 1}"
            )

        train(request, report=print, progress=step)


def not_installed(error: ImportError) -> SettingsError:
    """What to say where the training part of emofuse is missing."""
    return SettingsError(f"training needs {error.name}, which is not installed; pip install 'emofuse[train]'.")
