"""Results as comma-separated values, with a header line, in the dialect of any spreadsheet program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emofuse.core.files import atomic
from emofuse.export.formulas import escaped
from emofuse.export.writer import WRITERS, ResultTable, Writer

if TYPE_CHECKING:
    import pandas as pd


def write_csv(table: ResultTable, path: Path) -> None:
    """Write a table as UTF-8 CSV, with the separator and decimal sign of its options; no text is a formula."""
    sign, decimal = table.options.separator_sign, table.options.decimal
    with atomic(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        for n, block in enumerate(table.blocks):
            rows = without_formulas(block)
            rows.to_csv(file, index=False, header=n == 0, lineterminator="\n", sep=sign, decimal=decimal)


def without_formulas(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with texts that spreadsheet programs do not run."""
    texts = rows.select_dtypes(include=["string", "object"]).columns
    return rows.assign(**{str(name): rows[name].map(escaped, na_action="ignore") for name in texts})


WRITERS.add("csv", Writer(write_csv, ".csv"))
