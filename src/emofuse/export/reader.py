"""Reading results: the tables that writers have written, with what `summary.json` beside them adds."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import RECORDS, printable
from emofuse.datasets.records import csv_dialect
from emofuse.errors import DataError
from emofuse.export.formulas import unescaped
from emofuse.export.person_changes import changed, is_changes_file
from emofuse.export.tables import is_cut_off, read_as_named
from emofuse.export.writer import ResultTable

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = "summary.json"
SUFFIXES = (".parquet", ".csv", ".json", ".jsonl")  # of tables; of one result in several formats, the first is read
_REQUIRED = ("file", "person", "start", "end", "status", "emotion", "confidence")
_TEXTS = ("file", "name", "status", "emotion", "words", "words_status", "words_speaker")
_WHOLE = ("person", "frame")
_BEFORE_LABELS, _AFTER_LABELS = "status", "emotion"  # the classes are the columns between these two
_REMEDY = "give a table that `emofuse predict` or `emofuse live` has written, or its folder"


def read_results(paths: Sequence[str | Path]) -> list[ResultTable]:
    """The results in tables, and in folders of them as `emofuse predict` writes; in the order of the paths.

    Of a folder with summary.json the tables listed there are read, otherwise every table. The blocks of a result are
    its persons, with the names and merges in `<stem>.persons.json` beside the table, and can be read again.

    Raises:
        DataError: a path does not exist, a table is damaged or holds no results, or there is none; or a file was last
            predicted in formats that are no tables.
    """
    return [result for path in find_tables(paths) for result in read_result_file(path)]


def find_tables(paths: Sequence[str | Path]) -> list[Path]:
    """The tables that `read_results` reads, each once and in order.

    Raises:
        DataError: a path does not exist, or is a folder without results.
    """
    return list(dict.fromkeys(table for path in map(Path, paths) for table in _found(path)))


def read_result_file(path: Path, *, as_predicted: bool = False) -> list[ResultTable]:
    """The results in one table: one, unless tables of several files were joined.

    Args:
        as_predicted: without the changes of persons beside the table.
    Raises:
        DataError: the table is damaged or holds no results.
    """
    entries = (entry for entry in _files(path.parent) or () if path.name in entry.get("outputs", ()))
    return list(_results(path, next(entries, {}), as_predicted=as_predicted))


def _found(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{printable(path)}: no such file or folder; {_REMEDY}.")
    files = _files(path)
    listed = [listed_table(path, entry) for entry in files or () if entry.get("outputs")]
    tables = _tables(path) if files is None else [table for table in listed if table is not None]
    if not tables:
        raise DataError(f"{printable(path)}: holds no results; {_REMEDY}.")
    return tables


def _files(folder: Path) -> list[Mapping[str, Any]] | None:
    """The entries of the summary of a folder, in order, and those of files that a killed run finished without one.

    None if no run of `emofuse predict` has written to the folder.
    """
    try:
        listed: list[Mapping[str, Any]] = json.loads((folder / SUMMARY).read_text("utf-8"))["files"]
        known = {str(entry["file"]) for entry in listed}
    except (OSError, ValueError, KeyError, TypeError):
        listed, known = [], set()
    recorded = [entry for entry in _recorded(folder) if entry["file"] not in known]
    return [*listed, *recorded] if listed or recorded else None


def _recorded(folder: Path) -> Iterator[Mapping[str, Any]]:
    """The entries in the records of finished files."""
    for path in sorted((folder / RECORDS).glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            entry = json.loads(path.read_text("utf-8"))["entry"]
            if isinstance(entry["outputs"], list) and entry["file"]:
                yield entry


def listed_table(folder: Path, entry: Mapping[str, Any]) -> Path | None:
    """The table of a predicted file by its entry in the summary of its folder; None if it is not there any more.

    Of several formats, it is the one that is read fastest.

    Raises:
        DataError: the file was last predicted in formats that are no tables. One that is there all the same is of an
            earlier run, with other settings.
    """
    names = [name for suffix in SUFFIXES for name in entry["outputs"] if name.endswith(suffix)]
    if not names:
        raise DataError(
            f"{printable(folder)}: {entry['file']} was last predicted as {', '.join(entry['outputs'])}, which is no "
            "table; predict it again with --format csv, parquet or json as well, or name the tables to read."
        )
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _tables(folder: Path) -> list[Path]:
    by_stem = {path.stem: path for suffix in reversed(SUFFIXES) for path in folder.glob(f"*{suffix}")}
    return sorted(path for path in by_stem.values() if path.name != SUMMARY and not is_changes_file(path))


def _results(path: Path, entry: Mapping[str, Any], *, as_predicted: bool) -> Iterator[ResultTable]:
    found = read_as_named(path)
    if path.suffix.lower() == ".csv":
        _check_width(path, found.shape[1])
    table = _checked(found, path)
    table = table if as_predicted else changed(table, path)
    columns = table.columns.tolist()
    labels = tuple(columns[columns.index(_BEFORE_LABELS) + 1 : columns.index(_AFTER_LABELS)])
    read_metadata = _METADATA.get(path.suffix.lower())
    metadata = {} if read_metadata is None else read_metadata(path)
    metadata |= {key: value for key, value in entry.items() if key != "file"}
    for file, rows in (
        table.groupby("file", sort=False) if len(table) else [(Path(entry.get("file", path.stem)).name, table)]
    ):
        name = str(file)
        blocks = [block for _, block in rows.groupby("person", sort=True, dropna=False)] or [rows]
        yield ResultTable(name, labels, metadata, blocks, _media(path, name, entry))


def _metadata_of_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text("utf-8"))
    return (
        {k: v for k, v in content.items() if k not in ("file", "labels", "rows")} if isinstance(content, dict) else {}
    )


def _metadata_of_json_lines(path: Path) -> dict[str, Any]:
    return {"warnings": [f"{path.name}: its last line was cut off"]} if is_cut_off(path.read_text("utf-8")) else {}


_METADATA = {".json": _metadata_of_json, ".jsonl": _metadata_of_json_lines}


def _media(path: Path, name: str, entry: Mapping[str, Any]) -> Path | None:
    """The media file: where it was when it was predicted, beside the table or its folder, or among uploads."""
    places = [Path(entry["file"])] if "file" in entry else []
    places += [folder / name for folder in (path.parent, path.parent.parent, path.parent / "media")]
    return next((p for p in places if p.is_file()), None)


def _checked(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table with columns of the right types.

    Raises:
        DataError: a column is missing, or a value is not what the column holds.
    """
    if missing := [name for name in _REQUIRED if name not in table.columns]:
        found = ", ".join(map(str, table.columns[:20])) or "nothing"
        raise DataError(f"{printable(path)}: no column {missing[0]!r}, found {found}; {_REMEDY}.")
    columns = table.columns.tolist()
    labels = columns[columns.index(_BEFORE_LABELS) + 1 : columns.index(_AFTER_LABELS)]
    if not labels:
        raise DataError(f"{printable(path)}: no class between the columns status and emotion; {_REMEDY}.")
    numbers = {name: _numbers(table, name, path) for name in columns if name not in _TEXTS}
    texts = {name: _unescaped(table[name]) for name in _TEXTS if name in columns}
    start, end = numbers["start"], numbers["end"]
    values = np.stack([numbers[name] for name in labels])
    _refuse(np.asarray(~(start <= end)), path, "its start is after its end, or missing")
    _refuse(np.asarray(((values < 0) | (values > 1)).any(axis=0)), path, "a probability is not from 0 to 1")
    for name in _WHOLE:
        _refuse(numbers.get(name, start * 0) % 1 > 0, path, f"the {name} is not a whole number")
    return table.assign(**texts, **numbers).astype({name: "Int64" for name in _WHOLE if name in columns})


