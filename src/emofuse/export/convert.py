"""Results that exist, in other formats."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

from emofuse.core.files import printable
from emofuse.errors import SettingsError
from emofuse.export.reader import find_tables, read_result_file
from emofuse.export.writer import WRITERS, ExportOptions, ResultTable, checked_formats


def export_results(
    results: Sequence[str | Path],
    *,
    formats: Sequence[str],
    out: Path | None = None,
    options: ExportOptions | None = None,
    progress: Callable[[Path, float], None] = lambda path, fraction: None,
) -> list[Path]:
    """Write results in other formats, and return the files in the order in which they were written.

    Args:
        results: tables, or folders of them as `emofuse predict` writes.
        progress: called with a file that takes long and the fraction of it that is written.
        out: folder for the files; default: beside each table. Of two results with one name, the second gets a number.
    Raises:
        DataError: a table cannot be read.
        SettingsError: a format is unknown, needs a video that is not found, or would replace the table itself.
        OutputError: a file cannot be written.
    """
    wanted, taken, written = checked_formats(formats), set[str](), list[Path]()
    tables = find_tables(results)
    for path in tables:
        found = read_result_file(path)
        for result in found:
            stem = path.stem if len(found) == 1 else Path(result.file).stem
            target = _free(Path(out or path.parent) / stem, taken)
            written += _written(replace(result, options=options or ExportOptions()), target, wanted, path, progress)
    return written


def _free(target: Path, taken: set[str]) -> Path:
    """A path without an ending that no result of this run has; some file systems ignore case."""
    names = (target.with_name(f"{target.name}-{n}") if n > 1 else target for n in count(1))
    free = next(path for path in names if str(path).lower() not in taken)
    taken.add(str(free).lower())
    return free


def _written(
    result: ResultTable,
    target: Path,
    formats: Sequence[str],
    source: Path,
    progress: Callable[[Path, float], None],
) -> list[Path]:
    files = list[Path]()
    for name in formats:
        writer = WRITERS[name]
        path = target.with_name(target.name + writer.extension)
        if any(os.path.abspath(file) == os.path.abspath(source) for file in writer.paths(path)):
            raise SettingsError(f"{printable(source)}: the result in {name} would replace the table; give --out.")
        writer.write(replace(result, progress=partial(progress, path)), path)
        files += writer.paths(path)
    return files
