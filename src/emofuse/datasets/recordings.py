"""What a data set knows of its video and sound files without decoding their picture, read once for each file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emofuse.core.files import printable
from emofuse.core.time import Timeline
from emofuse.core.types import Clip
from emofuse.errors import DataError, MediaError
from emofuse.media.audio import AudioReader
from emofuse.media.video import VideoReader


@dataclass(frozen=True, eq=False)
class Recording:
    """A file that can be read.

    timeline: all frames of the picture; of sound alone, one interval over its length. frames: 0 for sound alone.
    has_sound: whether there is sound. warnings: what is wrong with the file all the same.
    """

    timeline: Timeline
    frames: int
    has_sound: bool
    warnings: tuple[str, ...]

    @property
    def end(self) -> int:
        """Ticks, where the picture ends, or the sound where there is no picture."""
        return int(self.timeline.end[-1])


class Recordings:
    """The recordings of a data set. Each is read when it is first asked for and kept: 16 bytes for each frame."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, bool], Recording | str] = {}

    def video(self, path: Path) -> Recording:
        """The picture of a file; reads the file once, without decoding it.

        Raises:
            DataError: it cannot be read or holds no picture.
        """
        return self._once(path, _video, sound=False)

    def sound(self, path: Path) -> Recording:
        """The sound of a file; decodes it once, since headers only estimate its length.

        Raises:
            DataError: it cannot be read or holds no sound.
        """
        return self._once(path, _sound, sound=True)

    def of(self, clip: Clip) -> Recording:
        """The picture of a clip, or its sound where it has no picture.

        Raises:
            DataError: it cannot be read, or the clip has neither.
        """
        if clip.video is not None:
            return self.video(clip.video)
        if clip.audio is not None:
            return self.sound(clip.audio)
        raise DataError(f"{clip.id}: has neither a video nor a sound file.")

    def _once(self, path: Path, read: Callable[[Path], Recording], *, sound: bool) -> Recording:
        if (path, sound) not in self._known:
            try:
                self._known[path, sound] = read(path)
            except MediaError as error:
                self._known[path, sound] = str(error)
        known = self._known[path, sound]
        if isinstance(known, str):
            raise DataError(known)
        return known


def without_path(message: str, path: Path) -> str:
    """The text of an error about a file, less the file's name and the full stop.

    >>> without_path("a.mp4: is empty (0 bytes). Copy it again.", Path("a.mp4"))
    'is empty (0 bytes). Copy it again'
    """
    return message.removeprefix(f"{printable(path)}: ").removesuffix(".")


def _video(path: Path) -> Recording:
    with VideoReader(path) as reader:
        return Recording(reader.timeline, len(reader.timeline), reader.info.has_audio, tuple(reader.warnings))


def _sound(path: Path) -> Recording:
    with AudioReader(path) as reader:
        for _ in reader.blocks(60):
            pass
        if not reader.end:
            raise MediaError(f"{printable(path)}: none of its sound can be decoded. Copy or record it again.")
        timeline = Timeline(np.zeros(1, np.int64), np.array([reader.end], np.int64))
        return Recording(timeline, 0, True, tuple(reader.warnings))
