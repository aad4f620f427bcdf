"""Problems of a data set: where one is, what was found, and what follows for a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType

from emofuse.core.files import printable
from emofuse.errors import DataError


class Level(Enum):
    """The severity of a problem, the most severe first."""

    ERROR = "error"  # a clip is left out, or there is no result
    WARNING = "warning"  # tolerated, but it changes the result a little
    NOTE = "note"  # a normal property worth knowing


PROBLEM_CODES: Mapping[str, str] = MappingProxyType(
    {
        "absent-class": "a split has no label of a class",
        "ambiguous-name": "several videos or image folders have the name of an entry",
        "assumed-split": "names of files and folders give no split, so one was assumed",
        "beyond-end": "a segment extends beyond the end of its clip",
        "conflicting-rows": "rows of one clip name different subjects, corpora or splits",
        "corpus-classes": "a corpus has no label of a class",
        "count-mismatch": "labels or images do not fit the number of frames, by two or more",
        "damaged-file": "a video or audio file is damaged but can be read",
        "damaged-image": "face images cannot be decoded, or differ in size",
        "duplicate-row": "a row occurs twice",
        "missing-file": "a listed file does not exist",
        "missing-images": "an entry has no folder of images",
        "missing-label": "a line of a label file is empty",
        "missing-video": "no video has the name of an entry",
        "no-annotation": "a video or images are neither annotated nor in the test list",
        "no-audio": "a video has no audio",
        "no-clips": "a clip list has no rows",
        "no-corpus": "clips have no corpus, although others have one",
        "no-face": "frames have no face image",
        "no-labels": "nothing is labelled",
        "no-test-list": "there is no list of the test split",
        "not-a-number": "there is text where a number is expected",
        "not-utf8": "a clip list is not UTF-8 and was read as Latin-1",
        "not-text": "a label file is not UTF-8 text",
        "off-by-one": "there is one label or image more or less than frames",
        "overlapping-segments": "two segments of a clip overlap",
        "split-leak": "an entry, recording or subject is in two splits",
        "unknown-label": "a label is not one of the classes",
        "unknown-split": "a split is not train, validation or test",
        "unlabelled": "frames or rows have no label",
        "unreadable-file": "a file cannot be opened",
        "wrong-columns": "a row has more fields than the header, or no path",
        "wrong-header": "the first line of a label file does not name the classes",
        "wrong-time": "a start or end is missing, or the end is not after the start",
    }
)


@dataclass(frozen=True)
class Problem:
    """A problem of a data set.

    code: one of `PROBLEM_CODES`. item: the entry, clip, video, split or subject concerned. line: of `path`, from 1.

    >>> print(Problem(Level.ERROR, "unknown-label", "v1", Path("v1.txt"), 7, "label 9", "the entry is left out"))
    v1.txt:7: label 9; the entry is left out
    """

    level: Level
    code: str
    item: str
    path: Path
    line: int | None
    found: str
    consequence: str

    def __str__(self) -> str:
        place = printable(self.path) if self.line is None else f"{printable(self.path)}:{self.line}"
        return f"{place}: {self.found}; {self.consequence}"

    def as_dict(self) -> dict[str, str | int | None]:
        """The problem as JSON values."""
        return {
            "level": self.level.value,
            "code": self.code,
            "item": self.item,
            "path": str(self.path),
            "line": self.line,
            "found": self.found,
            "consequence": self.consequence,
        }


def error_for(problems: Iterable[Problem], data: Path | None = None) -> DataError:
    """The exception for some problems: the first one, the number of others, and the command that lists them all.

    Args:
        data: the path to give to `emofuse data check`.
    """
    first, *others = problems
    more = f" (and {len(others)} more)" if others else ""
    return DataError(f"{first}{more}." + (f" Run `emofuse data check {printable(data)}`." if data else ""))
