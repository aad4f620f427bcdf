"""Tables as records of text: CSV in the encodings and with the separators of spreadsheet programs, and Excel files.

CSV is UTF-8, UTF-16 or, failing these, Windows-1252 (Latin-1). The separator is a comma, a semicolon or a tab, or the
one in a first line `sep=;`. Of an Excel file the first sheet is read, each cell as it is shown.
"""

from __future__ import annotations

import csv
import datetime
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from emofuse.core.encodings import HEAD_BYTES, encoding_of, encoding_of_head
from emofuse.core.files import printable
from emofuse.errors import DataError

EXCEL_SUFFIXES = frozenset({".xlsx", ".xlsm"})
TABLE_SUFFIXES = EXCEL_SUFFIXES | {".csv", ".tsv", ".txt"}
# Spellings of a missing value in R, pandas and spreadsheet programs, and of FaceReader for a frame without a face.
MISSING = ("na", "n/a", "#n/a", "<na>", "nan", "null", "none", "missing", "?", ".", "-", "find_failed", "fit_failed")

_ZIP, _OLD_EXCEL = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_DECIMAL = re.compile(r"(?:\d{1,9}(?:[.,]\d{0,20})?|[.,]\d{1,20})(?:e[+-]?\d{1,2})?", re.ASCII | re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2}(?:[.,]\d{0,20})?)", re.ASCII)
_LONGEST = 10**9  # seconds; more is a mistake, and would not fit the clock


def read_records(path: Path, *, remedy: str) -> Iterator[tuple[int, list[str]]]:
    """The line number and the stripped cells of each record.

    Args:
        remedy: the end of the message if the file cannot be opened.
    Raises:
        DataError: the file cannot be read as CSV or Excel.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(_ZIP))
        if head == _ZIP:
            yield from _excel_records(path)
        elif head == _OLD_EXCEL:
            raise DataError(f"{printable(path)}: is an Excel file of the old format; save it as .xlsx or CSV UTF-8.")
        else:
            yield from _csv_records(path)
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror}); {remedy}.") from None


def header_of(path: Path) -> list[str]:
    """The column names in the first line of a table, as `column_name` spells them; none if it is not one."""
    if path.suffix.lower() not in TABLE_SUFFIXES or not path.is_file():
        return []
    try:
        if path.suffix.lower() in EXCEL_SUFFIXES:
            records = read_records(path, remedy="")
        else:  # the encoding of the first line is enough: the table may be large
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
            text = head.decode(encoding_of_head(head) or "utf-8-sig", "replace").splitlines()
            skipped, separator = _separator(text[0] if text else "")
            records = enumerate(csv.reader(text[skipped : skipped + 1], delimiter=separator))
        return [column_name(cell) for _, cells in islice(records, 1) for cell in cells]
    except (OSError, csv.Error, DataError):
        return []


def column_name(text: str) -> str:
    """A column name in lower case, with underscores for spaces and hyphens.

    >>> column_name(" File Name")
    'file_name'
    """
    return re.sub(r"[\s-]+", "_", str(text).strip().casefold())


def csv_dialect(path: Path) -> tuple[str, int, str]:
    """The encoding of a CSV file, the number of lines before its header (1 after `sep=;`), and its separator.

    Raises:
        DataError: it is not text.
    """
    encoding = encoding_of(path)
    with path.open(encoding=encoding, newline="") as file:
        try:
            return (encoding, *_separator(file.readline(HEAD_BYTES)))
        except UnicodeDecodeError:
            raise DataError(f"{printable(path)}:1: is not text; save the table as CSV UTF-8.") from None


def seconds_of(text: str) -> Fraction | None:
    """A time in seconds, as 12.5, 12,5, mm:ss or hh:mm:ss; None if it is none of these, or above 10^9 s.

    >>> [float(seconds_of(text)) for text in ("12,5", "1:02.5", "01:00:00")]
    [12.5, 62.5, 3600.0]
    """
    text = text.strip().replace(",", ".")
    if match := _CLOCK.fullmatch(text):
        hours, minutes, rest = match.groups()
        if Fraction(rest.removesuffix(".")) >= 60 or (hours is not None and int(minutes) >= 60):
            return None
        return int(hours or 0) * 3600 + int(minutes) * 60 + Fraction(rest.removesuffix("."))
    if not _DECIMAL.fullmatch(text):
        return None
    number = Fraction("0" + re.sub(r"\.(?=e|$)", "", text, flags=re.IGNORECASE))
    return number if number <= _LONGEST else None


def _csv_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    encoding, skipped, separator = csv_dialect(path)
    with path.open(encoding=encoding, newline="") as file:
        line = skipped + 1
        for _ in range(skipped):
            file.readline()
        reader = csv.reader(file, delimiter=separator)
        try:
            for cells in reader:
                yield line, [cell.strip() for cell in cells]
                line = skipped + reader.line_num + 1
        except csv.Error as error:
            found = f"{printable(path)}:{skipped + reader.line_num}: is not CSV ({error})"
            raise DataError(f"{found}; save the table again.") from None
        except UnicodeDecodeError:
            raise DataError(f"{printable(path)}:{line}: is cut off or damaged; save the table as CSV UTF-8.") from None


def _separator(first: str) -> tuple[int, str]:
    """The number of lines before the header, and the separator."""
    if match := _SEPARATOR_LINE.fullmatch(first):
        return 1, match[1]
    return 0, max(",;\t", key=first.count)


def _excel_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise DataError(
            f"{printable(path)}: is an Excel file, which needs openpyxl; pip install openpyxl, or save the table as "
            "CSV UTF-8."
        ) from None
    try:
        with path.open("rb") as file:
            sheet = load_workbook(file, read_only=True, data_only=True).worksheets[0]
            for line, row in enumerate(sheet.iter_rows(), start=1):
                yield line, [_shown(cell) for cell in row]
    except OSError:
        raise
    except Exception as error:  # openpyxl raises errors of every kind for a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{printable(path)}: cannot be read as an Excel file ({reason}); save it again.") from None


def _shown(cell: Any) -> str:
    """A cell as text. A time without seconds was typed as mm:ss, which Excel takes for hh:mm and shows alike."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.time):
        with_seconds = "s" in str(cell.number_format).lower()
        return value.isoformat() if with_seconds else f"{value.hour}:{value.minute:02}"
    if isinstance(value, datetime.timedelta):
        return repr(value.total_seconds())
    return str(value).strip()
