"""The result of `emofuse table1` for readers: a file to keep, a page to look at, a table for the terminal.

All are drawn from what table1.json holds, so that an old result can be drawn again. What was measured and what
is quoted from the paper never share a column.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emofuse.core.files import write_bytes
from emofuse.report.table1.file import markdown
from emofuse.report.table1.page import html
from emofuse.report.table1.terminal import text

__all__ = ["html", "markdown", "text", "write"]


def write(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write table1.md and table1.html, each whole or not at all; equal results give equal bytes.

    Raises:
        OutputError: the folder cannot be written.
    """
    written = []
    for name, draw in (("table1.md", markdown), ("table1.html", html)):
        write_bytes(folder / name, draw(result).encode())
        written.append(folder / name)
    return written
