"""The video with what was predicted drawn over it: boxes with the person and the emotion, and bars of probabilities."""

from __future__ import annotations

from pathlib import Path

from emofuse.core.files import printable
from emofuse.core.time import seconds
from emofuse.errors import DataError, SettingsError
from emofuse.export.writer import WRITERS, ResultTable, Writer

ANNOTATED = ".annotated.mp4"


def write_annotated_video(table: ResultTable, path: Path) -> None:
    """Write the video of a table as MP4 with what was predicted, and optionally with blurred faces.

    Between rows, boxes move evenly from one to the next. Times, and the audio, are those of the video.

    Raises:
        SettingsError: the video is not known, or not there any more.
        DataError: the table has no positions of faces.
        MediaError: the video cannot be read or encoded.
    """
    # Here, since the libraries for video take long to import, and other formats do not need them.
    from emofuse.export.person_overlay import BOX, PersonRows, draw_persons
    from emofuse.media.rewrite import rewrite_video

    if table.media is None or not table.media.is_file():
        raise SettingsError(f"{printable(table.file)}: the video is not found; put it back beside the table.")
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
        turn=int(table.metadata.get("turned", table.metadata.get("rotate", 0))),
        progress=table.progress,
    )


WRITERS.add("annotated-video", Writer(write_annotated_video, ANNOTATED, needs_video=True))
