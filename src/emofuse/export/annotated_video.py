"""The video with what was predicted drawn over it: boxes with the person and the emotion, and bars of probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.core.files import printable
from emofuse.core.time import seconds, ticks
from emofuse.errors import DataError, SettingsError
from emofuse.export.writer import WRITERS, ResultTable, Writer

if TYPE_CHECKING:
    from emofuse.media.rewrite import VideoPart

ANNOTATED = ".annotated.mp4"


def write_annotated_video(table: ResultTable, path: Path) -> None:
    """Write the video of a table as MP4 with what was predicted, and optionally with blurred faces.

    Between rows, boxes move evenly from one to the next. Times, and the audio, are those of the video.

    Raises:
        SettingsError: the video is not known, not there any more, or a photograph.
        DataError: the table has no positions of faces.
        MediaError: the video cannot be read or encoded.
    """
    # Here, since the libraries for video take long to import, and other formats do not need them.
    from emofuse.export.person_overlay import BOX, PersonRows, draw_persons
    from emofuse.media.photograph import is_photograph
    from emofuse.media.rewrite import rewrite_video

    if table.media is None or not table.media.is_file():
        raise SettingsError(f"{printable(table.file)}: the video is not found; put it back beside the table.")
    if is_photograph(table.media):
        raise SettingsError(f"{printable(table.file)}: is a photograph, of which there is no annotated video.")
    blocks = list(table.blocks)
    if missing := [name for rows in blocks for name in BOX if name not in rows]:
        raise DataError(
            f"{printable(table.file)}: the table has no column {missing[0]!r} for the faces; predict the file again."
        )
    persons = [PersonRows.of(rows, table.labels) for rows in blocks if len(rows)]
    blurred = table.options.blur_faces
    rewrite_video(
        table.media,
        path,
        lambda frame, image: draw_persons(image, persons, seconds(frame.start), blurred=blurred),
        part=_part(table.metadata),
        progress=table.progress,
    )


def _part(metadata: Mapping[str, Any]) -> VideoPart:
    """The part of the video that was processed."""
    from emofuse.media.rewrite import VideoPart

    taken = {track["kind"]: track["stream"] for track in metadata.get("tracks", ()) if track["taken"]}
    return VideoPart(
        start=ticks(metadata.get("start", 0)),
        end=ticks(metadata["end"]) if "end" in metadata else None,
        turn=int(metadata.get("turned", metadata.get("rotate", 0))),
        video=taken.get("video"),
        audio=taken.get("audio"),
    )


WRITERS.add("annotated-video", Writer(write_annotated_video, ANNOTATED, needs_video=True))
