"""Pictures of the persons of results, cut once by a process of its own and kept, so that the server decodes nothing.

They also remain when the file itself is not kept.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emofuse.core.files import RECORDS, write_json
from emofuse.errors import EmofuseError
from emofuse.export.person_changes import PersonChanges
from emofuse.export.reader import read_result_file
from emofuse.inference.batch import FileTask
from emofuse.report.results import Picture, SavedPicture, SavedPictures, cut_pictures

_PREFIX = "data:image/jpeg;base64,"


def picture_file(folder: Path, stem: str) -> Path:
    """The file of the pictures of a result."""
    return folder / RECORDS / "pictures" / f"{stem}.json"


def save_pictures(task: FileTask) -> None:
    """Cut and keep the pictures of a file that was predicted; a function for worker processes."""
    digest = _digest(task.record)
    target = picture_file(task.out, task.stem)
    if digest is not None and not have_pictures(target, digest):
        cut_and_save(task.paths["csv"], task.path, target, digest)


def cut_and_save(table: Path, media: Path, target: Path, digest: str) -> None:
    """Cut the pictures of the persons as they were predicted. A file that cannot be read has none."""
    pictures = list[SavedPicture]()
    with suppress(EmofuseError):
        for result in read_result_file(table, as_predicted=True):
            pictures += cut_pictures(replace(result, media=media))
    write_json(target, {"digest": digest, "pictures": pictures})


def have_pictures(target: Path, digest: str) -> bool:
    """Whether a file has the pictures of the result with this digest."""
    return _content(target).get("digest") == digest


def _digest(record: Path) -> str | None:
    try:
        return str(json.loads(record.read_text("utf-8"))["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _content(target: Path) -> dict[str, Any]:
    try:
        content = json.loads(target.read_text("utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


@dataclass(frozen=True)
class KeptPictures:
    """The pictures of one result."""

    pictures: list[SavedPicture]

    @classmethod
    def read(cls, folder: Path, stem: str, digest: str) -> KeptPictures | None:
        """Those of a result with this digest; None if they were not cut yet."""
        content = _content(picture_file(folder, stem))
        if content.get("digest") != digest:
            return None
        try:
            return cls([SavedPicture(p, start, Picture(*picture)) for p, start, picture in content["pictures"]])
        except (KeyError, TypeError, ValueError):
            return None

    def source(self, changes: PersonChanges) -> SavedPictures:
        """The pictures for a page."""
        return SavedPictures(self.pictures, changes.merge)

    def thumbnail(self, person: int) -> bytes | None:
        """The JPEG of a person."""
        found = (s.picture.url for s in self.pictures if s.person == person and s.start is None)
        url = next(found, None)
        return None if url is None else base64.b64decode(url.removeprefix(_PREFIX))
