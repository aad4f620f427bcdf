"""A photograph as a video of one frame: the same reader interface, so that whatever takes frames takes photographs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from emofuse.core.time import Ints, Timeline
from emofuse.errors import DataError, MediaError
from emofuse.media.container import AUDIO_SUFFIXES, VIDEO_SUFFIXES, check_readable
from emofuse.media.images import IMAGE_SUFFIXES, is_image, read_image
from emofuse.media.video import Frame, VideoInfo, VideoReader

# A photograph has no time: its interval is the shortest there is, which tables show as 0 to 0 seconds.
INSTANT = Timeline(np.zeros(1, np.int64), np.ones(1, np.int64))

_HEAD = 12  # bytes that identify a kind of image


def is_photograph(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a photograph: by its suffix, or by its first bytes if it has no suffix of media files.

    >>> is_photograph("holiday.JPG"), is_photograph("talk.mp4")
    (True, False)
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES | AUDIO_SUFFIXES:
        return suffix in IMAGE_SUFFIXES
    try:
        with path.open("rb") as file:
            return is_image(file.read(_HEAD))
    except OSError:
        return False


class PhotographReader:
    """A photograph, read whole: what `VideoReader` is for a video.

    Raises:
        MediaError: the file is missing, not an image, or damaged.
    """

    timeline = INSTANT
    end = 1

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.warnings: list[str] = []
        check_readable(self.path)
        try:
            self._image = read_image(self.path)
        except DataError as error:
            raise MediaError(str(error)) from None
        height, width = self._image.shape[:2]
        self.info = VideoInfo(width, height, 0, None, "photograph", has_audio=False)

    def turn(self, degrees: int) -> None:
        """Turn the image clockwise, by a multiple of 90 degrees, on top of its EXIF orientation."""
        self._image = np.ascontiguousarray(np.rot90(self._image, -degrees // 90))
        height, width = self._image.shape[:2]
        self.info = replace(self.info, width=width, height=height, rotation=(self.info.rotation + degrees) % 360)

    def frames(self, wanted: Ints | None = None) -> Iterator[Frame]:
        """The photograph as a frame; none if `wanted` is empty."""
        if wanted is None or len(wanted):
            yield Frame.from_rgb(self._image, index=0, start=0, end=self.end)

    def __enter__(self) -> PhotographReader:
        return self

    def __exit__(self, *_: object) -> None:
        pass


FrameReader = VideoReader | PhotographReader


def open_frames(path: str | os.PathLike[str]) -> FrameReader:
    """The reader of a video or of a photograph.

    Raises:
        MediaError: the file cannot be read.
    """
    return PhotographReader(path) if is_photograph(path) else VideoReader(path)
