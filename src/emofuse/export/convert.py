"""Results that exist, in other formats."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

from emofuse.core.files import NAME_BYTES, own_outputs, printable, shortened
from emofuse.errors import DataError, EmofuseError, MediaError, SettingsError
from emofuse.export.reader import find_tables, read_result_file
from emofuse.export.writer import WRITERS, ExportOptions, ResultTable, checked_formats

_STEM_BYTES = NAME_BYTES - 16  # which leaves room for the extension of every format


def export_results(
    results: Sequence[str | Path],
    *,
    formats: Sequence[str],
    out: Path | None = None,
    options: ExportOptions | None = None,
    progress: Callable[[Path, float], None] = lambda path, fraction: None,
    failed: Callable[[EmofuseError], None] | None = None,
) -> list[Path]:
    """Write results in other formats, and return the files in the order in which they were written.

    Args:
        results: tables, or folders of them as `emofuse predict` writes.
        out: folder for the files; default: beside each table. Of two results with one name, the second gets a number.
        progress: called with a file that takes long and the fraction of it that is written.
        failed: called with the error of a result that cannot be read, or not be written in a format, after which the
            others go on; default: it is raised.
    Raises:
        DataError: a table cannot be read.
        SettingsError: a format is unknown, needs a video that is not found, or would replace the table itself or a
            file that emofuse did not write.
        OutputError: a file cannot be written.
    """
    wanted, taken, written = checked_formats(formats, options), set[str](), list[Path]()

    @contextmanager
    def reported() -> Iterator[None]:
        try:
            yield
        except (DataError, MediaError, SettingsError) as error:
            if failed is None:
                raise
            failed(error)

    for path in find_tables(results):
        found = list[ResultTable]()
        with reported():
            found = read_result_file(path)
        for result in found:
            stem = path.stem if len(found) == 1 else shortened(Path(result.file).stem, _STEM_BYTES)
            target = _free(Path(out or path.parent) / stem, taken)
            for name in wanted:
                with reported():
                    given = replace(result, options=options or ExportOptions())
                    written += _written(given, target, name, path, progress)
    return written


def _free(target: Path, taken: set[str]) -> Path:
    """A path without an ending that no result of this run has; some file systems ignore case."""
    names = (target.with_name(f"{target.name}-{n}") if n > 1 else target for n in count(1))
    free = next(path for path in names if str(path).lower() not in taken)
    taken.add(str(free).lower())
    return free


def _written(
    result: ResultTable, target: Path, form: str, source: Path, progress: Callable[[Path, float], None]
) -> list[Path]:
    writer = WRITERS[form]
    path = target.with_name(target.name + writer.extension)
    if any(os.path.abspath(file) == os.path.abspath(source) for file in writer.paths(path)):
        raise SettingsError(f"{printable(source)}: the result in {form} would replace the table; give --out.")
    with own_outputs(writer.paths(path)):
        writer.write(replace(result, progress=partial(progress, path)), path)
    return writer.paths(path)
