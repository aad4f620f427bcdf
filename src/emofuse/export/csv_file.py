"""Results as comma-separated values, with a header line."""

from __future__ import annotations

from pathlib import Path

from emofuse.core.files import atomic
from emofuse.export.writer import WRITERS, ResultTable


def write_csv(table: ResultTable, path: Path) -> None:
    """Write a table as UTF-8 CSV."""
    with atomic(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        for n, block in enumerate(table.blocks):
            block.to_csv(file, index=False, header=n == 0, lineterminator="\n")


WRITERS.add("csv", write_csv)
