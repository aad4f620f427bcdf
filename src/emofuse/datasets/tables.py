"""CSV tables of data sets: rows by column with their line numbers, and class indices by label name."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emofuse.core.files import printable
from emofuse.core.labels import AFFWILD2, TO_AFFWILD2, UNLABELLED, LabelSet
from emofuse.errors import DataError

UNLABELLED_NAMES = ("", "-1")
_MAX_HEADER = 10_000


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

    columns: accepted names of each column, lower case; if a file has several of them, the first one counts.
    required: columns that must be there. remedy: the end of the message if the file or a column is missing.
    """

    columns: Mapping[str, Sequence[str]]
    required: Sequence[str]
    remedy: str

    def positions(self, header: Sequence[str]) -> dict[str, int]:
        """The position of each known column in a header."""
        names = [name.casefold() for name in header]
        found = {column: next((n for n in accepted if n in names), None) for column, accepted in self.columns.items()}
        return {column: names.index(name) for column, name in found.items() if name is not None}

    def rows(self, path: Path) -> Iterator[TableRow]:
        """The rows of a file with their line numbers, one after another; empty rows are skipped.

        Raises:
            DataError: the file cannot be read as CSV in UTF-8, or lacks a required column.
        """
        records = ((line, cells) for line, cells in read_records(path, remedy=self.remedy) if any(cells))
        _, header = next(records, (1, []))
        positions = self.positions(header)
        for column in self.required:
            if column not in positions:
                found = ", ".join(c for c in header if c) or "nothing"
                raise DataError(f"{printable(path)}:1: no column {column!r}, found {found}; {self.remedy}.")
        for line, cells in records:
            by_column = {c: cells[n] if n < len(cells) else "" for c, n in positions.items()}
            yield TableRow(
                line, by_column, len(cells), len(cells) <= max(positions.values()), any(cells[len(header) :])
            )


def read_records(path: Path, *, remedy: str) -> Iterator[tuple[int, list[str]]]:
    """The first line number and the stripped cells of each record; the separator is comma, semicolon or tab.

    Raises:
        DataError: the file cannot be read as CSV in UTF-8.
    """
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = _separator(file.readline(_MAX_HEADER))
            file.seek(0)
            reader = csv.reader(file, delimiter=separator)
            try:
                for cells in reader:
                    yield line, [cell.strip() for cell in cells]
                    line = reader.line_num + 1
            except csv.Error as error:
                found = f"{printable(path)}:{reader.line_num}: is not CSV ({error})"
                raise DataError(f"{found}; save the table again.") from None
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror}); {remedy}.") from None
    except UnicodeDecodeError:
        line = _first_undecodable_line(path)
        raise DataError(f"{printable(path)}:{line}: is not UTF-8; save the table as CSV UTF-8.") from None


def header_of(path: Path) -> list[str]:
    """The lower-case column names in the first line of a CSV file, none if it is not one."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline(_MAX_HEADER)
        cells = next(csv.reader([line], delimiter=_separator(line)), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    return [cell.strip().casefold() for cell in cells]


def label_indices(label_set: LabelSet) -> dict[str, int]:
    """The class index of every accepted label name: the set's own, and their synonyms in other known sets.

    Names without a counterpart in the set, and those that mean unlabelled, have the index -1.

    >>> label_indices(AFFWILD2)["calm"], label_indices(AFFWILD2)["contempt"]
    (0, -1)
    """
    own = {name.casefold(): n for n, name in enumerate(label_set.names)}
    known = dict.fromkeys(UNLABELLED_NAMES, UNLABELLED)
    if set(AFFWILD2.names) <= set(label_set.names):
        for names in TO_AFFWILD2.values():
            known |= {n: UNLABELLED if target is None else own[target] for n, target in names.items()}
    return known | own


def _separator(first_line: str) -> str:
    return max(",;\t", key=first_line.count)


def _first_undecodable_line(path: Path) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1
