"""What a writer of results is, and the registry of all writers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from emofuse.core.registry import Registry

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ResultTable:
    """The result of one video as a writer receives it.

    file: name of the video. labels: names of the class columns.
    metadata: JSON values: the bundle and the stages that were used, and warnings.
    blocks: the rows in pieces, at least one, all with the same columns and types; can be read once.
    media: the video or audio file, if it is known where that is.
    """

    file: str
    labels: tuple[str, ...]
    metadata: Mapping[str, Any]
    blocks: Iterable[pd.DataFrame]
    media: Path | None = None


class Writer(Protocol):
    """Writes a table to a file, completely or not at all; equal tables give equal bytes."""

    def __call__(self, table: ResultTable, path: Path, /) -> None:
        """Write the file.

        Raises:
            OutputError: the file cannot be written.
        """
        ...


# By the extension of the files; other packages add theirs as entry points.
WRITERS: Registry[Writer] = Registry("format", "emofuse.writers")
