"""Reading tables into pandas: CSV in the dialects of spreadsheet programs, Excel, Parquet, JSON and JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.datasets.records import EXCEL_SUFFIXES, column_name, csv_dialect, read_records
from emofuse.datasets.tables import PATH_COLUMNS
from emofuse.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

CLIP_COLUMNS = ("clip", "file", *(name for name in PATH_COLUMNS if name not in ("clip", "file")))


def read_table(path: Path) -> pd.DataFrame:
    """The table in a .csv, .tsv, .txt, .xlsx, .parquet, .json or .jsonl file, with columns as `column_name` spells
    them.

    Columns of names (`CLIP_COLUMNS`) are text. Rows without any cell are left out.

    Raises:
        DataError: it cannot be read in the format of its suffix.
    """
    table = read_as_named(path).rename(columns=column_name).dropna(how="all")
    if doubled := table.columns[table.columns.duplicated()].tolist():
        raise DataError(f"{path}: two columns are called {doubled[0]!r}; keep one of them.")
    return table


def read_as_named(path: Path) -> pd.DataFrame:
    """The same with columns as the file spells them, and with every row."""
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
        elif path.suffix.lower() == ".json":
            content = json.loads(path.read_text("utf-8"))
            table = pd.DataFrame(content["rows"] if isinstance(content, dict) else content)
        elif path.suffix.lower() == ".jsonl":
            table = pd.DataFrame(_objects(path.read_text("utf-8")))
        elif path.suffix.lower() in EXCEL_SUFFIXES:
            records = [cells for _, cells in read_records(path, remedy="give a table of scores") if any(cells)]
            table = pd.DataFrame(records[1:], columns=pd.Index(records[0] if records else []))
        else:
            table = _read_csv(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as a table ({' '.join(str(error).split())}).") from None
    return table


def is_cut_off(text: str) -> bool:
    """Whether the last of some JSON lines is half a line, as where its writer was killed or the disk was full."""
    last = text.rpartition("\n")[2]
    try:
        json.loads(last or "{}")
    except ValueError:
        return True
    return False


def _objects(text: str) -> list[dict[str, Any]]:
    """The objects of JSON lines, but for half a line at the end.

    Raises:
        ValueError: another line holds no object.
    """
    objects = list[dict[str, Any]]()
    for number, line in enumerate(text.split("\n")[: -1 if is_cut_off(text) else None], 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ValueError(f"line {number} is no JSON object")
        objects.append(value)
    return objects


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    encoding, skipped, separator = csv_dialect(path)
    options: dict[str, Any] = {"encoding": encoding, "sep": separator, "skiprows": skipped}
    header = pd.read_csv(path, nrows=0, **options).columns
    texts = {column: "str" for column in header if column_name(column) in CLIP_COLUMNS}  # or "007" would be 7
    table: pd.DataFrame = pd.read_csv(path, dtype=texts, low_memory=False, **options)
    return table
