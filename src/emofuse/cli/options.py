"""What several commands share: options, and printing for programs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Detector = Annotated[str, typer.Option(help="Face detector for videos: auto, yunet or haar.")]
Executor = Annotated[str | None, typer.Option(help="Where jobs run: here, processes or ray (default: here).")]
Address = Annotated[str | None, typer.Option(help="A Ray cluster: HOST:PORT or auto.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