def _check_width(path: Path, columns: int) -> None:
    """Check that every row has all columns; pandas takes missing ones as missing values."""
    encoding, skipped, separator = csv_dialect(path)
    with path.open(encoding=encoding, newline="") as file:
        rows = (row for row in islice(csv.reader(file, delimiter=separator), skipped, None) if row)
        for number, row in enumerate(rows):
            if len(row) < columns:
                raise _damaged(path, number, f"it has {len(row)} of {columns} columns")


def _unescaped(column: pd.Series[Any]) -> pd.Series[Any]:
    changes = {cell: unescaped(cell) for cell in column.dropna().unique()}
    changes = {cell: text for cell, text in changes.items() if text != cell}
    return column.map(lambda cell: changes.get(cell, cell), na_action="ignore") if changes else column


def _refuse(wrong: NDArray[np.bool_], path: Path, problem: str) -> None:
    if wrong.any():
        raise _damaged(path, int(wrong.argmax()) + 1, problem)


def _damaged(path: Path, row: int, problem: str) -> DataError:
    return DataError(f"{printable(path)}: row {row} is damaged ({problem}); predict the file again.")


def _numbers(table: pd.DataFrame, name: str, path: Path) -> NDArray[np.float64]:
    """A column as numbers, with decimal points or commas; NaN where a value is missing."""
    import pandas as pd

    column = table[name]
    try:
        if not pd.api.types.is_numeric_dtype(column):
            column = pd.to_numeric(column.astype("string").str.replace(",", ".", regex=False))
        return column.to_numpy(np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{printable(path)}: column {name!r} is damaged ({reason}); predict the file again.") from None
