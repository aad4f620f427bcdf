"""Names and merges of the persons of a result, given after it was predicted: `<stem>.persons.json` beside its table.

    {"names": {"1": "Anna"}, "merge": {"2": 1}}

Person 2 is part of person 1: where both have a row at one time, the row whose face was scored stays, then the one with
scores of a voice, then the one whose face was found, then the more confident one. Readers of results follow this file,
so exports, reports and statistics agree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.core.files import printable, write_json
from emofuse.core.statuses import OK, TURNED, VOICE_ONLY
from emofuse.errors import DataError, OutputError

if TYPE_CHECKING:
    import pandas as pd

ENDING = ".persons.json"
_RANKS = {OK: 0, VOICE_ONLY: 1, TURNED: 2}  # of statuses; all others come after them
_REMEDY = "correct it, or delete it to have the persons as they were predicted"


@dataclass(frozen=True)
class PersonChanges:
    """names: by number. merge: the number of the person that each one is part of, never part of another one itself.

    >>> PersonChanges({1: "Anna"}, {3: 2, 2: 1}).merge
    {3: 1, 2: 1}
    """

    names: Mapping[int, str] = field(default_factory=dict)
    merge: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Follow merges to their ends.

        Raises:
            DataError: a person is merged into itself.
        """
        ends = {}
        for person, target in self.merge.items():
            passed = {person}
            while target in self.merge and target not in passed:
                passed.add(target)
                target = self.merge[target]
            if target in passed:
                raise DataError(f"person {person} is merged into itself")
            ends[person] = target
        object.__setattr__(self, "merge", ends)

    def check(self, persons: set[int]) -> None:
        """Check that all persons exist.

        Raises:
            DataError: one does not.
        """
        if unknown := ({*self.names, *self.merge, *self.merge.values()} - persons):
            raise DataError(f"there is no person {min(unknown)}")

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of one result with these names and persons, sorted by person and time."""
        import pandas as pd

        if self.merge:
            merged = table.assign(person=table["person"].replace(dict(self.merge)))
            rank = table["status"].map(_RANKS).fillna(len(_RANKS))
            order = pd.DataFrame(
                {"person": merged["person"], "start": table["start"], "rank": rank, "confidence": table["confidence"]}
            ).sort_values(["person", "start", "rank", "confidence"], ascending=[True, True, True, False], kind="stable")
            merged = merged.loc[order.index]
            taken = merged["person"].isin(set(self.merge.values())) & merged.duplicated(["person", "start"])
            table = merged[~taken].reset_index(drop=True)
        if self.names:
            if "name" not in table:
                column = pd.Series([None] * len(table), index=table.index, dtype="str")
                table = table.copy()
                table.insert(table.columns.tolist().index("person") + 1, "name", column)
            given = table["person"].map(dict(self.names))
            table = table.assign(name=given.astype("str").where(given.notna(), table["name"]))
        return table

    def as_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {
            "names": {str(person): name for person, name in sorted(self.names.items())},
            "merge": {str(person): target for person, target in sorted(self.merge.items())},
        }


def changes_path(table: Path) -> Path:
    """The file beside a table."""
    return table.with_name(table.stem + ENDING)


def is_changes_file(path: Path) -> bool:
    """Whether a file holds such changes, and is not the table of a result whose name ends like this."""
    if not path.name.endswith(ENDING):
        return False
    try:
        return "rows" not in json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return True


def read_changes(table: Path) -> PersonChanges:
    """The changes beside a table; none if there is no such file.

    Raises:
        DataError: the file is damaged.
    """
    path = changes_path(table)
    if not path.is_file() or not is_changes_file(path):
        return PersonChanges()
    try:
        content = json.loads(path.read_text("utf-8"))
        changes = PersonChanges(
            {_number(n): _name(name) for n, name in content.pop("names", {}).items()},
            {_number(n): _number(target) for n, target in content.pop("merge", {}).items()},
        )
        if content:
            raise DataError(f"{next(iter(content))!r} is neither names nor merge")
    except (OSError, ValueError, TypeError, AttributeError, DataError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{printable(path)}: is damaged ({reason}); {_REMEDY}.") from None
    return changes


def write_changes(table: Path, changes: PersonChanges) -> None:
    """Write the changes beside a table; without any, the file is removed.

    Raises:
        OutputError: it cannot be written, or another result has its name.
    """
    path = changes_path(table)
    if path.exists() and not is_changes_file(path):
        raise OutputError(f"{printable(path)}: is the table of another result; delete or rename one of them.")
    if changes == PersonChanges():
        path.unlink(missing_ok=True)
    else:
        write_json(path, changes.as_json())


def changed(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The rows of a table with the changes beside it.

    Raises:
        DataError: the file is damaged, names a person who is not in the table, or the table holds several files.
    """
    changes = read_changes(path)
    if changes == PersonChanges():
        return table
    try:
        if len(table["file"].unique()) > 1:
            raise DataError("the table holds the results of several files")
        changes.check({int(n) for n in table["person"].dropna().unique()})
    except DataError as error:
        raise DataError(f"{printable(changes_path(path))}: does not fit its table ({error}); {_REMEDY}.") from None
    return changes.apply(table)


def _number(value: Any) -> int:
    number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else 0
    if number < 1:
        raise DataError(f"{value!r} is not the number of a person")
    return number


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{value!r} is not a name")
    return value
