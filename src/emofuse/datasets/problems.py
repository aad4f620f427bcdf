"""What may be wrong with a data set: where it is, what was found, and what that means for a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType

from emofuse.core.files import printable
from emofuse.errors import DataError


class Level(Enum):
    """How much a problem matters, the gravest first."""

    ERROR = "error"  # a clip is left out, or a result cannot be had
    WARNING = "warning"  # tolerated, but it changes the result a little
    NOTE = "note"  # a normal property worth knowing


KINDS: Mapping[str, str] = MappingProxyType(
    {
        "absent-class": "a class occurs in no label of a part",
        "ambiguous-stem": "several videos or image folders have the name of an entry",
        "beyond-end": "a segment lies beyond the end of its clip",
        "columns": "a row has more fields than the header, or no path",
        "conflict": "rows of one clip name different subjects or parts",
        "count": "more labels, or images, than frames, or fewer labels, by two or more",
        "damaged-video": "a video or sound file is damaged but can be read",
        "duplicate": "a row is there twice",
        "empty": "nothing is labelled",
        "header": "the first line of a label file does not name the classes",
        "label": "a label that is no class",
        "leak": "the same recording or person in two parts",
        "missing-label": "an empty line where a label should be",
        "no-annotation": "images or a video, but neither an annotation nor a place in the test list",
        "no-face": "frames without an image",
        "no-file": "a file of the list does not exist",
        "no-images": "no folder with the images of an entry",
        "no-sound": "a video without sound",
        "no-test-list": "no list of the test part",
        "no-video": "no video with the name of an entry",
        "off-by-one": "one label, or image, more or less than frames",
        "overlap": "two segments of a clip overlap",
        "split": "an unknown part",
        "text": "text where a number should be, or a file that is no text",
        "time": "a start or end that makes no sense",
        "unlabelled": "frames, or rows, without a label",
        "unreadable": "a file that cannot be opened",
    }
)


@dataclass(frozen=True)
class Problem:
    """One thing found in a data set.

    kind: one of `KINDS`; where: the entry, video, part or person that it concerns; line: of `path`, from 1.

    >>> print(Problem(Level.ERROR, "label", "v1", Path("v1.txt"), 7, "label 9", "the entry is left out"))
    v1.txt:7: label 9; the entry is left out
    """

    level: Level
    kind: str
    where: str
    path: Path
    line: int | None
    found: str
    means: str

    def __str__(self) -> str:
        place = printable(self.path) if self.line is None else f"{printable(self.path)}:{self.line}"
        return f"{place}: {self.found}; {self.means}"

    def as_dict(self) -> dict[str, str | int | None]:
        """The same as JSON values."""
        return {
            "level": self.level.value,
            "kind": self.kind,
            "where": self.where,
            "path": str(self.path),
            "line": self.line,
            "found": self.found,
            "means": self.means,
        }


def refusal(problems: Iterable[Problem], root: Path | None = None) -> DataError:
    """The error that tells the first of these problems, how many more there are, and how to see them.

    Args:
        root: what `emofuse data check` takes to show them all.
    """
    first, *others = problems
    more = f" (and {len(others)} more)" if others else ""
    return DataError(f"{first}{more}." + (f" Run `emofuse data check {printable(root)}`." if root else ""))
