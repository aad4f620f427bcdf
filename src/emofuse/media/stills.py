"""Single frames of a video by time, found by seeking: a few frames of a long video in little time."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import av.error

from emofuse.core.time import TICKS_PER_SECOND, tick_of
from emofuse.media.container import clock_zero, open_container, video_stream
from emofuse.media.frame_image import Looks
from emofuse.media.video import Frame

_MOST_DECODED = 400  # frames from a key frame on; some files have only one key frame


class Stills:
    """Frames of a video, each read from the key frame before it; for pictures of a result, not for its scores.

    Raises:
        MediaError: the file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._container = open_container(Path(path))
        self._stream = video_stream(self._container)
        self._zero = clock_zero(self._container)
        if self._stream is not None:
            self._stream.codec_context.thread_type = "AUTO"

    def __enter__(self) -> Stills:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def near(self, time: int, accept: Callable[[int], bool]) -> Frame | None:
        """The first frame from the key frame before `time` (ticks) on whose time is accepted; None if none is found."""
        stream = self._stream
        if stream is None:
            return None
        unit = stream.time_base or Fraction(1, TICKS_PER_SECOND)
        try:
            self._container.seek(int((time + self._zero) / (unit * TICKS_PER_SECOND)), stream=stream)
            looks = Looks(stream)
            for n, frame in enumerate(self._container.decode(stream)):
                looks.follow(frame)
                start = None if frame.pts is None else tick_of(frame.pts, unit) - self._zero
                if start is not None and accept(start):
                    return Frame(n, start, start + 1, frame, looks.of(frame))
                if n >= _MOST_DECODED:
                    return None
        except (av.error.FFmpegError, ValueError):
            return None
        return None
