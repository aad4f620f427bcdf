"""Timelines and properties of video and audio files and photographs, read once per file without decoding images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emofuse.core.files import printable
from emofuse.core.time import Timeline
from emofuse.core.types import Clip
from emofuse.datasets.problems import Level, Problem
from emofuse.errors import DataError, MediaError
from emofuse.media.audio import AudioReader
from emofuse.media.photograph import INSTANT, is_photograph
from emofuse.media.video import VideoReader


@dataclass(frozen=True, eq=False)
class Recording:
    """A readable video or audio file, or a photograph.

    timeline: all video frames; a single interval over the length of an audio file. frames: 0 for an audio file.
    warnings: damage that did not prevent reading.
    """

    timeline: Timeline
    frames: int
    has_audio: bool
    warnings: tuple[str, ...]

    @property
    def end(self) -> int:
        """Ticks, the end of the video stream, or of the audio of an audio file."""
        return int(self.timeline.end[-1])


class Recordings:
    """The recordings of a data set, each read on first use and kept in memory, at 16 bytes per frame."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, Callable[[Path], Recording]], Recording | str] = {}

    def video(self, path: Path) -> Recording:
        """The video stream of a file, from its packets; a photograph, which is not decoded.

        Raises:
            DataError: the file cannot be read or has no video stream.
        """
        return self._once(path, _read_video)

    def audio(self, path: Path) -> Recording:
        """The audio stream of a file, decoded once, since headers only estimate its length.

        Raises:
            DataError: the file cannot be read or has no audio stream.
        """
        return self._once(path, _read_audio)

    def of(self, clip: Clip) -> Recording:
        """The video of a clip, or its audio if it has no video.

        Raises:
            DataError: the file cannot be read, or the clip has neither.
        """
        if clip.video is not None:
            return self.video(clip.video)
        if clip.audio is not None:
            return self.audio(clip.audio)
        raise DataError(f"{clip.id}: has neither a video nor an audio file.")

    def _once(self, path: Path, read: Callable[[Path], Recording]) -> Recording:
        if (path, read) not in self._known:
            try:
                self._known[path, read] = read(path)
            except MediaError as error:
                self._known[path, read] = str(error)
        known = self._known[path, read]
        if isinstance(known, str):
            raise DataError(known)
        return known


def check_recording(path: Path, recording: Recording) -> Iterator[Problem]:
    """The problems of a readable video or audio file."""
    for warning in recording.warnings:
        consequence = "its times, or everything after the damage, may be wrong"
        yield Problem(Level.WARNING, "damaged-file", path.stem, path, None, warning, consequence)
    if not recording.has_audio and recording.timeline != INSTANT:
        consequence = "there are no voice scores there, and fused scores rest on the face alone"
        yield Problem(Level.WARNING, "no-audio", path.stem, path, None, "the video has no audio", consequence)


def without_path(error: DataError | MediaError, path: Path) -> str:
    """The message of an error about a file, without the file name and the final full stop.

    >>> without_path(DataError("a.mp4: is empty (0 bytes). Copy it again."), Path("a.mp4"))
    'is empty (0 bytes). Copy it again'
    """
    return str(error).removeprefix(f"{printable(path)}: ").removesuffix(".")


def _read_video(path: Path) -> Recording:
    if is_photograph(path):
        return Recording(INSTANT, 1, False, ())
    with VideoReader(path) as reader:
        return Recording(reader.timeline, len(reader.timeline), reader.info.has_audio, tuple(reader.warnings))


def _read_audio(path: Path) -> Recording:
    with AudioReader(path) as reader:
        for _ in reader.blocks(60):
            pass
        if not reader.end:
            raise MediaError(f"{printable(path)}: none of its audio can be decoded. Copy or record it again.")
        timeline = Timeline(np.zeros(1, np.int64), np.array([reader.end], np.int64))
        return Recording(timeline, 0, True, tuple(reader.warnings))
