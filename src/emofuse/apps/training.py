"""What `emofuse train` shows while it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from emofuse.errors import SettingsError
from emofuse.run.train import Request, train


def changes(given: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` words as a mapping.

    Raises:
        SettingsError: a word without `=`.
    """
    for word in given:
        if "=" not in word:
            raise SettingsError(f"--set {word}: give NAME=VALUE, such as fit.lr=3e-5.")
    return {name.strip(): value.strip() for name, _, value in (word.partition("=") for word in given)}


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
