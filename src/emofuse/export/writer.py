"""What a writer of results is, and the registry of all writers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from emofuse.core.registry import Registry, find
from emofuse.core.version import __version__
from emofuse.errors import SettingsError
from emofuse.export.segments import Segment, SegmentSettings, find_segments

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = {",": ",", ";": ";", "tab": "\t"}


@dataclass(frozen=True)
class ExportOptions:
    """How results are written.

    segments: how rows become segments, in formats that hold segments.
    separator: of columns of CSV: `,`, `;` or `tab`. decimal: sign of CSV, `.` or `,`.
    blur_faces: make faces unrecognisable in videos.
    beside_media: outputs will be put into the folder of the media file, so references name files of one folder.

    Raises:
        SettingsError: a separator or decimal sign is unknown, or they are the same.
    """

    segments: SegmentSettings = field(default_factory=SegmentSettings)
    separator: str = ","
    decimal: str = "."
    blur_faces: bool = False
    beside_media: bool = False

    def __post_init__(self) -> None:
        find(self.separator, _SEPARATORS, "--separator")
        find(self.decimal, {".": ".", ",": ","}, "--decimal", remedy="choose . or ,")
        if self.decimal == self.separator:
            raise SettingsError("--decimal , needs another --separator: give --separator ';' or --separator tab.")

    @property
    def separator_sign(self) -> str:
        """The character between columns of CSV."""
        return _SEPARATORS[self.separator]


@dataclass(frozen=True, eq=False)
class ResultTable:
    """The result of one video as a writer receives it.

    file: name of the video. labels: names of the class columns.
    metadata: JSON values: the bundle and the stages that were used, and warnings.
    blocks: the rows in pieces, one per person, at least one, all with the same columns and types; can be read once.
    media: the video or audio file, if it is known where that is.
    progress: to be called now and then with the fraction that is written, by writers that take long.
    """

    file: str
    labels: tuple[str, ...]
    metadata: Mapping[str, Any]
    blocks: Iterable[pd.DataFrame]
    media: Path | None = None
    options: ExportOptions = field(default_factory=ExportOptions)
    progress: Callable[[float], None] = lambda fraction: None

    @property
    def origin(self) -> str:
        """What made the table and its segments, in one line, for files that state it."""
        bundle = f", bundle {self.metadata['bundle']}" if "bundle" in self.metadata else ""
        return f"emofuse {__version__}{bundle}; {self.options.segments}"

    def segments(self, rows: pd.DataFrame) -> list[Segment]:
        """The segments with an emotion of one block, in the order of time."""
        return [s for s in find_segments(rows, self.labels, self.options.segments) if s.emotion is not None]


class WriteTable(Protocol):
    """Writes a table to a file, completely or not at all; equal tables give equal bytes."""

    def __call__(self, table: ResultTable, path: Path, /) -> None:
        """Write the file.

        Raises:
            OutputError: the file cannot be written.
        """
        ...


@dataclass(frozen=True)
class Writer:
    """A format of results.

    write: the function that writes it. extension: with which names of its files end, such as `.csv`.
    companions: with what the names of further files end, in place of the extension.
    needs_video: whether it can write results of videos only.
    """

    write: WriteTable
    extension: str
    companions: tuple[str, ...] = ()
    needs_video: bool = False

    def paths(self, path: Path) -> list[Path]:
        """The files that are written for a path: itself and its companions."""
        stem = path.name.removesuffix(self.extension)
        return [path, *(path.with_name(stem + ending) for ending in self.companions)]


# By the names of formats; other packages add theirs as entry points.
WRITERS: Registry[Writer] = Registry("format", "emofuse.writers")


def checked_formats(names: Sequence[str], options: ExportOptions | None = None) -> tuple[str, ...]:
    """The names of formats, each once.

    Raises:
        SettingsError: one is unknown, or there is none; or faces are to be blurred, and no format shows them.

    >>> checked_formats(["elan", "csv", "elan"])
    ('elan', 'csv')
    """
    if not names:
        raise SettingsError(f"--format: names no format; choose {', '.join(WRITERS)}.")
    for name in names:
        find(name, WRITERS, "--format")
    if options is not None and options.blur_faces and not any(WRITERS[name].needs_video for name in names):
        shown = [name for name in WRITERS if WRITERS[name].needs_video]
        raise SettingsError(f"--blur-faces: no format shows faces; add --format {' or '.join(shown)}, or leave it out.")
    return tuple(dict.fromkeys(names))


def writer_of(path: Path) -> Writer:
    """The writer whose extension a file name has.

    Raises:
        SettingsError: there is none.
    """
    known = {WRITERS[name].extension: WRITERS[name] for name in WRITERS}
    extension = max((end for end in known if path.name.endswith(end)), key=len, default=path.suffix)
    return find(extension, known, f"{path}: file format", remedy=f"choose {', '.join(known)}.")
