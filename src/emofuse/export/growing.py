"""Tables that grow while a live session runs, a row after the other, so that a killed run leaves what it had.

CSV and JSON lines are appended to, in whole lines. A Parquet file can be read only once it is complete: until then the
rows are in a CSV file beside it, which becomes the Parquet file at the end and is removed.

A session cannot be repeated, so nothing that exists is replaced, and no other command takes the table for its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.core.files import atomic, forget_output, printable
from emofuse.core.registry import find
from emofuse.errors import OutputError, SettingsError
from emofuse.export.csv_file import without_formulas
from emofuse.export.formulas import unescaped

if TYPE_CHECKING:
    import pandas as pd

Append = Callable[["pd.DataFrame"], None]
Opened = AbstractContextManager[Append]

_UNFINISHED = ".unfinished.csv"  # what the name of a Parquet file is followed by until it is complete
_ROWS = 50_000  # of a row group


@contextmanager
def growing_table(path: Path, empty: pd.DataFrame) -> Iterator[Append]:
    """A function that appends rows to a .csv, .jsonl or .parquet file, which is complete when the block ends.

    A block that fails before the first row leaves no file.

    Args:
        empty: a table without rows, for the names and types of the columns.
    Raises:
        SettingsError: another extension, or the file, or the rows of one that is not complete, are there already.
        OutputError: the file cannot be written; the rows before are kept.
    """
    opened = find(path.suffix.lower(), _OPENED, f"--out {printable(path)}: file format")
    for found, what in ((path, "is there already"), (_unfinished(path), "has the rows of a session that was killed")):
        if found.exists():
            raise SettingsError(
                f"{printable(found)}: {what}, and is not replaced; move it, or choose another name with --out."
            )
    forget_output(path)  # of a file that has moved away
    with opened(path, empty) as append:
        yield append


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + _UNFINISHED)


@contextmanager
def _csv(path: Path, empty: pd.DataFrame) -> Iterator[Append]:
    header = empty.to_csv(index=False, lineterminator="\n")
    with _lines(path, header) as write:
        yield lambda rows: write(without_formulas(rows).to_csv(index=False, header=False, lineterminator="\n"))


@contextmanager
def _json_lines(path: Path, empty: pd.DataFrame) -> Iterator[Append]:
    del empty
    with _lines(path, "") as write:
        yield lambda rows: write("".join(json_lines(rows)))


@contextmanager
def _parquet(path: Path, empty: pd.DataFrame) -> Iterator[Append]:
    unfinished = _unfinished(path)
    with _csv(unfinished, empty) as append:
        yield append
    if path.exists():
        reason = f"was written meanwhile, and is not replaced; the rows are in {printable(unfinished)}"
        raise OutputError(f"{printable(path)}: {reason}.")
    with _explained(path):
        _convert(unfinished, path, empty)
        unfinished.unlink()


_OPENED: Mapping[str, Callable[[Path, pd.DataFrame], Opened]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}


def json_lines(rows: pd.DataFrame) -> Iterator[str]:
    """Each row as a JSON object on a line of its own; missing values are null."""
    for record in json.loads(rows.to_json(orient="records")):
        yield json.dumps(record) + "\n"


@contextmanager
def _lines(path: Path, header: str) -> Iterator[Callable[[str], None]]:
    """A function that appends whole lines to a new file."""
    appended = False
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("x", encoding="utf-8", newline="")

    def write(lines: str) -> None:
        nonlocal appended
        appended = True
        with _explained(path):
            file.write(lines)
            file.flush()

    with file:
        write(header)
        appended = False
        try:
            yield write
        except BaseException:
            if not appended:
                path.unlink(missing_ok=True)
            raise


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{printable(path)}: cannot be written ({reason}); choose another with --out.") from None


def _convert(source: Path, path: Path, empty: pd.DataFrame) -> None:
    """Write the rows of a CSV file as Parquet, whole or not at all."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: Any = {str(name): dtype for name, dtype in empty.dtypes.items()}
    texts = [str(name) for name in empty.select_dtypes(include=["string", "object"]).columns]
    schema = pa.Table.from_pandas(empty, preserve_index=False).schema
    with atomic(path) as partial, pq.ParquetWriter(partial, schema) as writer:
        for rows in pd.read_csv(source, dtype=types, chunksize=_ROWS):
            shown = rows.assign(**{name: rows[name].map(unescaped, na_action="ignore") for name in texts})
            writer.write_table(pa.Table.from_pandas(shown, schema=schema, preserve_index=False))
