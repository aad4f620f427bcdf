"""The results in a folder, as `emofuse predict` and this server write them: a record for each, and its files.

A result is found by looking its id up among the records, never by joining the id to a path.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from emofuse.analysis.person_rows import person_rows
from emofuse.core.files import RECORDS, decoded, own_outputs, write_json
from emofuse.errors import DataError, EmofuseError
from emofuse.export import WRITERS, ResultTable
from emofuse.export.person_changes import PersonChanges, changes_path, is_changes_file, read_changes, write_changes
from emofuse.export.reader import SUFFIXES, read_result_file
from emofuse.inference import summary
from emofuse.media.container import AUDIO_SUFFIXES
from emofuse.media.images import IMAGE_SUFFIXES
from emofuse.server.api_models import Overlap, Person, Result
from emofuse.server.pictures import picture_file
from emofuse.server.security import RefusedError
from emofuse.server.settings import MEDIA


@dataclass(frozen=True)
class StoredResult:
    """A result on disk. record: its file, and the content of it. table: with its rows."""

    id: str
    record: Path
    content: Mapping[str, Any]
    table: Path
    created: str

    @property
    def folder(self) -> Path:
        return self.table.parent

    @property
    def entry(self) -> Mapping[str, Any]:
        """Its entry in the summary."""
        entry: Mapping[str, Any] = self.content["entry"]
        return entry

    @property
    def digest(self) -> str:
        digest: str = self.content["digest"]
        return digest

    @property
    def file(self) -> str:
        """The name of the file that was predicted."""
        return Path(str(self.entry.get("file", self.id))).name

    @property
    def media(self) -> Path | None:
        """Where that file is; None if it is gone."""
        places = (Path(str(self.entry.get("file", ""))).absolute(), self.folder / MEDIA / self.file)
        return next((path for path in places if path.is_file()), None)

    @property
    def keeps_media(self) -> bool:
        """Whether that file is a copy of an upload."""
        return self.media is not None and self.media.parent == self.folder / MEDIA

    def formats(self) -> list[str]:
        """The formats that it can be exported to."""
        is_video = self.media is not None and self.media.suffix.lower() not in AUDIO_SUFFIXES | IMAGE_SUFFIXES
        return [name for name in WRITERS if is_video or not WRITERS[name].needs_video]

    def tables(self, *, with_media: bool = True) -> list[ResultTable]:
        """Its rows, with the persons as they were changed.

        Raises:
            DataError: the table or the changes are damaged.
        """
        media = self.media if with_media else None
        return [replace(result, media=media) for result in read_result_file(self.table)]


class ResultsFolder:
    """The results of a folder; what was read is remembered until it changes on disk.

    Args:
        folder: an absolute path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records = folder / RECORDS
        self._known: dict[str, tuple[tuple[int, ...], StoredResult | None]] = {}
        self._shown: dict[str, tuple[tuple[Any, ...], Result]] = {}
        self._lock = threading.Lock()

    def all(self) -> list[StoredResult]:
        """Every result whose table is there, newest first."""
        found = list[tuple[int, StoredResult]]()
        with self._lock:
            present = dict[str, tuple[tuple[int, ...], StoredResult | None]]()
            for name, stamp in self.stamps().items():
                known = self._known.get(name)
                result = known[1] if known is not None and known[0] == stamp else self._read(name, stamp[0])
                present[name] = (stamp, result)
                if result is not None and result.table.exists():
                    found.append((stamp[0], result))
            self._known = present
            self._shown = {result.id: self._shown[result.id] for _, result in found if result.id in self._shown}
        return [result for _, result in sorted(found, key=lambda item: (-item[0], item[1].id))]

    def stamps(self) -> dict[str, tuple[int, ...]]:
        """The records by name, with what changes when they change."""
        stamps = dict[str, tuple[int, ...]]()
        with suppress(OSError), os.scandir(self._records) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and not entry.name.startswith("."):
                    with suppress(OSError):
                        status = entry.stat()
                        stamps[entry.name] = (status.st_mtime_ns, status.st_size)
        return stamps

    def _read(self, name: str, changed: int) -> StoredResult | None:
        path = self._records / name
        try:
            content = json.loads(path.read_text("utf-8"))
            outputs = [str(output) for output in content["entry"]["outputs"]]
            persons = [int(person["person"]) for person in content["entry"].get("persons", ())]
            if not isinstance(content["digest"], str) or len(persons) != len(set(persons)):
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        stem = name.removesuffix(".json")
        tables = (stem + suffix for suffix in SUFFIXES)
        table = next((self.folder / output for output in tables if output in outputs), None)
        created = datetime.fromtimestamp(changed / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return None if table is None else StoredResult(stem, path, content, table, created)

    def find(self, identifier: str) -> StoredResult:
        """The result of an id.

        Raises:
            RefusedError: there is none.
        """
        found = next((result for result in self.all() if result.id == identifier), None)
        if found is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no result of this id; it may have been deleted.")
        return found

    def search(self, text: str, offset: int, limit: int) -> tuple[int, list[Result]]:
        """How many results match, and a part of them; the names of files and of persons are searched."""
        words = text.casefold().split()
        matching = [
            shown
            for shown in map(self.shown, self.all())
            if all(word in " ".join([shown.file, *(p.name or "" for p in shown.persons)]).casefold() for word in words)
        ]
        return len(matching), matching[offset : offset + limit]

    def shown(self, stored: StoredResult) -> Result:
        """A result as clients see it."""
        stamp = (self._known.get(stored.record.name), _stamp(changes_path(stored.table)), stored.media)
        known = self._shown.get(stored.id)
        if known is None or known[0] != stamp:
            self._shown[stored.id] = known = (stamp, _result(stored))
        return known[1]

    def change_persons(
        self, stored: StoredResult, names: Mapping[int, str | None], merge: Mapping[int, int | None]
    ) -> Result:
        """Give persons names, or merge them; None undoes it.

        Raises:
            RefusedError: a person does not exist, or would be merged into itself.
            DataError: the changes that were made before are damaged.
        """
        with self._lock:
            before = read_changes(stored.table)
            try:
                changes = PersonChanges(_updated(before.names, names), _updated(before.merge, merge))
            except DataError as error:
                raise RefusedError(HTTPStatus.CONFLICT, f"{error}; change the numbers.") from None
            try:
                changes.check({p["person"] for p in stored.entry.get("persons", ())})
            except DataError as error:
                raise RefusedError(HTTPStatus.NOT_FOUND, f"{error}; change the numbers.") from None
            write_changes(stored.table, changes)
        return self.shown(stored)

    def overlaps(self, stored: StoredResult) -> list[Overlap]:
        """Which persons, as they were predicted, are visible at the same time.

        Raises:
            DataError: the table is damaged.
        """
        seen = dict[int, dict[float, float]]()  # by person: start of rows with a face, and their length
        for person in person_rows(read_result_file(stored.table, as_predicted=True)):
            if person.person is not None and "x" in person.table:
                found = person.table["x"].notna().to_numpy(bool)
                seen[person.person] = dict(zip(person.start[found], (person.end - person.start)[found], strict=True))
        pairs = [(a, b, seen[a].keys() & seen[b].keys()) for a, b in combinations(sorted(seen), 2)]
        return [
            Overlap(persons=(a, b), seconds=round(float(sum(seen[a][start] for start in both)), 3))
            for a, b, both in pairs
            if both
        ]

    def link_media(self, stored: StoredResult, media: Path) -> None:
        """Make a file in the folder the media file of a result."""
        entry = {**stored.entry, "file": decoded(media)}
        write_json(stored.record, {**stored.content, "entry": entry})
        summary.write_summary(self.folder, self._records, [entry])

    def delete(self, stored: StoredResult) -> None:
        """Remove all files of a result, and its media file if that was uploaded; files elsewhere stay."""
        names = {*map(str, stored.entry.get("outputs", ())), f"{stored.id}.traceback.txt"}
        paths = [self.folder / name for name in names if Path(name).name == name]
        others = [picture_file(self.folder, stored.id)]
        others += [path for path in [changes_path(stored.table)] if is_changes_file(path)]
        if stored.media is not None and stored.keeps_media:
            others.append(stored.media)
        with own_outputs(paths, known=[path.name for path in paths]):  # which forgets those that are gone
            for path in (
                *paths,
                *others,
                stored.record,
            ):  # the record last, so that what is half removed is still listed
                path.unlink(missing_ok=True)
        summary.write_summary(self.folder, self._records, [])


def _updated(before: Mapping[int, Any], changes: Mapping[int, Any]) -> dict[int, Any]:
    return {number: value for number, value in {**before, **changes}.items() if value is not None}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _result(stored: StoredResult) -> Result:
    warnings = [str(warning) for warning in stored.entry.get("warnings", ())]
    try:
        changes = read_changes(stored.table)
        persons = _persons(stored, changes)
    except EmofuseError as error:
        warnings.append(str(error).replace(f"{stored.folder}{os.sep}", ""))
        persons = _persons(stored, PersonChanges())
    return Result(
        id=stored.id,
        file=stored.file,
        status=str(stored.entry.get("status", "done")),
        duration=float(stored.entry.get("duration_seconds", 0.0)),
        bundle=stored.entry.get("bundle"),
        persons=persons,
        warnings=warnings,
        formats=stored.formats(),
        media=stored.media is not None,
        kept_media=stored.keeps_media,
        created=stored.created,
    )


def _persons(stored: StoredResult, changes: PersonChanges) -> list[Person]:
    has_pictures = stored.media is not None or picture_file(stored.folder, stored.id).is_file()
    merged = _merged(stored) if changes.merge else {}
    persons = []
    for entry in stored.entry.get("persons", ()):
        number = int(entry["person"])
        seconds, mean = merged.get(number, (entry.get("face_seconds", 0.0), entry.get("mean_probabilities")))
        found = has_pictures and bool(entry.get("face_seconds", 0.0) or entry.get("face_fraction"))
        persons.append(
            Person(
                number=number,
                name=changes.names.get(number, entry.get("name")),
                seconds=seconds,
                mean_emotion=mean,
                thumbnail=f"/api/results/{quote(stored.id, safe='')}/persons/{number}/thumbnail" if found else None,
                merged_into=changes.merge.get(number),
            )
        )
    return persons


def _merged(stored: StoredResult) -> dict[int, tuple[float, dict[str, float] | None]]:
    """The seconds and mean probabilities of persons into whom others are merged, from the rows."""
    found = {}
    for person in person_rows(stored.tables(with_media=False)):
        if person.person is not None and person.person in set(read_changes(stored.table).merge.values()):
            duration = person.end - person.start
            with_face = person.table["x"].notna() if "x" in person.table else person.scored
            seconds = round(float(duration[np.asarray(with_face, bool)].sum()), 6)
            found[person.person] = seconds, _mean(person.labels, person.values[person.scored])
    return found


def _mean(labels: Sequence[str], values: Any) -> dict[str, float] | None:
    if not len(values):
        return None
    return {name: round(float(value), 4) for name, value in zip(labels, values.mean(axis=0), strict=False)}
