"""The folder of a server: checked when it starts, and of one server at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emofuse.core.files import RECORDS, locked, write_json
from emofuse.errors import OutputError


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Keep the folder of results for this server.

    Raises:
        OutputError: it cannot be written, or another server has it.
    """
    records = folder / RECORDS
    try:
        write_json(records / "format.json", {"format": 1})
    except OutputError as error:
        raise OutputError(str(error).replace("--out", "--results")) from None
    with locked(records / "serve.lock", busy=f"{folder}: another `emofuse serve` has this folder; end it first."):
        yield
