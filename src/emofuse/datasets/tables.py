"""Tables of data sets: rows by column with their line numbers, and class indices by label name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2, SYNONYMS, TO_AFFWILD2, UNLABELLED, LabelSet
from emofuse.datasets.records import MISSING, column_name, read_records
from emofuse.errors import DataError

UNLABELLED_NAMES = ("", "-1", *MISSING, "unlabelled", "unlabeled")
PATH_COLUMNS = ("path", "file", "video", "filename", "file_name", "filepath", "file_path", "clip", "name")
START_COLUMNS, END_COLUMNS = ("start", "onset", "start_time", "begin"), ("end", "offset", "end_time", "stop")


@dataclass(frozen=True)
class TableRow:
    """A record of a table: its cells by column, "" where one is missing.

    fields: number of fields. is_short: whether known columns are missing. has_surplus: text beyond the header.
    """

    line: int
    cells: Mapping[str, str]
    fields: int
    is_short: bool
    has_surplus: bool


@dataclass(frozen=True)
class Table:
    """The expected columns of a table.

    columns: accepted names of each column, as `column_name` spells them; if a file has several of them, the
        first one counts.
    required: columns that must be there. remedy: the end of the message if the file or a column is missing.
    """

    columns: Mapping[str, Sequence[str]]
    required: Sequence[str]
    remedy: str

    def positions(self, header: Sequence[str]) -> dict[str, int]:
        """The position of each known column in a header."""
        names = [column_name(name) for name in header]
        found = {column: next((n for n in accepted if n in names), None) for column, accepted in self.columns.items()}
        return {column: names.index(name) for column, name in found.items() if name is not None}

    def rows(self, path: Path) -> Iterator[TableRow]:
        """The rows of a file with their line numbers, one after another; empty rows are skipped.

        Raises:
            DataError: the file cannot be read as CSV or Excel, or lacks a required column.
        """
        records = ((line, cells) for line, cells in read_records(path, remedy=self.remedy) if any(cells))
        first, header = next(records, (1, []))
        positions = self.positions(header)
        for column in self.required:
            if column not in positions:
                found = ", ".join(c for c in header if c) or "nothing"
                raise DataError(f"{printable(path)}:{first}: no column {column!r}, found {found}; {self.remedy}.")
        for line, cells in records:
            by_column = {c: cells[n] if n < len(cells) else "" for c, n in positions.items()}
            yield TableRow(
                line, by_column, len(cells), len(cells) <= max(positions.values()), any(cells[len(header) :])
            )


def label_indices(label_set: LabelSet) -> dict[str, int]:
    """The class index of every accepted label name: the set's own, and their synonyms in other known sets.

    Names without a counterpart in the set, and those that mean unlabelled, have the index -1. Look names up with
    `label_index`.

    >>> label_indices(AFFWILD2)["calm"], label_indices(AFFWILD2)["contempt"]
    (0, -1)
    """
    own = {name.casefold(): n for n, name in enumerate(label_set.names)}
    known = dict.fromkeys(UNLABELLED_NAMES, UNLABELLED)
    if set(AFFWILD2.names) <= set(label_set.names):
        for names in (*TO_AFFWILD2.values(), SYNONYMS):
            known |= {n: UNLABELLED if target is None else own[target] for n, target in names.items()}
    return known | own


def label_index(name: str, indices: Mapping[str, int]) -> int | None:
    """The class index of a label name in any case and spelling; None if it is unknown.

    >>> label_index("Pleasant_Surprise", label_indices(AFFWILD2))
    6
    """
    text = name.strip().casefold()
    return indices.get(text, indices.get(re.sub(r"(?<=[^\W\d_])[\s_-]+(?=[^\W\d_])", " ", text)))
